//! Connections that do not get stuck.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Found, Way, plain};

/// A container's first packets are lost now and then, while the bridge learns of it; the kernel tries again after a
/// second. So another attempt joins those that hang, so much later.
const NEXT_ATTEMPT_AFTER: Duration = Duration::from_millis(100);

/// As many as are made before this is called silence.
const ATTEMPTS: usize = 4;

/// Whether a port accepts connections.
pub(super) async fn probe(way: &impl Way, address: SocketAddr) -> Found {
    match connect(way, address).await {
        Ok(_) => Found::Ready,
        Err(error) => not_connected(&error),
    }
}

/// Connects by whichever attempt gets an answer first.
pub(super) async fn connect(way: &impl Way, address: SocketAddr) -> io::Result<TcpStream> {
    let mut attempts = FuturesUnordered::new();
    for _ in 0..ATTEMPTS {
        attempts.push(way.connect(address));
        if let Ok(Some(answer)) = timeout(NEXT_ATTEMPT_AFTER, attempts.next()).await {
            return answer;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// A refusal is the answer of a machine that is there. Everything else may be the fault of the way to it.
pub(super) fn not_connected(error: &io::Error) -> Found {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Found::NotYet(plain(error)),
        _ => Found::Silence(plain(error)),
    }
}
