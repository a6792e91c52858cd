//! Bytes from one socket to another without a copy (`splice(2)`), on Linux.

#[cfg(not(target_os = "linux"))]
pub(super) use self::none::Pipe;
#[cfg(target_os = "linux")]
pub(super) use self::pipe::Pipe;

#[cfg(target_os = "linux")]
mod pipe {
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};

    use tokio::io::Interest;
    use tokio::net::TcpStream;

    /// How much a pipe is asked to hold. An unprivileged user may have 64 MiB in pipes of more than 64 KiB (`pipe(7)`,
    /// `pipe-user-pages-soft`); beyond that they stay as they are.
    const ROOM: usize = 1 << 20;

    /// Holds what has left one socket and has not reached the other.
    pub(in super::super) struct Pipe {
        read: File,
        write: File,
    }

    impl Pipe {
        /// `None` if the process may not open more files.
        #[allow(unsafe_code)]
        pub(in super::super) fn new() -> Option<Self> {
            let mut ends = [0; 2];
            // SAFETY: the array has room for the two descriptors, which nobody else owns.
            unsafe {
                if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
                    return None;
                }
                let [read, write] = ends.map(|end| File::from_raw_fd(end));
                libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, ROOM);
                Some(Self { read, write })
            }
        }

        /// Forwards until the first socket has no more.
        pub(in super::super) async fn carry(&mut self, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
            loop {
                let mut held = from
                    .async_io(Interest::READABLE, || splice(from.as_raw_fd(), self.write.as_raw_fd(), ROOM))
                    .await?;
                if held == 0 {
                    return Ok(());
                }
                while held > 0 {
                    let sent = to
                        .async_io(Interest::WRITABLE, || splice(self.read.as_raw_fd(), to.as_raw_fd(), held));
                    match sent.await? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        sent => held = held.saturating_sub(sent),
                    }
                }
            }
        }
    }

    #[allow(unsafe_code)]
    fn splice(from: RawFd, to: RawFd, most: usize) -> io::Result<usize> {
        let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
        // SAFETY: no pointer is passed but null.
        let moved =
            unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), most, flags) };
        usize::try_from(moved).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::io;

    use tokio::net::TcpStream;

    /// There is none.
    pub(in super::super) enum Pipe {}

    impl Pipe {
        pub(in super::super) fn new() -> Option<Self> {
            None
        }

        pub(in super::super) async fn carry(&mut self, _: &TcpStream, _: &TcpStream) -> io::Result<()> {
            match *self {}
        }
    }
}
