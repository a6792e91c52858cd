//! Readiness probes: the ports and pages that a service's clients will use, requested as they will.
//!
//! There are two ways to a service's own address. The short one is [from here](crate::engine::probe), if the network's
//! bridge is one of ours, as on Linux with an engine beside us. The long one is a [helper] container that joins the
//! service's network and asks from there: Docker Desktop, remote engines, rootless ones, a pipeline that runs in a
//! container. Two addresses are never probed: published ports, whose proxy accepts before the service listens, and
//! 127.0.0.1, where a service may listen that no client can scope.
//!
//! No probe gives up: the session sets the limit, and watches for the service's end at the same time. Dropping a probe
//! ends it.

use std::collections::BTreeSet;

use crate::Result;
use crate::engine::ProbeProgress;
use crate::engine::probe::{self as direct, NO_ANSWER, http};
use crate::engine::sockets::{self, Listening};
use crate::model::Port;

mod helper;
mod target;
#[cfg(test)]
mod tests;

pub(super) use self::target::{Prober, Target};

impl Prober<'_> {
    /// Waits until every one of these ports is open; an open port is noticed within 25 ms. The caller leaves out ports
    /// that are not to be probed.
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
        // Boxed: the future is large, and rarely needed.
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

    /// The sockets in the service's network that wait for clients.
    pub(super) async fn listening(self, target: &Target) -> Result<BTreeSet<Listening>> {
        if let Some(tables) = target.tables()
            && let Ok(Ok(found)) = tokio::task::spawn_blocking(move || sockets::read(tables)).await
        {
            return Ok(found);
        }
        Box::pin(helper::listening(self, target)).await
    }
}
