//! Terminals of containers' processes: made in the container's own file system of them, so that a process finds the name
//! of its terminal there.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::error::{Context as _, ShimError};
use super::inside;
use crate::engine::native::wire;
use crate::model::WindowSize;

/// Makes a terminal, sends the pipeline's end on the socket that a process with a terminal has in place of its streams,
/// and gives the process's streams.
pub(super) fn make(
    root: BorrowedFd<'_>,
    size: WindowSize,
    mut streams: Vec<OwnedFd>,
) -> Result<Vec<OwnedFd>, ShimError> {
    const WHAT: &str = "a terminal";
    let socket = streams.pop().map(UnixStream::from).ok_or_else(|| ShimError::new("no socket"))?;
    let ours = inside::terminals(root).context("/dev/pts/ptmx")?;
    unlockpt(&ours).context(WHAT)?;
    resize(ours.as_fd(), size).context(WHAT)?;
    // By this way no name is looked up that the container may have put something else at.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let theirs = ioctl_tiocgptpeer(&ours, flags).context(WHAT)?;
    wire::send_descriptors(&socket, &[ours.as_fd()]).context("the pipeline")?;
    let copy = || theirs.try_clone().context(WHAT);
    Ok(vec![copy()?, copy()?, theirs])
}

/// Sets a terminal's size: its processes are told by SIGWINCH.
pub(in crate::engine::native) fn resize(
    terminal: BorrowedFd<'_>,
    size: WindowSize,
) -> rustix::io::Result<()> {
    let WindowSize { columns, rows } = size;
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
}
