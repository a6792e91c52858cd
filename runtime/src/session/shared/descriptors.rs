//! Descriptors passed from one process to another over a Unix socket (`SCM_RIGHTS`, unix(7)): so the bytes of a connection
//! to a service go between its two ends, and not through the process that made it.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::net::UnixStream;

/// The mark that comes with a descriptor …
const WITH: u8 = b'+';
/// … and the one that comes without.
const WITHOUT: u8 = b'-';

/// Sends a descriptor, or the mark that there is none.
pub(super) async fn send(to: &UnixStream, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    to.async_io(Interest::WRITABLE, || send_now(to.as_raw_fd(), descriptor)).await
}

/// Receives a descriptor, or the mark that there is none, and nothing behind it.
pub(super) async fn receive(from: &UnixStream) -> io::Result<Option<OwnedFd>> {
    from.async_io(Interest::READABLE, || receive_now(from.as_raw_fd())).await
}

/// The size of a descriptor in a message.
const SIZE: u32 = 4;

/// A message of one byte, with space for one descriptor.
#[allow(unsafe_code)]
fn message(part: &mut libc::iovec, control: &mut [u64; 8]) -> libc::msghdr {
    // SAFETY: only numbers and pointers, which may be null; some systems have padding between them.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(control) as _;
    message
}

#[allow(unsafe_code)]
fn send_now(to: RawFd, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut mark = [if descriptor.is_some() { WITH } else { WITHOUT }];
    let mut part = libc::iovec { iov_base: mark.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0_u64; 8];
    let mut message = message(&mut part, &mut control);
    // SAFETY: there is space for one header with one descriptor, and its length is set before it is written.
    let sent = unsafe {
        message.msg_controllen = 0;
        if let Some(descriptor) = descriptor {
            message.msg_controllen = libc::CMSG_SPACE(SIZE) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(SIZE) as _;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(descriptor.as_raw_fd());
        }
        libc::sendmsg(to, &raw const message, 0)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[allow(unsafe_code)]
fn receive_now(from: RawFd) -> io::Result<Option<OwnedFd>> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const FLAGS: i32 = libc::MSG_CMSG_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const FLAGS: i32 = 0;
    let mut mark = [0];
    let mut part = libc::iovec { iov_base: mark.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0_u64; 8];
    let mut message = message(&mut part, &mut control);
    // SAFETY: all that the message points to outlives the call. A header that the kernel wrote is within the space that it
    // was given, and a descriptor in it is nobody else's.
    let descriptor = unsafe {
        match libc::recvmsg(from, &raw mut message, FLAGS) {
            1 => {}
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => return Err(io::Error::last_os_error()),
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null()
            || (*header).cmsg_level != libc::SOL_SOCKET
            || (*header).cmsg_type != libc::SCM_RIGHTS
        {
            None
        } else {
            let descriptor = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            Some(OwnedFd::from_raw_fd(descriptor))
        }
    };
    match (mark, descriptor) {
        ([WITH], Some(descriptor)) => Ok(Some(descriptor)),
        ([WITHOUT], None) => Ok(None),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    #[tokio::test]
    async fn a_descriptor_comes_with_its_mark_and_nothing_of_what_follows_is_taken() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        send(&here, Some(other.as_fd())).await.unwrap();
        send(&here, None).await.unwrap();
        drop((here, other));
        let mut passed = std::os::unix::net::UnixStream::from(receive(&there).await.unwrap().unwrap());
        assert!(receive(&there).await.unwrap().is_none());
        let gone = receive(&there).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
        one.write_all(b"x").unwrap();
        let mut byte = [0];
        passed.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
    }
}
