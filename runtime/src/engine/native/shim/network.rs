//! The networks of a session: two bridges that only this session's containers are on.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{FlockOperation, MemfdFlags, fcntl_lock};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, ipproto, socket_with};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::error::{Context as _, ShimError};
use super::{condition, confinement, guard, nft, ports, unshare, users};
use crate::engine::native::address::{self, Audience, Network};
use crate::engine::native::capabilities::Users;
use crate::engine::native::netlink::{Links, Netlink, PortScope, link};
use crate::engine::native::wire::{self, Answer, SOCKETS, SocketKind};

const BRIDGES: [(Network, &str); 2] = [(Network::Services, "services"), (Network::Others, "others")];

const DOMAIN: u16 = 53;

/// What the filter marks is at home here, whatever address it is for.
const MARK: u32 = 1;
const TABLE: u8 = 100;

/// In the network namespace of the calling thread, before it has any link but `lo`.
fn settle() -> Result<(), ShimError> {
    for (setting, value) in confinement::NETWORK {
        match std::fs::write(setting, value) {
            // Not every kernel has IPv6.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ShimError::new(format!("{setting}: {error}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// In the shim's own network namespace. A daemon's packet filter is in another one, and does not see these bridges.
/// Nothing is forwarded from one to the other.
pub(super) fn make_hub() -> Result<(), ShimError> {
    let mut netlink = Netlink::open().context("rtnetlink")?;
    let turns = rustix::fs::memfd_create(c"turns", MemfdFlags::CLOEXEC).context("turns")?;
    let _ = TURNS.set(turns);
    settle()?;
    netlink.up(link("lo").context("lo")?).context("lo up")?;
    // It may have taken over from the machine that it forwards.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").context("ip_forward")?;
    // With `br_netfilter`, which daemons load, the bridge filters as well: what it diverts arrives nowhere.
    let _ = std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
    guard::set_up();
    for (network, name) in BRIDGES {
        netlink.add_bridge(name, address::hardware(network.bridge())).context("a bridge")?;
        let bridge = link(name).context("the bridge")?;
        netlink.add_address(bridge, network.bridge(), address::PREFIX).context("the bridge's address")?;
        netlink.up(bridge).context("the bridge up")?;
    }
    Ok(())
}

/// What changes networks takes one lock of the kernel's, and while another has it, what is written to settings is tried
/// again and again (`restart_syscall`): so the shim's children take turns. Locks of fcntl(2) are a process's own, and end
/// with it.
static TURNS: std::sync::OnceLock<OwnedFd> = std::sync::OnceLock::new();

fn take_turn() -> Result<(), ShimError> {
    let Some(turns) = TURNS.get() else { return Ok(()) };
    let lock = || fcntl_lock(turns, FlockOperation::LockExclusive);
    rustix::io::retry_on_intr(lock).context("its turn")
}

/// A network of its own, with an address on a bridge. It is there as long as anybody has it open.
pub(super) fn give_own(
    network: Network,
    number: u16,
    audience: Audience,
    has_gateway: bool,
    users: Users,
    answers: &UnixStream,
) -> Result<(), ShimError> {
    let name = BRIDGES.iter().find_map(|(of, name)| (*of == network).then_some(*name)).unwrap_or_default();
    let (mut hub, links) = (Netlink::open().context("rtnetlink")?, Links::here().context("links")?);
    let bridge = links.index(name).context("the bridge")?;
    let own_address = network.of(number);
    let hardware = address::hardware(own_address);
    // No two of a session have the same number, whichever bridge they are on.
    let port = format!("c{number}");
    if guard::check().is_ok() {
        ports::admit(&port, hardware, own_address).context("a guard of its link")?;
    }
    match users {
        Users::OfTheHost => unshare(UnshareFlags::NEWNET).context("a network of its own")?,
        Users::OfItsOwn => users::enter_owned_network()?,
    }
    take_turn()?;
    settle()?;
    let mut own = Netlink::open().context("rtnetlink")?;
    own.up(link("lo").context("lo")?).context("lo up")?;
    let here = File::open("/proc/self/ns/net").context("its network")?;
    hub.add_veth(&port, bridge, ("eth0", hardware), here.as_fd()).context("a link to the bridge")?;
    let scope = match audience {
        Audience::Everybody => PortScope::All,
        Audience::Nobody => PortScope::Bridge,
    };
    let port = links.index(&port).context("a link to the bridge")?;
    hub.pin(port, hardware, scope).context("the bridge's end of its link")?;
    let link = link("eth0").context("eth0")?;
    own.add_address(link, own_address, address::PREFIX).context("its address")?;
    own.up(link).context("eth0 up")?;
    if has_gateway {
        own.add_default_route(network.bridge()).context("its way to the world")?;
    }
    let condition = condition::note().context("what its network is like")?;
    wire::send_descriptors(answers, &[here.as_fd(), condition.as_fd()]).context("the pipeline")
}

/// Goes into a network that was made before.
pub(super) fn enter(network: &OwnedFd) -> Result<(), ShimError> {
    rustix::thread::move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .context("its network")
}

/// Says whether a network is as it was when it was made.
pub(super) fn inspect(descriptors: Vec<OwnedFd>, answers: &UnixStream) -> Result<(), ShimError> {
    let both: Result<[OwnedFd; 2], _> = descriptors.try_into();
    let [namespace, noted] = both.map_err(|_| ShimError::new("no network to look at"))?;
    enter(&namespace)?;
    condition::check(noted)?;
    wire::say(answers, &Answer::Done).context("the pipeline")
}

/// A socket belongs to the namespace that it was made in, wherever it goes.
pub(super) fn give_sockets(kind: SocketKind, answers: &UnixStream) -> Result<(), ShimError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kind = match kind {
        SocketKind::Tcp => SocketType::STREAM,
        SocketKind::Udp => SocketType::DGRAM,
    };
    let make = || socket_with(AddressFamily::INET, kind, flags, None);
    let sockets: Result<Vec<OwnedFd>, _> = std::iter::repeat_with(make).take(SOCKETS).collect();
    let sockets = sockets.context("sockets")?;
    let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(OwnedFd::as_fd).collect();
    wire::send_descriptors(answers, &sockets).context("the pipeline")
}

/// Sockets at which the pipeline serves containers, in a network of their own.
pub(super) fn listen(
    ports: &[(SocketKind, u16)],
    descriptors: Vec<OwnedFd>,
    answers: &UnixStream,
) -> Result<(), ShimError> {
    let network = descriptors.into_iter().next().ok_or_else(|| ShimError::new("no network to listen in"))?;
    enter(&network)?;
    let listen = |(kind, port): &(SocketKind, u16)| {
        let at = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, *port);
        let (socket, result): (OwnedFd, _) = match kind {
            SocketKind::Tcp => {
                let socket = TcpListener::bind(at).context(format_args!("port {port}"))?;
                let result = socket.set_nonblocking(true);
                (socket.into(), result)
            }
            SocketKind::Udp => {
                let socket = UdpSocket::bind(at).context(format_args!("port {port}/udp"))?;
                let result = socket.set_nonblocking(true);
                (socket.into(), result)
            }
        };
        result.context("a socket").map(|()| socket)
    };
    let sockets = ports.iter().map(listen).collect::<Result<Vec<OwnedFd>, ShimError>>()?;
    let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(OwnedFd::as_fd).collect();
    wire::send_descriptors(answers, &sockets).context("the pipeline")
}

/// What is sent to the world comes in by one bridge or the other, and is redirected to the address of that one.
pub(super) fn give_gateway(answers: &UnixStream) -> Result<(), ShimError> {
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

/// Datagrams are not redirected, as none would know any more where it was for: they arrive as they were sent. Answers
/// are sent by raw sockets, which alone can say that they come from any address and port.
pub(super) fn give_datagrams(answers: &UnixStream) -> Result<(), ShimError> {
    let datagrams = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).context("a socket")?;
    let port = datagrams.local_addr().context("a socket")?.port();
    datagrams.set_nonblocking(true).context("a socket")?;
    for option in [libc::IP_TRANSPARENT, libc::IP_RECVORIGDSTADDR] {
        set(datagrams.as_fd(), option).context("a socket for any address")?;
    }
    let (by_udp, by_icmp) = (raw(ipproto::UDP)?, raw(ipproto::ICMP)?);
    let mut netlink = Netlink::open().context("rtnetlink")?;
    let lo = link("lo").context("lo")?;
    netlink.add_local_route(TABLE, lo).context("a table of routes")?;
    netlink.add_rule(MARK, TABLE).context("a rule for routes")?;
    nft::divert(address::ALL, port, MARK).context("transparent proxying (nft_tproxy)")?;
    wire::send_descriptors(answers, &[datagrams.as_fd(), by_udp.as_fd(), by_icmp.as_fd()])
        .context("the pipeline")
}

/// For sending only: nothing is for the loopback address, where it hears.
fn raw(protocol: Protocol) -> Result<OwnedFd, ShimError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(protocol)).context("a raw socket")?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).context("a raw socket")?;
    set(socket.as_fd(), libc::IP_TRANSPARENT).context("a raw socket for any address")?;
    Ok(socket)
}

/// Turns an option of ip(7) on.
#[allow(unsafe_code)]
fn set(socket: BorrowedFd<'_>, option: libc::c_int) -> std::io::Result<()> {
    static ON: libc::c_int = 1;
    let length = u32::try_from(size_of_val(&ON)).unwrap_or(0);
    // SAFETY: the value outlives the call, and is as long as is said.
    let failed =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_IP, option, (&raw const ON).cast(), length) };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
