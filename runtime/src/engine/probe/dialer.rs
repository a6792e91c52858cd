//! The path to a service, and what a probe finds there.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};

/// A way to reach one service.
pub(in crate::engine) trait Dialer: Sync {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin;

    /// The service's own address, as its clients see it.
    fn ip(&self) -> IpAddr;

    /// One attempt to connect.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The kernel's tables of the UDP sockets in its network namespace (`/proc/net/udp`, `udp6`), open; `None` if they
    /// are not available.
    fn udp_tables(&self) -> Option<Vec<File>>;
}

/// The finding before the first attempt has ended.
pub(in crate::engine) const NO_ANSWER: &str = "no answer yet";

/// The result of one attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Clients can use the service.
    Ready,
    /// Something answers but does not serve yet: `connection refused`, `status 503`.
    NotYet(String),
    /// Nothing answered, or no attempt was possible.
    Silence(String),
}

/// An operating system's error in plain words.
pub(in crate::engine) fn plain(error: &io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => REFUSED.to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::TimedOut => TIMED_OUT.to_owned(),
        ErrorKind::UnexpectedEof => "connection closed without an answer".to_owned(),
        ErrorKind::HostUnreachable => NO_ROUTE.to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

const REFUSED: &str = "connection refused";
const TIMED_OUT: &str = "timed out";
const NO_ROUTE: &str = "no route to host";
/// The finding for a UDP port without a socket.
pub(super) const NOT_BOUND: &str = "no socket is bound to it";

/// Whether a finding is that nobody answered at a port, so that what the service listens on explains it.
pub(crate) fn is_silence(finding: &str) -> bool {
    [NO_ANSWER, REFUSED, TIMED_OUT, NO_ROUTE, NOT_BOUND].contains(&finding)
}
