//! Probes from this process: whether a service answers at its own address, asked as its clients would.
//!
//! The engine decides how that address is reached: see [`Dialer`]. A probe never gives up on a service that answers anything
//! at all: the session sets the limit. Dropping a probe ends it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future;

use self::dialer::Found;
pub(crate) use self::dialer::is_silence;
pub(super) use self::dialer::{Dialer, NO_ANSWER, plain};
pub(crate) use self::http::name as name_of_page;
use super::ProbeProgress;
use crate::model::{Port, Protocol};

mod dialer;
pub(super) mod http;
mod tcp;
mod udp;

/// The service cannot be reached this dialer.
#[derive(Debug)]
pub(super) struct Unreachable;

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service's address cannot be reached from here")
    }
}

/// After this long without any answer, the service counts as unreachable this way: a firewall between this process and
/// the bridge, or a pipeline that may open no sockets. A closed port answers at once.
const SILENT_FOR: Duration = Duration::from_secs(2);

/// Waits until all of these ports are open.
pub(super) async fn wait_ports(
    dialer: &impl Dialer,
    ports: &[Port],
    progress: &ProbeProgress,
) -> Result<(), Unreachable> {
    let (tcp, udp): (Vec<_>, Vec<_>) =
        ports.iter().cloned().partition(|port| port.protocol() == Protocol::Tcp);
    let tcp = future::try_join_all(tcp.iter().map(|port| wait_tcp(dialer, port, progress)));
    future::try_join(tcp, wait_udp(dialer, &udp, progress)).await.map(drop)
}

async fn wait_tcp(dialer: &impl Dialer, port: &Port, progress: &ProbeProgress) -> Result<(), Unreachable> {
    let address = SocketAddr::new(dialer.ip(), port.number());
    let doubt = tcp::Doubt::default();
    poll(Pace::PORT, &port.to_string(), progress, || tcp::probe(dialer, address, &doubt)).await
}

/// No UDP request works for every service, and the kernel's replies (port unreachable) are limited to a few a second: so
/// the service's sockets are read instead.
async fn wait_udp(dialer: &impl Dialer, ports: &[Port], progress: &ProbeProgress) -> Result<(), Unreachable> {
    if ports.is_empty() {
        return Ok(());
    }
    let mut sockets = udp::Sockets::of(dialer).ok_or(Unreachable)?;
    let mut pace = Pace::PORT;
    loop {
        let open = sockets.open_ports().await.ok_or(Unreachable)?;
        let is_open = |port: &Port| open.contains(&port.number());
        for port in ports {
            progress.note(&port.to_string(), (!is_open(port)).then_some(dialer::NOT_BOUND));
        }
        if ports.iter().all(is_open) {
            return Ok(());
        }
        pace.pause().await;
    }
}

/// Waits until a page is served.
pub(super) async fn wait_http(
    dialer: &impl Dialer,
    port: u16,
    path: &str,
    progress: &ProbeProgress,
) -> Result<(), Unreachable> {
    let address = SocketAddr::new(dialer.ip(), port);
    poll(Pace::PAGE, &http::name(port, path), progress, || http::probe(dialer, address, path)).await
}

/// Polls until something is ready, or nothing has answered for too long.
async fn poll<Attempt: Future<Output = Found>>(
    mut pace: Pace,
    name: &str,
    progress: &ProbeProgress,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<(), Unreachable> {
    let mut silent_since = None;
    loop {
        let began = Instant::now();
        match attempt().await {
            Found::Ready => {
                progress.note(name, None);
                return Ok(());
            }
            Found::NotYet(found) => {
                progress.note(name, Some(&found));
                silent_since = None;
            }
            Found::Silence(found) => {
                progress.note(name, Some(&found));
                if silent_since.get_or_insert(began).elapsed() >= SILENT_FOR {
                    return Err(Unreachable);
                }
            }
        }
        pace.pause().await;
    }
}

/// The poll interval, with backoff: fast services are the rule, and slow ones must not be kept busy.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The pause before the next attempt.
    next: Duration,
    /// The longest pause.
    most: Duration,
}

impl Pace {
    /// Backs off to 10 ms, so that an open port is noticed within 25 ms even if timers are some milliseconds late on a
    /// busy machine. One attempt takes 0.1 ms.
    const PORT: Self = Self { next: Duration::from_millis(1), most: Duration::from_millis(10) };

    /// A page costs the service work, and a line in its log.
    const PAGE: Self = Self { next: Duration::from_millis(2), most: Duration::from_millis(50) };

    async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 5 / 4).min(self.most);
    }
}
