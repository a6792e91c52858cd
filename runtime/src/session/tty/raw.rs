//! Raw mode of the program's terminal, and the ways back from it: a guard, the signals that end a program, and its exit.
//!
//! A signal may end the program at once, or somebody else's handler may do something about it first. So the handlers here
//! restore the terminal and then do what would have happened without them.

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::model::WindowSize;

/// The signals that end a program, as far as it can do something about it.
const ENDING: [i32; 5] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGABRT];

/// Written before [`IS_RAW`] or a handler is set, and only by whoever has claimed the terminal.
struct Racy<T>(UnsafeCell<MaybeUninit<T>>);

#[allow(unsafe_code)]
// SAFETY: one writer at a time, and readers only after it, as above.
unsafe impl<T: Send> Sync for Racy<T> {}

impl<T> Racy<T> {
    const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }
}

/// Whether the terminal has another mode than [`ORIGINAL`].
static IS_RAW: AtomicBool = AtomicBool::new(false);
static TERMINAL: AtomicI32 = AtomicI32::new(-1);
static ORIGINAL: Racy<libc::termios> = Racy::new();
/// Whether a handler that somebody has set since calls the one here: to set it once more would make a circle of them.
static IS_CHAINED: [AtomicBool; ENDING.len()] = [const { AtomicBool::new(false) }; ENDING.len()];
/// What is done at the signals otherwise.
static PREVIOUS: [Racy<libc::sigaction>; ENDING.len()] = [const { Racy::new() }; ENDING.len()];

/// The terminal in raw mode, until this is dropped.
pub(super) struct Raw {
    /// The signals that are handled here.
    handled: [bool; ENDING.len()],
}

impl Raw {
    #[allow(unsafe_code)]
    pub(super) fn enter(terminal: &File) -> io::Result<Self> {
        static AT_EXIT: Once = Once::new();
        let original = mode(terminal.as_raw_fd())?;
        // SAFETY: nobody reads it before it is raw, and whoever calls this has the terminal to itself.
        unsafe { (*ORIGINAL.0.get()).write(original) };
        TERMINAL.store(terminal.as_raw_fd(), Ordering::SeqCst);
        // SAFETY: a plain call; the function is there as long as the program.
        AT_EXIT.call_once(|| unsafe {
            libc::atexit(at_exit);
        });
        let handled = std::array::from_fn(handle);
        let raw = Self { handled };
        IS_RAW.store(true, Ordering::SeqCst);
        set_again();
        Ok(raw)
    }
}

/// Sets raw mode while somebody has it, also where somebody else has set another.
#[allow(unsafe_code)]
pub(super) fn set_again() {
    if IS_RAW.load(Ordering::SeqCst) && !is_in_background() {
        // SAFETY: it was written before it was raw.
        let mut wanted = unsafe { (*ORIGINAL.0.get()).assume_init() };
        // SAFETY: a plain call on memory of its own.
        unsafe { libc::cfmakeraw(&raw mut wanted) };
        set_mode(&wanted);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
        for (index, is_handled) in self.handled.into_iter().enumerate() {
            if is_handled {
                stop_handling(index);
            }
        }
    }
}

/// Gives the terminal the mode that it had, if it has another. Signal handlers may call this.
#[allow(unsafe_code)]
pub(in super::super) fn restore() {
    if IS_RAW.swap(false, Ordering::SeqCst) {
        // SAFETY: it was written before it was raw.
        set_mode(unsafe { (*ORIGINAL.0.get()).assume_init_ref() });
    }
}

extern "C" fn at_exit() {
    restore();
}

