//! The path to a service, and what a probe finds there.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;

/// A way to reach one service.
pub(in crate::engine) trait Dialer: Sync {
    /// The service's own address, as its clients see it.
    fn ip(&self) -> IpAddr;

    /// One attempt to connect.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send;

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
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::TimedOut => TIMED_OUT.to_owned(),
        ErrorKind::UnexpectedEof => "connection closed without an answer".to_owned(),
        ErrorKind::HostUnreachable => "no route to host".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

const TIMED_OUT: &str = "timed out";
