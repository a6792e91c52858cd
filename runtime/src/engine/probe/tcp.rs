//! TCP connections that do not hang.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::dialer::{Dialer, Found, plain};

/// A container's first packets are sometimes lost while the bridge learns its address, and the kernel retransmits only
/// after a second. So after this interval another attempt is started beside those that hang.
const NEXT_ATTEMPT_AFTER: Duration = Duration::from_millis(100);

/// The most attempts before the service counts as silent.
const ATTEMPTS: usize = 4;

/// A server that is ready waits for its client to speak, or speaks. A proxy without a backend hangs up at once, without a
/// word. Waiting for that delays every other service: so it lasts a fiftieth of the time that the port took to open,
/// within these bounds. A service that starts slowly, for example on a busy machine, also hangs up slowly.
const HANGS_UP_WITHIN: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(10)];
const PART_OF_START: u32 = 50;
/// The same, for a server that has hung up before.
const HANGS_UP_AGAIN_WITHIN: Duration = Duration::from_millis(50);

/// A server that has hung up on every connection for this long is taken to do so on purpose.
const DOUBTED_FOR: Duration = Duration::from_secs(5);

/// Doubts whether a server that accepts connections is ready for its clients.
#[derive(Debug)]
pub(super) struct Doubt {
    /// When probing began.
    probed: Instant,
    /// Since when it has hung up on every connection.
    hangs_up: OnceLock<Instant>,
}

impl Default for Doubt {
    fn default() -> Self {
        Self { probed: Instant::now(), hangs_up: OnceLock::new() }
    }
}

impl Doubt {
    /// How long to wait for the server to hang up: longer if it did before.
    fn patience(&self) -> Duration {
        let [least, most] = HANGS_UP_WITHIN;
        if self.hangs_up.get().is_some() {
            HANGS_UP_AGAIN_WITHIN
        } else {
            (self.probed.elapsed() / PART_OF_START).clamp(least, most)
        }
    }
}

/// Whether a port accepts connections.
pub(super) async fn probe(dialer: &impl Dialer, address: SocketAddr, doubt: &Doubt) -> Found {
    let mut stream = match connect(dialer, address).await {
        Ok(stream) => stream,
        Err(error) => return not_connected(&error),
    };
    match timeout(doubt.patience(), stream.read(&mut [0])).await {
        Ok(Ok(0) | Err(_)) if doubt.hangs_up.get_or_init(Instant::now).elapsed() < DOUBTED_FOR => {
            Found::NotYet("it accepts connections and closes them at once".to_owned())
        }
        _ => Found::Ready,
    }
}

/// Connects by whichever attempt is answered first.
pub(super) async fn connect<D: Dialer>(dialer: &D, address: SocketAddr) -> io::Result<D::Stream> {
    let mut attempts = FuturesUnordered::new();
    for _ in 0..ATTEMPTS {
        attempts.push(dialer.connect(address));
        if let Ok(Some(answer)) = timeout(NEXT_ATTEMPT_AFTER, attempts.next()).await {
            return answer;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// A refusal is an answer of a host that is reachable. Any other error may come from the path to it.
pub(super) fn not_connected(error: &io::Error) -> Found {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Found::NotYet(plain(error)),
        _ => Found::Silence(plain(error)),
    }
}
