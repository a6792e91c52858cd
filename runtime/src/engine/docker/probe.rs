//! Whether a service answers: the ports and the pages that its clients will ask for, asked for as they will.
//!
//! There are two ways to a service's own address. The short one is [from here](crate::engine::probe), where the
//! network's bridge is one of ours, which is Linux with an engine beside us. The long one is a [helper] container that
//! joins the service's network and asks from there: Docker Desktop, remote engines, rootless ones, a pipeline that runs
//! in a container.
//! Never asked are published ports, whose proxy accepts before the service listens, and 127.0.0.1, where a service may
//! listen that no client can reach.
//!
//! No probe gives up: the session decides how long it waits, and watches for the service's end at the same time.
//! Dropping a probe ends it.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use bollard::Docker;
use tokio::net::TcpStream;

use super::cleaner::Cleaner;
use crate::Result;
use crate::engine::ProbeProgress;
use crate::engine::probe::{self as direct, NO_ANSWER, http};
use crate::model::Port;
use crate::model::SessionId;

mod helper;
pub(super) use self::helper::{HELPER, helper_image};
#[cfg(test)]
mod tests;

/// What is probed.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The container's id, in full.
    pub(super) container: String,
    /// Its address in the session's network.
    pub(super) ip: IpAddr,
    /// Its first process, as the engine numbers it.
    pub(super) pid: Option<i64>,
    /// Whether that is the number of it here, too.
    pub(super) is_seen: bool,
    /// The id of the session's network, in full.
    pub(super) network_id: String,
}

impl Target {
    /// Whether its first process has ended, as far as can be seen from here. False where the engine's numbers of processes
    /// are not ours.
    pub(super) fn has_died(&self) -> bool {
        let (true, Some(pid)) = (self.is_seen, self.pid.filter(|pid| *pid > 0)) else { return false };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        // The state stands behind the command, in brackets, which may hold brackets too.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
    }

    /// Whether this process is the container's, asked for while it runs.
    pub(super) fn sees(pid: Option<i64>, container: &str) -> bool {
        let Some(pid) = pid.filter(|pid| *pid > 0) else { return false };
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(container))
    }

    /// Whether its address can be reached from here: the engine named the bridge after the network's random id, so
    /// this very network is in our network namespace. That the address has a route would prove nothing, as every
    /// engine gives the same addresses.
    fn is_near(&self) -> bool {
        let Some(id) = self.network_id.get(..12) else { return false };
        id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && Path::new("/sys/class/net").join(format!("br-{id}")).exists()
    }
}

/// From here, where it is [near](Target::is_near).
impl direct::Way for Target {
    fn ip(&self) -> IpAddr {
        self.ip
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }

    /// None where the engine's numbers of processes are not ours, or nothing may be read. A file belongs to the
    /// namespace it was opened in, whoever gets the process's number later.
    fn udp_tables(&self) -> Option<Vec<File>> {
        let process = format!("/proc/{}", self.pid.filter(|pid| *pid > 0)?);
        let mut tables = vec![File::open(format!("{process}/net/udp")).ok()?];
        // Absent where the kernel has no IPv6.
        tables.extend(File::open(format!("{process}/net/udp6")));
        // Looked at last: had the number passed on to another process before, it would not be the container's now.
        let groups = std::fs::read_to_string(format!("{process}/cgroup")).ok()?;
        let is_ours = self.container.len() == 64 && groups.contains(&self.container);
        is_ours.then_some(tables)
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
