//! The service to probe, how it is reached from here, and who asks.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use bollard::Docker;
use tokio::net::TcpStream;

use super::super::cleaner::Cleaner;
use crate::engine::probe::Dialer;
use crate::engine::sockets::TABLES;
use crate::model::{Protocol, SessionId};

/// What is probed.
#[derive(Debug, Clone)]
pub(in super::super) struct Target {
    /// The container's id, in full.
    pub(in super::super) container: String,
    /// Its address in the session's network.
    pub(in super::super) ip: IpAddr,
    /// Its first process, by the engine's process number.
    pub(in super::super) pid: Option<i64>,
    /// Whether that number means the same process here.
    pub(in super::super) is_seen: bool,
    /// The id of the session's network, in full.
    pub(in super::super) network_id: String,
}

impl Target {
    /// Whether its first process has ended, as far as is visible here. False if the engine's process numbers are not
    /// ours.
    pub(in super::super) fn has_died(&self) -> bool {
        let (true, Some(pid)) = (self.is_seen, self.pid.filter(|pid| *pid > 0)) else { return false };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        // The state follows the command in brackets, which may contain brackets too.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
    }

    /// Whether this process number is the container's here, checked while the container runs.
    pub(in super::super) fn sees(pid: Option<i64>, container: &str) -> bool {
        let Some(pid) = pid.filter(|pid| *pid > 0) else { return false };
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(container))
    }

    /// The kernel's tables of the sockets in its network, open. `None` if the engine's process numbers are not ours, or the
    /// tables may not be read. An open file stays with the namespace it was opened in, whoever gets the process's number
    /// later.
    pub(in super::super) fn tables(&self) -> Option<Vec<(Protocol, File)>> {
        let process = format!("/proc/{}", self.pid.filter(|pid| *pid > 0)?);
        let open =
            |(name, protocol): (&str, _)| Some((protocol, File::open(format!("{process}/net/{name}")).ok()?));
        // The last two are absent where the kernel has no IPv6.
        let tables: Vec<_> = TABLES.into_iter().map_while(open).collect();
        // Checked last: if the number had passed to another process before, it would not be the container's now.
        let groups = std::fs::read_to_string(format!("{process}/cgroup")).ok()?;
        let is_ours = self.container.len() == 64 && groups.contains(&self.container);
        (is_ours && tables.len() >= 2).then_some(tables)
    }

    /// Whether its address can be reached from here: the engine named the bridge after the network's random id, so this
    /// very network is in our network namespace. A route to the address would prove nothing, as every engine assigns the
    /// same addresses.
    pub(in super::super) fn is_near(&self) -> bool {
        Self::is_network_near(&self.network_id)
    }

    /// Whether all addresses in the network with this id can be.
    pub(in super::super) fn is_network_near(id: &str) -> bool {
        let Some(id) = id.get(..12) else { return false };
        id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && Path::new("/sys/class/net").join(format!("br-{id}")).exists()
    }
}

/// The direct dialer, for a target that is [near](Target::is_near).
impl Dialer for Target {
    type Stream = TcpStream;

    fn ip(&self) -> IpAddr {
        self.ip
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }

    fn udp_tables(&self) -> Option<Vec<File>> {
        let tables = self.tables()?.into_iter();
        Some(tables.filter(|(protocol, _)| *protocol == Protocol::Udp).map(|(_, table)| table).collect())
    }
}

/// The session that asks.
#[derive(Clone, Copy)]
pub(in super::super) struct Prober<'a> {
    pub(in super::super) client: &'a Docker,
    pub(in super::super) cleaner: &'a Cleaner,
    pub(in super::super) session: &'a SessionId,
    /// The engine's platform, for example `linux/amd64`.
    pub(in super::super) platform: &'a str,
}
