//! The kernel's tables of a network's sockets (`proc_net_tcp(5)`), as far as they say who waits for clients.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::model::Protocol;

/// A socket that waits for clients: one that listens (TCP), or is bound and has no peer (UDP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.protocol)
    }
}

/// The tables, each with the protocol of what is in it. The kernel has the latter two only where it has IPv6.
pub(super) const TABLES: [(&str, Protocol); 4] =
    [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("tcp6", Protocol::Tcp), ("udp6", Protocol::Udp)];

/// The most of a table that is read: 1 MiB, some 7,000 sockets. Of TCP those that listen come first.
const MOST: u64 = 1 << 20;

/// The address at which engines answer containers' questions for names, in every container's network.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// The sockets in these tables that wait for clients, without those of the engine itself. It blocks: some kernels take
/// milliseconds for an empty table.
pub(super) fn read(tables: Vec<(Protocol, File)>) -> io::Result<BTreeSet<Listening>> {
    let mut found = BTreeSet::new();
    for (protocol, table) in tables {
        let mut text = Vec::new();
        table.take(MOST).read_to_end(&mut text)?;
        found.extend(of_table(protocol, &String::from_utf8_lossy(&text)));
    }
    Ok(found)
}

fn of_table(protocol: Protocol, table: &str) -> impl Iterator<Item = Listening> {
    table.lines().filter_map(Socket::parse).filter_map(move |socket| {
        let waits = match protocol {
            Protocol::Tcp => socket.state == LISTENS,
            Protocol::Udp => socket.state == HAS_NO_PEER,
        };
        (waits && socket.ip != RESOLVER).then(|| socket.listening(protocol))
    })
}

/// The states that the tables have for a socket of TCP, and of UDP.
const LISTENS: u8 = 0x0a;
const HAS_NO_PEER: u8 = 0x07;

/// A line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    state: u8,
}

impl Socket {
    /// `1: 0100007F:0035 00000000:0000 07 …`: number, own address, peer's address, state. `None` for the heading.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (ip, port) = own_address(fields.nth(1)?)?;
        let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
        Some(Self { ip, port, state })
    }

    /// Whether a socket of UDP receives from one peer alone.
    pub(super) fn is_connected(&self) -> bool {
        self.state != HAS_NO_PEER
    }

    fn listening(&self, protocol: Protocol) -> Listening {
        Listening { protocol, address: SocketAddr::new(self.ip, self.port) }
    }
}

/// What a helper in the network says of a socket that waits for clients: `tcp`, and its own address as the table has it.
#[cfg(feature = "docker")]
pub(super) fn said(table: &str, address: &str) -> Option<Listening> {
    let (_, protocol) = TABLES.into_iter().find(|(name, _)| *name == table)?;
    let (ip, port) = own_address(address)?;
    (ip != RESOLVER).then(|| Listening { protocol, address: SocketAddr::new(ip, port) })
}

fn own_address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    Some((address(ip)?, u16::from_str_radix(port, 16).ok()?))
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
    use proptest::prelude::*;

    use super::*;

    const HEADING: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";

    fn texts(protocol: Protocol, table: &str) -> Vec<String> {
        of_table(protocol, table).map(|socket| socket.to_string()).collect()
    }

    #[test]
    fn what_waits_for_clients_is_found_and_nothing_else() {
        let table = format!(
            "{HEADING}\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 9 1\n\
             1: 0B00007F:A3F1 00000000:0000 0A 00000000:00000000\n\
             2: 0100007F:1F91 0100007F:9999 01 00000000:00000000\n\
             0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0\n\
             1: 0000000000000000FFFF0000020012AC:0051 00000000000000000000000000000000:0000 0A 0:0\n"
        );
        assert_eq!(texts(Protocol::Tcp, &table), ["127.0.0.1:8080/tcp", "[::1]:80/tcp", "172.18.0.2:81/tcp"]);
        let table = "1: 00000000:0035 00000000:0000 07\n2: 020012AC:C001 0100000A:0035 01\n";
        assert_eq!(texts(Protocol::Udp, table), ["0.0.0.0:53/udp"]);
    }

    #[test]
    fn six_is_read_like_four() {
        let ip = |line| Socket::parse(line).unwrap().ip;
        let unique = ip("1: 000000FD000000000000000002000000:0035 00000000000000000000000000000000:0000 07");
        assert_eq!(unique, "fd00::2".parse::<IpAddr>().unwrap());
        let any = ip("1: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07");
        assert_eq!(any, IpAddr::from(Ipv6Addr::UNSPECIFIED));
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
            "1: 00000000:10000 0:0 07",
            "1: 0000000000000000:0035 0:0 07",
            "1: 00000000:0035 0:0",
            "1: 00000000:0035 0:0 1ff",
            "1: é:é é é",
            // As a cut in the middle leaves it.
            "1: 00000000:0035 00000000:00",
        ] {
            assert_eq!(Socket::parse(line), None, "{line}");
        }
    }

    #[cfg(feature = "docker")]
    #[test]
    fn a_helper_is_believed_no_more_than_a_table() {
        assert_eq!(said("tcp6", "0100007F:1F90").unwrap().to_string(), "127.0.0.1:8080/tcp");
        for (table, address) in
            [("sctp", "0100007F:1F90"), ("tcp", "0100007F"), ("tcp", "x"), ("udp", "0B00007F:1")]
        {
            assert_eq!(said(table, address), None);
        }
    }

    proptest! {
        #[test]
        fn no_table_is_too_much(table in "([0-9A-F]{1,40}|:| |\\n|0A|07|\\PC){0,60}") {
            let _ = of_table(Protocol::Tcp, &table).count();
        }
    }
}
