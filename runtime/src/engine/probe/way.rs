//! The way to a service, and what is found at its end.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;

/// A way to one service.
pub(in crate::engine) trait Way: Sync {
    /// Its own address, where its clients find it.
    fn ip(&self) -> IpAddr;

    /// One attempt to connect to it.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send;

    /// The kernel's tables of the UDP sockets in its network namespace (`/proc/net/udp`, `udp6`), open; none where
    /// they cannot be had.
    fn udp_tables(&self) -> Option<Vec<File>>;
}

/// What is known before the first attempt has ended.
pub(in crate::engine) const NO_ANSWER: &str = "no answer yet";

/// What one attempt found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// What clients need.
    Ready,
    /// Somebody is there and does not serve yet: `connection refused`, `status 503`.
    NotYet(String),
    /// Nobody answered, or nobody could be asked.
    Silence(String),
}

/// What an operating system calls it, in plain words.
pub(super) fn plain(error: &io::Error) -> String {
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
