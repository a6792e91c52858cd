//! Errors of connections, as the relay's kernel numbers them: those of Linux, whatever this program runs on.

use std::io::{Error, ErrorKind};

/// The error of this number.
pub(super) fn of(number: u16) -> Error {
    match number {
        1 | 13 => ErrorKind::PermissionDenied.into(),
        12 => ErrorKind::OutOfMemory.into(),
        23 | 24 => Error::other("the relay has too many files open"),
        32 => ErrorKind::BrokenPipe.into(),
        98 => ErrorKind::AddrInUse.into(),
        99 => ErrorKind::AddrNotAvailable.into(),
        101 => ErrorKind::NetworkUnreachable.into(),
        103 => ErrorKind::ConnectionAborted.into(),
        104 => ErrorKind::ConnectionReset.into(),
        110 => ErrorKind::TimedOut.into(),
        111 => ErrorKind::ConnectionRefused.into(),
        113 => ErrorKind::HostUnreachable.into(),
        _ => Error::other(format!("error {number} in the service's network")),
    }
}

/// The error of connections whose relay has ended.
pub(super) fn lost(reason: &str) -> Error {
    Error::new(ErrorKind::ConnectionReset, format!("the relay to the engine's network has ended: {reason}"))
}

/// The error of a connection that is one too many.
pub(super) fn too_many() -> Error {
    let most = super::frame::MOST;
    Error::new(
        ErrorKind::QuotaExceeded,
        format!("{most} connections to services are open, which is the most that an engine's stream carries"),
    )
}
