//! The UDP ports that a container's processes serve, read from the kernel's table of its sockets.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::dialer::Dialer;

/// The finding for a port without a socket.
pub(super) const NOT_OPEN: &str = "no socket is bound to it";

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
    let reachable = |socket: &Socket| !socket.connected && (socket.ip == ip || is_every(socket.ip));
    table.lines().filter_map(Socket::parse).filter(reachable).map(|socket| socket.port).collect()
}

/// A line of `/proc/net/udp` or `/proc/net/udp6`.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    ip: IpAddr,
    port: u16,
    connected: bool,
}

impl Socket {
    /// `1: 0100007F:0035 00000000:0000 07 …`: number, own address, peer's address, state. `None` for the heading.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let own = fields.nth(1)?;
        let state = fields.nth(1)?;
        let (ip, port) = own.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some(Self { ip: address(ip)?, port, connected: state != "07" })
    }
}

/// Addresses are printed as 32-bit words in the machine's byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for word in hex.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(Ipv6Addr::from(v6).to_canonical())
}

#[cfg(target_endian = "little")]
#[cfg(test)]
mod tests {
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

    #[test]
    fn six_is_read_like_four() {
        let parse = |line| Socket::parse(line).unwrap();
        let any = parse("1: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07");
        assert_eq!(any, Socket { ip: Ipv6Addr::UNSPECIFIED.into(), port: 53, connected: false });
        let mapped =
            parse("1: 0000000000000000FFFF0000020012AC:0035 00000000000000000000000000000000:0000 07");
        assert_eq!(mapped.ip, v4(2));
        let loopback =
            parse("1: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07");
        assert_eq!(loopback.ip, IpAddr::from(Ipv6Addr::LOCALHOST));
        let unique =
            parse("1: 000000FD000000000000000002000000:0035 00000000000000000000000000000000:0000 07");
        assert_eq!(unique.ip, "fd00::2".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn anything_else_is_passed_over() {
        for line in [
            "",
            HEADING,
            "1:",
            "1: 0:0",
            "1: zz:0035 0:0 07",
            "1: 00000000:zzzz 0:0 07",
            "1: 0000000000000000:0035 0:0 07",
            "1: é:é é é",
        ] {
            assert_eq!(Socket::parse(line), None, "{line}");
        }
    }
}
