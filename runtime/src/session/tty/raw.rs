//! Raw mode of the program's terminal, and the ways back from it: a guard, and whatever [ends](crate::terminal::undo) the
//! program.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::terminal::{self, mode, undo, undo::Racy};

/// Whether the terminal has another mode than [`ORIGINAL`].
static IS_RAW: AtomicBool = AtomicBool::new(false);
static TERMINAL: AtomicI32 = AtomicI32::new(-1);
/// Written before [`IS_RAW`] is set, and only by whoever has claimed the terminal.
static ORIGINAL: Racy<libc::termios> = Racy::new();

/// The terminal in raw mode, until this is dropped.
pub(super) struct Raw {
    _undone_at_the_end: undo::Handled,
}

impl Raw {
    #[allow(unsafe_code)]
    pub(super) fn enter(terminal: &File) -> io::Result<Self> {
        let original = mode::get(terminal.as_raw_fd())?;
        // SAFETY: nobody reads it before it is raw, and whoever calls this has the terminal to itself.
        unsafe { (*ORIGINAL.0.get()).write(original) };
        TERMINAL.store(terminal.as_raw_fd(), Ordering::SeqCst);
        let raw = Self { _undone_at_the_end: undo::Handled::begin(undo::Change::Mode, restore) };
        IS_RAW.store(true, Ordering::SeqCst);
        set_again();
        Ok(raw)
    }
}

/// Sets raw mode while somebody has it, also where somebody else has set another.
#[allow(unsafe_code)]
pub(super) fn set_again() {
    if IS_RAW.load(Ordering::SeqCst) && !terminal::is_in_background(io::stdin()) {
        // SAFETY: it was written before it was raw.
        let mut wanted = unsafe { (*ORIGINAL.0.get()).assume_init() };
        // SAFETY: a plain call on memory of its own.
        unsafe { libc::cfmakeraw(&raw mut wanted) };
        mode::set(TERMINAL.load(Ordering::SeqCst), &wanted);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal the mode that it had, if it has another. Signal handlers may call this.
#[allow(unsafe_code)]
fn restore() {
    if IS_RAW.swap(false, Ordering::SeqCst) {
        // SAFETY: it was written before it was raw.
        let original = unsafe { (*ORIGINAL.0.get()).assume_init_ref() };
        mode::set(TERMINAL.load(Ordering::SeqCst), original);
    }
}
