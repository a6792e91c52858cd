//! The network of the services: a bridge that only this session's containers are on.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::UnshareFlags;

use super::fault::{Context as _, Fault};
use super::netlink::{Netlink, link};
use super::unshare;
use crate::engine::native::address;
use crate::engine::native::wire;

const BRIDGE: &str = "services";

/// In the host's own network namespace. A daemon's packet filter is in another one, and does not see this bridge.
pub(super) fn make_hub() -> Result<(), Fault> {
    let mut netlink = Netlink::open().context("rtnetlink")?;
    netlink.up(link("lo").context("lo")?).context("lo up")?;
    netlink.add_bridge(BRIDGE).context("a bridge")?;
    let bridge = link(BRIDGE).context("the bridge")?;
    netlink.add_address(bridge, address::HUB, address::PREFIX).context("the bridge's address")?;
    netlink.up(bridge).context("the bridge up")
}

/// Leaves the hub's network for one of its own: with an address on the bridge, or with nothing but a loopback.
pub(super) fn enter_own(address: Option<u16>) -> Result<(), Fault> {
    let mut hub = address.map(|_| Netlink::open()).transpose().context("rtnetlink")?;
    let bridge = address.map(|_| link(BRIDGE)).transpose().context("the bridge")?;
    unshare(UnshareFlags::NEWNET).context("a network of its own")?;
    let mut own = Netlink::open().context("rtnetlink")?;
    own.up(link("lo").context("lo")?).context("lo up")?;
    if let (Some(hub), Some(bridge), Some(number)) = (&mut hub, bridge, address) {
        let here = File::open("/proc/self/ns/net").context("its network")?;
        hub.add_veth(&format!("c{number}"), bridge, "eth0", here.as_fd()).context("a link to the bridge")?;
        let link = link("eth0").context("eth0")?;
        own.add_address(link, address::of(number), address::PREFIX).context("its address")?;
        own.up(link).context("eth0 up")?;
    }
    Ok(())
}

/// A socket belongs to the namespace that it was made in, wherever it goes.
pub(super) fn give_socket(answers: &UnixStream) -> Result<(), Fault> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).context("a socket")?;
    wire::send_descriptors(answers, &[socket.as_fd()]).context("the pipeline")
}
