//! Keys that are pressed while the tree is drawn: `t` asks what goes on.
//!
//! Only a program that says so [listens](listen), as keys may be meant for whatever else reads standard input. The terminal
//! gives keys at once and does not show them as long as the tree is drawn, and no longer; Ctrl-C and Ctrl-Z do what they
//! always do. A job in the background touches nothing.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::terminal::{self, mode, undo, undo::Racy};

/// Whether the program listens.
static IS_LISTENING: AtomicBool = AtomicBool::new(false);
/// Whether the terminal has another mode than [`ORIGINAL`].
static IS_SET: AtomicBool = AtomicBool::new(false);
/// Written before [`IS_SET`] is set, and only by whoever draws.
static ORIGINAL: Racy<libc::termios> = Racy::new();

const TERMINAL: i32 = libc::STDIN_FILENO;
/// What asks what goes on.
const MORE: u8 = b't';

/// Keys are listened to until this is dropped.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub(in crate::report) struct Listening(());

/// Listens to keys, if standard input is a terminal that nobody else listens to.
#[cfg(feature = "cli")]
pub(in crate::report) fn listen() -> Option<Listening> {
    (io::IsTerminal::is_terminal(&io::stdin()) && !IS_LISTENING.swap(true, Ordering::SeqCst))
        .then_some(Listening(()))
}

#[cfg(feature = "cli")]
impl Drop for Listening {
    fn drop(&mut self) {
        IS_LISTENING.store(false, Ordering::SeqCst);
        restore();
    }
}

/// The keys of what is drawn.
#[derive(Debug, Default)]
pub(super) struct Keys {
    handled: Option<undo::Handled>,
}

impl Keys {
    /// Something is drawn: whether somebody has asked what goes on since this was called last.
    pub(super) fn are_asking(&mut self) -> bool {
        if !IS_LISTENING.load(Ordering::SeqCst) || terminal::is_in_background(io::stdin()) {
            return false;
        }
        let Ok(now) = mode::get(TERMINAL) else { return false };
        // A shell that had stopped the program has set its own meanwhile.
        if !IS_SET.load(Ordering::SeqCst) || now.c_lflag & libc::ICANON != 0 {
            self.set(now);
        }
        pressed().contains(&MORE)
    }

    #[allow(unsafe_code)]
    fn set(&mut self, now: libc::termios) {
        if !IS_SET.load(Ordering::SeqCst) {
            // SAFETY: nobody reads it before it is set, and one thread at a time draws.
            unsafe { (*ORIGINAL.0.get()).write(now) };
        }
        self.handled.get_or_insert_with(|| undo::Handled::begin(undo::Change::Keys, restore));
        IS_SET.store(true, Ordering::SeqCst);
        let mut wanted = now;
        wanted.c_lflag &= !(libc::ICANON | libc::ECHO);
        wanted.c_cc[libc::VMIN] = 1;
        wanted.c_cc[libc::VTIME] = 0;
        mode::set(TERMINAL, &wanted);
    }

    /// Nothing is drawn any more.
    pub(super) fn leave(&mut self) {
        restore();
        self.handled = None;
    }
}

/// Gives the terminal the mode that it had, if it has another. Signal handlers may call this.
#[allow(unsafe_code)]
fn restore() {
    // That of a job in the background is the shell's.
    if IS_SET.swap(false, Ordering::SeqCst) && !terminal::is_in_background(io::stdin()) {
        // SAFETY: it was written before it was set.
        mode::set(TERMINAL, unsafe { (*ORIGINAL.0.get()).assume_init_ref() });
    }
}

/// What has been typed, without waiting for it.
#[allow(unsafe_code)]
fn pressed() -> Vec<u8> {
    let mut keys = vec![0; 64];
    let mut polled = libc::pollfd { fd: TERMINAL, events: libc::POLLIN, revents: 0 };
    // A program that is put into the background right now would be stopped for reading.
    let length = mode::without(libc::SIGTTIN, || {
        // SAFETY: plain calls on memory of their own. What is there is read without waiting.
        unsafe {
            if libc::poll(&raw mut polled, 1, 0) < 1 || polled.revents & libc::POLLIN == 0 {
                return 0;
            }
            libc::read(TERMINAL, keys.as_mut_ptr().cast(), keys.len())
        }
    });
    keys.truncate(usize::try_from(length).unwrap_or(0));
    keys
}
