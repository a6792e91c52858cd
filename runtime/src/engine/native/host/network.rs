//! The networks of a session: two bridges that only this session's containers are on.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::fault::{Context as _, Fault};
use super::netlink::{Netlink, link};
use super::{nft, unshare};
use crate::engine::native::address::{self, Network};
use crate::engine::native::wire;

const BRIDGES: [(Network, &str); 2] = [(Network::Services, "services"), (Network::Others, "others")];

const DOMAIN: u16 = 53;

/// In the host's own network namespace. A daemon's packet filter is in another one, and does not see these bridges.
/// Nothing is forwarded from one to the other.
pub(super) fn make_hub() -> Result<(), Fault> {
    let mut netlink = Netlink::open().context("rtnetlink")?;
    netlink.up(link("lo").context("lo")?).context("lo up")?;
    // It may have taken over from the machine that it forwards.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").context("ip_forward")?;
    for (network, name) in BRIDGES {
        netlink.add_bridge(name).context("a bridge")?;
        let bridge = link(name).context("the bridge")?;
        netlink.add_address(bridge, network.hub(), address::PREFIX).context("the bridge's address")?;
        netlink.up(bridge).context("the bridge up")?;
    }
    Ok(())
}

/// A network of its own, with an address on a bridge. It is there as long as anybody has it open.
pub(super) fn give_own(
    network: Network,
    number: u16,
    has_gateway: bool,
    answers: &UnixStream,
) -> Result<(), Fault> {
    let name = BRIDGES.iter().find_map(|(of, name)| (*of == network).then_some(*name)).unwrap_or_default();
    let mut hub = Netlink::open().context("rtnetlink")?;
    let bridge = link(name).context("the bridge")?;
    unshare(UnshareFlags::NEWNET).context("a network of its own")?;
    let mut own = Netlink::open().context("rtnetlink")?;
    own.up(link("lo").context("lo")?).context("lo up")?;
    let here = File::open("/proc/self/ns/net").context("its network")?;
    // No two of a session have the same number, whichever bridge they are on.
    hub.add_veth(&format!("c{number}"), bridge, "eth0", here.as_fd()).context("a link to the bridge")?;
    let link = link("eth0").context("eth0")?;
    own.add_address(link, network.of(number), address::PREFIX).context("its address")?;
    own.up(link).context("eth0 up")?;
    if has_gateway {
        own.add_default_route(network.hub()).context("its way to the world")?;
    }
    wire::send_descriptors(answers, &[here.as_fd()]).context("the pipeline")
}

/// Goes into a network that was made before.
pub(super) fn enter(network: &OwnedFd) -> Result<(), Fault> {
    rustix::thread::move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .context("its network")
}

/// A socket belongs to the namespace that it was made in, wherever it goes.
pub(super) fn give_socket(answers: &UnixStream) -> Result<(), Fault> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).context("a socket")?;
    wire::send_descriptors(answers, &[socket.as_fd()]).context("the pipeline")
}

/// What is sent to the world comes in by one bridge or the other, and is redirected to the address of that one.
pub(super) fn give_gateway(answers: &UnixStream) -> Result<(), Fault> {
    let at = |port| SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    let connections = TcpListener::bind(at(0)).context("a socket")?;
    let port = connections.local_addr().context("a socket")?.port();
    let by_tcp = TcpListener::bind(at(DOMAIN)).context("a socket for names")?;
    let by_udp = UdpSocket::bind(at(DOMAIN)).context("a socket for names")?;
    for result in
        [connections.set_nonblocking(true), by_tcp.set_nonblocking(true), by_udp.set_nonblocking(true)]
    {
        result.context("a socket")?;
    }
    nft::redirect(address::ALL, port).context("nf_tables")?;
    wire::send_descriptors(answers, &[connections.as_fd(), by_tcp.as_fd(), by_udp.as_fd()])
        .context("the pipeline")
}
