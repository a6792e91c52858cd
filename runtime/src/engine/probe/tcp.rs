//! Connections that do not get stuck.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::way::{Found, Way, plain};

/// A container's first packets are lost now and then, while the bridge learns of it; the kernel tries again after a
/// second. So another attempt joins those that hang, so much later.
const NEXT_ATTEMPT_AFTER: Duration = Duration::from_millis(100);

/// As many as are made before this is called silence.
const ATTEMPTS: usize = 4;

/// A server that is there waits for its client to speak, or speaks. One that hangs up at once, without a word, has nobody
/// behind it yet, as a proxy does. That is waited for, which keeps everybody else waiting: so for a fiftieth of the time that
/// the port took to open, within these bounds. Whoever starts slowly, on a busy machine say, hangs up slowly.
const HANGS_UP_WITHIN: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(10)];
const PART_OF_START: u32 = 50;
/// For one that did already.
const HANGS_UP_AGAIN_WITHIN: Duration = Duration::from_millis(50);

/// What has done nothing else for so long is taken to be meant so.
const DOUBTED_FOR: Duration = Duration::from_secs(5);

/// What makes it doubtful that a server that accepts connections is there for its clients.
#[derive(Debug)]
pub(super) struct Doubt {
    /// Since when it has been probed.
    probed: Instant,
    /// Since when it has been hanging up on every connection.
    hangs_up: OnceLock<Instant>,
}

impl Default for Doubt {
    fn default() -> Self {
        Self { probed: Instant::now(), hangs_up: OnceLock::new() }
    }
}

impl Doubt {
    /// How long a server has for hanging up: the more so when it did already.
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
pub(super) async fn probe(way: &impl Way, address: SocketAddr, doubt: &Doubt) -> Found {
    let mut stream = match connect(way, address).await {
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
