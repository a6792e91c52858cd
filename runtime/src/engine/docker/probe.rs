//! Whether a service answers: the ports and the pages that its clients will ask for, asked for as they will.
//!
//! There are two ways to a service's own address. The short one is [direct]: from here, where the network's bridge is
//! one of ours, which is Linux with an engine beside us. The long one is a [helper] container that joins the service's
//! network and asks from there: Docker Desktop, remote engines, rootless ones, a pipeline that runs in a container.
//! Never asked are published ports, whose proxy accepts before the service listens, and 127.0.0.1, where a service may
//! listen that no client can reach.
//!
//! No probe gives up: the session decides how long it waits, and watches for the service's end at the same time.
//! Dropping a probe ends it.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use bollard::Docker;

use super::cleaner::Cleaner;
use crate::Result;
use crate::engine::{ProbeProgress, SessionId};
use crate::value::Port;

mod direct;
mod helper;
mod http;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

/// What is probed.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The container's id, in full.
    pub(super) container: String,
    /// Its address in the session's network.
    pub(super) ip: IpAddr,
    /// Its first process, as the engine numbers it.
    pub(super) pid: Option<i64>,
    /// The id of the session's network, in full.
    pub(super) network_id: String,
}

impl Target {
    /// Whether its address can be reached from here: the engine named the bridge after the network's random id, so
    /// this very network is in our network namespace. That the address has a route would prove nothing, as every
    /// engine gives the same addresses.
    fn is_near(&self) -> bool {
        let Some(id) = self.network_id.get(..12) else { return false };
        id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && Path::new("/sys/class/net").join(format!("br-{id}")).exists()
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Prober<'a> {
    pub(super) client: &'a Docker,
    pub(super) cleaner: &'a Cleaner,
    pub(super) session: &'a SessionId,
    /// The engine's platform, for example `linux/amd64`.
    pub(super) platform: &'a str,
}

impl Prober<'_> {
    /// Waits until every one of these ports is open; one that opens is seen within 25 ms. Ports that are not to be
    /// probed are for the caller to leave out.
    pub(super) async fn wait_ports(
        self,
        target: &Target,
        ports: &[Port],
        progress: &ProbeProgress,
    ) -> Result<()> {
        for port in ports {
            progress.note(&port.to_string(), Some(NO_ANSWER));
        }
        if ports.is_empty() || target.is_near() && direct::wait_ports(target, ports, progress).await.is_ok() {
            return Ok(());
        }
        // Large, and rarely needed.
        Box::pin(helper::wait_ports(self, target, ports, progress)).await
    }

    /// Waits until a `GET` of `path` is answered with 2xx or 3xx.
    pub(super) async fn wait_http(
        self,
        target: &Target,
        port: u16,
        path: &str,
        progress: &ProbeProgress,
    ) -> Result<()> {
        progress.note(&http::name(port, path), Some(NO_ANSWER));
        if target.is_near() && direct::wait_http(target, port, path, progress).await.is_ok() {
            return Ok(());
        }
        Box::pin(helper::wait_http(self, target, port, path, progress)).await
    }
}

/// What is known before the first attempt has ended.
const NO_ANSWER: &str = "no answer yet";

/// What one attempt found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// What clients need.
    Ready,
    /// Somebody is there and does not serve yet: `connection refused`, `status 503`.
    NotYet(String),
    /// Nobody answered, or nobody could be asked.
    Silence(String),
}

/// What an operating system calls it, in plain words.
fn plain(error: &std::io::Error) -> String {
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

/// The direct way leads nowhere.
#[derive(Debug)]
struct Far;

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service's address cannot be reached from here")
    }
}
