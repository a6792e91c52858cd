//! What a person types, read by a thread: a terminal is read by waiting for it, and its mode must not be changed for the
//! shell that the program was started by.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

/// How many pieces wait to be taken.
const PIECES: usize = 16;

pub(super) struct Keys {
    pieces: mpsc::Receiver<Vec<u8>>,
    /// Closing it ends the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    pub(super) fn start(terminal: File) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let (sender, pieces) = mpsc::channel(PIECES);
        let name = "bowline-keys".to_owned();
        let thread =
            std::thread::Builder::new().name(name).spawn(move || read(terminal, &stopped, &sender))?;
        Ok(Self { pieces, stop: Some(stop), thread: Some(thread) })
    }

    /// The next keys; `None` when the terminal is gone.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        self.pieces.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.pieces.close();
        drop(self.stop.take());
        // It ends at once, and must not take what is typed later.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(mut terminal: File, stopped: &PipeReader, pieces: &mpsc::Sender<Vec<u8>>) {
    let mut piece = [0; 1024];
    loop {
        let [typed, stop] = wait([(terminal.as_raw_fd(), libc::POLLIN), (stopped.as_raw_fd(), libc::POLLIN)]);
        if stop {
            return;
        }
        if !typed {
            continue;
        }
        match terminal.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                let piece = piece.get(..length).unwrap_or_default().to_vec();
                if pieces.blocking_send(piece).is_err() {
                    return;
                }
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => return,
        }
    }
}

/// Writes all of it, also to a terminal that somebody has made non-blocking.
pub(super) fn write_all(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(error) if is_passing(&error) => {
                wait([(to.as_raw_fd(), libc::POLLOUT)]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// Waits until one of these has something, and says which.
#[allow(unsafe_code)]
fn wait<const COUNT: usize>(sources: [(RawFd, i16); COUNT]) -> [bool; COUNT] {
    let mut polled = sources.map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
    // SAFETY: the array lives as long as the call, and its length is a handful.
    let found = unsafe { libc::poll(polled.as_mut_ptr(), COUNT as libc::nfds_t, -1) };
    if found < 0 {
        return [false; COUNT];
    }
    polled.map(|one| one.revents != 0)
}
