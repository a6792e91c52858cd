//! Lookups in the machine's routing table.

use std::io;
use std::net::Ipv4Addr;

use super::super::netlink::{IPV4, Message, Netlink, attributes, number};

const RTM_GETLINK: u16 = 18;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_VIA: u16 = 18;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
/// The length of a struct rtmsg or ifinfomsg, which precedes the attributes.
const ROUTE_HEADER: usize = 12;
const LINK_HEADER: usize = 16;

/// An address in the world, whose route is the machine's default route (RFC 5737: reserved for documentation).
const WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Whether an address belongs to a container or a virtual machine on a bridge of this machine. The machine's own address
/// on the bridge does not, and neither does anything on a bridge that connects the machine itself: one with its default
/// route, or with a physical port.
pub(super) fn is_on_bridge(address: Ipv4Addr) -> io::Result<bool> {
    let mut netlink = Netlink::open()?;
    let Some(link) = neighbourhood(&mut netlink, address)? else { return Ok(false) };
    if kind(&mut netlink, link)?.as_deref() != Some("bridge") {
        return Ok(false);
    }
    let way_out = route(&mut netlink, WORLD)?.and_then(|route| route.link);
    Ok(way_out != Some(link) && has_virtual_ports_only(&mut netlink, link)?)
}

struct Route {
    link: Option<u32>,
    is_direct: bool,
}

/// The link on which an address is a direct neighbour.
fn neighbourhood(netlink: &mut Netlink, address: Ipv4Addr) -> io::Result<Option<u32>> {
    Ok(route(netlink, address)?.filter(|route| route.is_direct).and_then(|route| route.link))
}

fn route(netlink: &mut Netlink, to: Ipv4Addr) -> io::Result<Option<Route>> {
    let mut question = Message::new(RTM_GETROUTE);
    // struct rtmsg: family, prefix length of the destination, and zeros for the rest
    question.bytes.extend([IPV4, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    question.attribute(RTA_DST, &to.octets());
    let found = match netlink.get(question) {
        Ok(found) => found,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Some((header, rest)) = found.split_at_checked(ROUTE_HEADER) else { return Ok(None) };
    let mut route = Route { link: None, is_direct: header[7] == libc::RTN_UNICAST };
    for (kind, value) in attributes(rest) {
        match kind {
            RTA_OIF => route.link = number(value),
            RTA_GATEWAY | RTA_VIA => route.is_direct = false,
            _ => {}
        }
    }
    Ok(Some(route))
}

/// The kind of a link; `None` for a physical device.
fn kind(netlink: &mut Netlink, link: u32) -> io::Result<Option<String>> {
    let found = netlink.get(Message::link(RTM_GETLINK, link, 0))?;
    Ok(kind_in(found.get(LINK_HEADER..).unwrap_or_default()))
}

fn kind_in(link: &[u8]) -> Option<String> {
    let info = attributes(link).find(|(kind, _)| *kind == IFLA_LINKINFO)?.1;
    let kind = attributes(info).find(|(kind, _)| *kind == IFLA_INFO_KIND)?.1;
    Some(String::from_utf8_lossy(kind).trim_end_matches('\0').to_owned())
}

/// Whether all ports are virtual: veth pairs of containers, taps of virtual machines.
fn has_virtual_ports_only(netlink: &mut Netlink, bridge: u32) -> io::Result<bool> {
    let links = netlink.get_all(Message::link(RTM_GETLINK, 0, 0))?;
    Ok(links.iter().filter_map(|link| link.get(LINK_HEADER..)).all(|link| {
        let master = attributes(link).find(|(kind, _)| *kind == IFLA_MASTER);
        master.and_then(|(_, value)| number(value)) != Some(bridge)
            || matches!(kind_in(link).as_deref(), Some("veth" | "tun"))
    }))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn ip(words: &str) {
        let output = Command::new("ip").args(words.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// In a network namespace of its own, which ends with the thread.
    #[test]
    #[allow(unsafe_code)]
    fn what_is_on_a_bridge_of_another_engine_is_told_from_what_is_not() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        std::thread::spawn(|| {
            // SAFETY: this thread's file descriptors are not unshared.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
            for words in [
                "link set lo up",
                // The machine's default route, over a bridge of its own.
                "link add out type bridge",
                "address add 192.168.7.2/24 dev out",
                "link set out up",
                "route add default via 192.168.7.1",
                // Bridges of another engine, one with a container and one without; both are up without a carrier.
                "link add docker0 type bridge",
                "link add v0 type veth peer name v1",
                "link set v0 master docker0",
                "address add 172.17.0.1/16 dev docker0",
                "link set docker0 up",
                "link add internal type bridge",
                "address add 172.18.0.1/16 dev internal",
                "link set internal up",
                // A network that the machine is connected to by a bridge, and one that it is connected to without.
                "link add lan type bridge",
                "link add eth1 type ifb",
                "link set eth1 master lan",
                "address add 192.168.8.2/24 dev lan",
                "link set lan up",
                "link add eth2 type ifb",
                "address add 192.168.9.2/24 dev eth2",
                "link set eth2 up",
                // A network behind a container.
                "route add 10.99.0.0/16 via 172.17.0.9",
            ] {
                ip(words);
            }
            for (address, is_on) in [
                ("172.17.0.2", true),
                ("172.17.255.254", true),
                ("172.18.0.2", true),
                ("172.17.0.1", false),
                ("172.18.0.1", false),
                ("192.168.7.1", false),
                ("192.168.7.2", false),
                ("192.168.8.1", false),
                ("192.168.9.1", false),
                ("10.99.0.1", false),
                ("198.51.100.1", false),
            ] {
                assert_eq!(is_on_bridge(address.parse().unwrap()).unwrap(), is_on, "{address}");
            }
        })
        .join()
        .unwrap();
    }
}
