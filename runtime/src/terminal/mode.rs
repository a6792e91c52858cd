//! What a terminal does with keys (termios(3)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

#[allow(unsafe_code)]
pub(crate) fn get(terminal: RawFd) -> io::Result<libc::termios> {
    let mut mode = MaybeUninit::uninit();
    // SAFETY: the call writes it, or fails.
    if unsafe { libc::tcgetattr(terminal, mode.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was written.
    Ok(unsafe { mode.assume_init() })
}

/// Sets a mode. Signal handlers may call this. What has been typed and not been read stays: it may be meant for whoever reads
/// next.
#[allow(unsafe_code)]
pub(crate) fn set(terminal: RawFd, mode: &libc::termios) {
    // A program in the background that sets a mode is stopped otherwise.
    without(libc::SIGTTOU, || {
        // SAFETY: a plain call, which reads a mode that is there.
        unsafe { libc::tcsetattr(terminal, libc::TCSANOW, mode) };
    });
}

/// Calls something while this thread does not get a signal. Signal handlers may call this.
#[allow(unsafe_code)]
pub(crate) fn without<R>(signal: i32, call: impl FnOnce() -> R) -> R {
    let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: plain calls on memory of their own, all of which signal handlers may make.
    unsafe {
        libc::sigemptyset(blocked.as_mut_ptr());
        libc::sigaddset(blocked.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr());
    }
    let result = call();
    // SAFETY: as above; it was written.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    result
}
