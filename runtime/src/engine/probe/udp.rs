//! The UDP ports that a container's processes serve, read from the kernel's table of its sockets.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::IpAddr;

use super::dialer::Dialer;
use crate::engine::sockets::Socket;

/// The socket tables of a container's network namespace.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The address that clients will send to.
    ip: IpAddr,
    /// `None` while they are being read, and after a failure.
    tables: Option<Vec<File>>,
}

impl Sockets {
    /// `None` if the tables are not available.
    pub(super) fn of(dialer: &impl Dialer) -> Option<Self> {
        Some(Self { ip: dialer.ip(), tables: Some(dialer.udp_tables()?) })
    }

    /// The ports that are served now; `None` once that cannot be known any longer.
    pub(super) async fn open_ports(&mut self) -> Option<HashSet<u16>> {
        let ip = self.ip;
        let mut tables = self.tables.take()?;
        // Some kernels take milliseconds for an empty table.
        let read = tokio::task::spawn_blocking(move || {
            let text = tables.iter_mut().map(read_again).collect::<io::Result<String>>()?;
            Ok::<_, io::Error>((open_ports(&text, ip), tables))
        });
        let (ports, tables) = read.await.ok()?.ok()?;
        self.tables = Some(tables);
        Some(ports)
    }
}

fn read_again(table: &mut File) -> io::Result<String> {
    let mut text = String::new();
    table.rewind()?;
    table.read_to_string(&mut text)?;
    Ok(text)
}

/// The ports that a client of this address would reach: sockets bound to that address or to every address, and connected
/// to no peer.
fn open_ports(table: &str, ip: IpAddr) -> HashSet<u16> {
    // `::` accepts IPv4 too, 0.0.0.0 does not accept IPv6.
    let is_every = |own: IpAddr| own.is_unspecified() && (own.is_ipv6() || ip.is_ipv4());
    let reachable = |socket: &Socket| !socket.is_connected() && (socket.ip == ip || is_every(socket.ip));
    table.lines().filter_map(Socket::parse).filter(reachable).map(|socket| socket.port).collect()
}

#[cfg(target_endian = "little")]
#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HEADING: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";

    fn v4(last: u8) -> IpAddr {
        Ipv4Addr::new(172, 18, 0, last).into()
    }

    #[test]
    fn every_address_is_reachable_and_loopback_is_not() {
        let table = format!(
            "{HEADING}\n\
             1: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 9 2 0 0\n\
             2: 0100007F:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 9 2 0 0\n\
             3: 0B00007F:A3B1 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 9 2 0 0\n"
        );
        assert_eq!(open_ports(&table, v4(2)), HashSet::from([53]));
    }

    #[test]
    fn the_own_address_is_reachable_and_another_is_not() {
        let table = "1: 020012AC:0035 00000000:0000 07\n2: 030012AC:0036 00000000:0000 07\n";
        assert_eq!(open_ports(table, v4(2)), HashSet::from([53]));
    }

    #[test]
    fn a_connected_socket_serves_nobody() {
        let table = "1: 020012AC:C001 0100000A:0035 01\n";
        assert_eq!(open_ports(table, v4(2)), HashSet::new());
    }
}
