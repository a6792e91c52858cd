//! What a program has changed of its terminal is undone when the program ends: by a signal, or by its exit.
//!
//! A signal may end the program at once, or somebody else's handler may do something about it first. So the handlers here
//! undo the changes and then do what would have happened without them. A stopped program (Ctrl-Z) takes its drawing off the
//! terminal too, and leaves the keys alone, as a shell has both meanwhile.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, OnceLock};

use crate::lock::lock;

/// The signals that end a program, as far as it can do something about it, then the one that stops it, and the one that says
/// that the terminal has another size: terminals forget then how the screen is divided.
const SIGNALS: [i32; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGABRT, libc::SIGTSTP, libc::SIGWINCH];

/// What is changed, of which there is one in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// What the terminal does with keys, for a process in a container: Ctrl-Z is typed for that.
    Mode,
    /// What it does with keys that the program reads itself while it draws.
    Keys,
    /// What is drawn, and where the program's own text goes.
    Drawing,
}

/// What signal handlers read: written by one thread at a time, before anything leads a handler to it. Here that is before a
/// handler is set, under the lock of [`HANDLED`].
pub(crate) struct Racy<T>(pub(crate) UnsafeCell<MaybeUninit<T>>);

#[allow(unsafe_code)]
// SAFETY: one writer at a time, and readers only after it, as above.
unsafe impl<T: Send> Sync for Racy<T> {}

impl<T> Racy<T> {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }
}

/// How each change is undone. Signal handlers call these, which do nothing if there is nothing to undo.
static UNDO: [OnceLock<fn()>; 3] = [const { OnceLock::new() }; 3];
/// How many changes there are, and the signals that are handled because of them.
static HANDLED: Mutex<(usize, [bool; SIGNALS.len()])> = Mutex::new((0, [false; SIGNALS.len()]));
/// Whether a handler that somebody has set since calls the one here: to set it once more would make a circle of them.
static IS_CHAINED: [AtomicBool; SIGNALS.len()] = [const { AtomicBool::new(false) }; SIGNALS.len()];
/// What is done at the signals otherwise.
static PREVIOUS: [Racy<libc::sigaction>; SIGNALS.len()] = [const { Racy::new() }; SIGNALS.len()];

/// Undoes all changes. Signal handlers may call this.
pub(crate) fn all() {
    UNDO.iter().filter_map(OnceLock::get).for_each(|undo| undo());
}

fn the(change: Change) -> Option<&'static OnceLock<fn()>> {
    UNDO.get(change as usize)
}

/// As long as this exists, a change is undone when the program ends.
#[derive(Debug)]
pub(crate) struct Handled(());

impl Handled {
    /// `undo` may be called at any moment, by any thread, in a signal handler, and later than this is dropped.
    #[allow(unsafe_code)]
    pub(crate) fn begin(change: Change, undo: fn()) -> Self {
        static AT_EXIT: Once = Once::new();
        if let Some(slot) = the(change) {
            let _ = slot.set(undo);
        }
        // SAFETY: a plain call; the function is there as long as the program.
        AT_EXIT.call_once(|| unsafe {
            libc::atexit(at_exit);
        });
        let (count, handled) = &mut *lock(&HANDLED);
        *count += 1;
        if *count == 1 {
            *handled = std::array::from_fn(handle);
        }
        Self(())
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        let (count, handled) = &mut *lock(&HANDLED);
        *count -= 1;
        if *count == 0 {
            for (index, is_handled) in handled.iter_mut().enumerate() {
                if std::mem::take(is_handled) {
                    stop_handling(index);
                }
            }
        }
    }
}

extern "C" fn at_exit() {
    all();
}

/// Handles one of the signals, unless the program ignores it.
#[allow(unsafe_code)]
fn handle(index: usize) -> bool {
    let Some(signal) = SIGNALS.get(index).copied() else { return false };
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
    let (Some(signal), Some(previous)) = (SIGNALS.get(index).copied(), PREVIOUS.get(index)) else { return };
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
    match signal {
        libc::SIGTSTP => [Change::Drawing, Change::Keys].into_iter().for_each(undo),
        libc::SIGWINCH => undo(Change::Drawing),
        _ => all(),
    }
    let kept = SIGNALS.iter().position(|other| *other == signal).and_then(|index| PREVIOUS.get(index));
    let Some(kept) = kept else { return };
    // SAFETY: it was written before this handler was set. A handler is called as it asked to be.
    unsafe {
        let previous = (*kept.0.get()).assume_init_ref();
        match previous.sa_sigaction {
            libc::SIG_IGN => {}
            libc::SIG_DFL if signal == libc::SIGWINCH => {}
            libc::SIG_DFL if signal == libc::SIGTSTP => stop(previous),
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

fn undo(change: Change) {
    if let Some(undo) = the(change).and_then(OnceLock::get) {
        undo();
    }
}

/// Stops the program as if SIGTSTP were not handled; returns when it goes on.
#[allow(unsafe_code)]
fn stop(default: &libc::sigaction) {
    let mut own = MaybeUninit::<libc::sigaction>::uninit();
    let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: plain calls on memory of their own, all of which signal handlers may make. While a handler runs, its signal is
    // blocked: it takes effect when it no longer is.
    unsafe {
        libc::sigaction(libc::SIGTSTP, &raw const *default, own.as_mut_ptr());
        libc::raise(libc::SIGTSTP);
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGTSTP);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, signals.as_ptr(), before.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        libc::sigaction(libc::SIGTSTP, own.as_ptr(), std::ptr::null_mut());
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