#[allow(unsafe_code)]
fn mode(terminal: i32) -> io::Result<libc::termios> {
    let mut mode = MaybeUninit::uninit();
    // SAFETY: the call writes it, or fails.
    if unsafe { libc::tcgetattr(terminal, mode.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was written.
    Ok(unsafe { mode.assume_init() })
}

/// A program in the background that sets a mode is stopped, unless SIGTTOU is blocked.
#[allow(unsafe_code)]
fn set_mode(mode: &libc::termios) {
    let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: plain calls on memory of their own, all of which signal handlers may make. What has been typed and not been
    // read stays: it may be meant for whoever reads next.
    unsafe {
        libc::sigemptyset(blocked.as_mut_ptr());
        libc::sigaddset(blocked.as_mut_ptr(), libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr());
        libc::tcsetattr(TERMINAL.load(Ordering::SeqCst), libc::TCSANOW, mode);
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
}

/// Handles one of the signals, unless the program ignores it.
#[allow(unsafe_code)]
fn handle(index: usize) -> bool {
    let Some(signal) = ENDING.get(index).copied() else { return false };
    if IS_CHAINED.get(index).is_some_and(|chained| chained.load(Ordering::SeqCst)) {
        return false;
    }
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
    // SAFETY: what was there is written before the handler is set, that is by this thread while the signal still does what it
    // did; and the handler calls nothing that handlers may not call.
    unsafe {
        let mut previous = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(signal, std::ptr::null(), &raw mut previous) != 0
            || previous.sa_sigaction == libc::SIG_IGN
            || previous.sa_sigaction == handler as usize
        {
            return false;
        }
        if let Some(kept) = PREVIOUS.get(index) {
            (*kept.0.get()).write(previous);
        }
        let mut own = std::mem::zeroed::<libc::sigaction>();
        own.sa_sigaction = handler as usize;
        own.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        own.sa_mask = previous.sa_mask;
        libc::sigaction(signal, &raw const own, std::ptr::null_mut()) == 0
    }
}

/// Puts back what was done at a signal. A handler that somebody has set since stays: it knows of this one, which goes on
/// doing what was done before.
#[allow(unsafe_code)]
fn stop_handling(index: usize) {
    let (Some(signal), Some(previous)) = (ENDING.get(index).copied(), PREVIOUS.get(index)) else { return };
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
    // SAFETY: what was there was written before the handler was set.
    unsafe {
        let mut now = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == handler as usize
        {
            libc::sigaction(signal, (*previous.0.get()).as_ptr(), std::ptr::null_mut());
        } else if let Some(chained) = IS_CHAINED.get(index) {
            chained.store(true, Ordering::SeqCst);
        }
    }
}

#[allow(unsafe_code)]
extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let _errno = Errno::keep();
    restore();
    let kept = ENDING.iter().position(|other| *other == signal).and_then(|index| PREVIOUS.get(index));
    let Some(kept) = kept else { return };
    // SAFETY: it was written before this handler was set. A handler is called as it asked to be.
    unsafe {
        let previous = (*kept.0.get()).assume_init_ref();
        match previous.sa_sigaction {
            libc::SIG_IGN => {}
            libc::SIG_DFL => {
                // Takes effect when this handler returns.
                libc::sigaction(signal, &raw const *previous, std::ptr::null_mut());
                libc::raise(signal);
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(i32) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

/// What the interrupted code has as its error number, until this is dropped.
struct Errno(i32);

impl Errno {
    fn keep() -> Self {
        Self(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

impl Drop for Errno {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: it is this thread's own.
        unsafe {
            *libc::__errno_location() = self.0;
        }
        #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
        // SAFETY: it is this thread's own.
        unsafe {
            *libc::__error() = self.0;
        }
    }
}

/// Whether the terminal is another program's at the moment, as a shell's jobs have it.
#[allow(unsafe_code)]
pub(super) fn is_in_background() -> bool {
    // SAFETY: plain calls. The first fails for a terminal that is not the program's controlling one.
    let foreground = unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) };
    foreground > 0 && foreground != unsafe { libc::getpgrp() }
}

#[allow(unsafe_code)]
pub(super) fn size(terminal: &File) -> Option<WindowSize> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the call writes it, or fails; zeros are a size too.
    let size = unsafe {
        if libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) != 0 {
            return None;
        }
        size.assume_init()
    };
    let known = size.ws_col > 0 && size.ws_row > 0;
    known.then_some(WindowSize { columns: size.ws_col, rows: size.ws_row })
}
