//! The state of a network namespace: recorded when it is made, and checked before another container gets it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;

use super::error::{Context as _, ShimError};
use crate::engine::native::address;
use crate::engine::native::netlink::{Message, Netlink, attributes};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;
const LINK_HEADER: usize = 16;
/// Attributes of a link: hardware address, name, MTU and queue length.
const LINK: [u16; 4] = [1, 3, 4, 13];
/// The link's IPv4 settings (`/proc/sys/net/ipv4/conf`).
const IFLA_AF_SPEC: u16 = 26;
const SETTINGS: [&str; 8] = [
    "ipv4/ip_forward",
    "ipv4/conf/all/accept_redirects",
    "ipv4/conf/all/arp_ignore",
    "ipv4/conf/all/route_localnet",
    "ipv4/conf/all/rp_filter",
    "ipv6/conf/all/disable_ipv6",
    "ipv6/conf/eth0/accept_ra",
    "ipv6/conf/eth0/disable_ipv6",
];
/// The range of ephemeral ports.
const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Records the state of the calling thread's network namespace.
pub(super) fn note() -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create(c"network", MemfdFlags::CLOEXEC)?);
    file.write_all(&look()?)?;
    Ok(file.into())
}

/// Checks that the calling thread's network namespace is in the recorded state, and that nothing is left of its last
/// user.
pub(super) fn check(noted: OwnedFd) -> Result<(), ShimError> {
    let mut noted = File::from(noted);
    let mut wanted = Vec::new();
    noted.rewind().and_then(|()| noted.read_to_end(&mut wanted)).context("what it was like")?;
    if look().context("what it is like")? != wanted {
        return Err(ShimError::new("it has changed"));
    }
    let lies = neighbours().context("its neighbours")?;
    if lies || leaves_ports().context("its ports")? {
        return Err(ShimError::new("something is left of who had it"));
    }
    Ok(())
}

/// Everything that a program may depend on, and nothing that changes by itself.
fn look() -> io::Result<Vec<u8>> {
    let mut netlink = Netlink::open()?;
    let mut seen = Vec::new();
    for link in netlink.get_all(Message::link(RTM_GETLINK, 0, 0))? {
        let kept = attributes(link.get(LINK_HEADER..).unwrap_or_default()).filter_map(|(kind, value)| {
            // The IPv6 settings contain times and counters.
            let inet = || attributes(value).find(|(family, _)| i32::from(*family) == libc::AF_INET);
            match kind {
                IFLA_AF_SPEC => inet().map(|(_, settings)| (kind, settings)),
                _ => LINK.contains(&kind).then_some((kind, value)),
            }
        });
        for (kind, value) in kept {
            seen.extend(kind.to_ne_bytes());
            seen.extend(value);
        }
    }
    // A struct ifaddrmsg, rtmsg, fib_rule_hdr: of any address family, and of IPv4.
    let asks = [
        (RTM_GETADDR, libc::AF_UNSPEC, 8),
        (RTM_GETROUTE, libc::AF_INET, 12),
        (RTM_GETRULE, libc::AF_INET, 12),
    ];
    for (kind, family, length) in asks {
        let mut question = Message::new(kind);
        question.bytes.push(u8::try_from(family).unwrap_or_default());
        question.bytes.extend(std::iter::repeat_n(0, length - 1));
        seen.extend(netlink.get_all(question)?.concat());
    }
    for name in SETTINGS {
        seen.extend(std::fs::read(format!("/proc/sys/net/{name}")).unwrap_or_default());
        seen.push(0);
    }
    Ok(seen)
}

/// Whether the neighbour table has a wrong or a permanent hardware address.
fn neighbours() -> io::Result<bool> {
    const FOR_GOOD: u32 = 4;
    let text = std::fs::read_to_string("/proc/thread-self/net/arp")?;
    Ok(text.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, flags, hardware, ..] = words[..] else { return true };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(FOR_GOOD);
        let own = address.parse().ok().map(|address| written(address::hardware(address)));
        // A neighbour that has not answered has no hardware address.
        flags & FOR_GOOD != 0 || flags != 0 && own.as_deref() != Some(hardware)
    }))
}

fn written(hardware: [u8; 6]) -> String {
    let mut text = String::new();
    for byte in hardware {
        let _ = write!(text, "{}{byte:02x}", if text.is_empty() { "" } else { ":" });
    }
    text
}

/// Whether connections are left (mostly in `TIME_WAIT`) at a port that the next container may want to listen at. Nobody
/// wants a particular ephemeral port.
fn leaves_ports() -> io::Result<bool> {
    if !has_connections() {
        return Ok(false);
    }
    let first = std::fs::read_to_string(PORTS)?;
    let first = first.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(u16::MAX);
    for name in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
        let ports = text.lines().skip(1).filter_map(|line| {
            let local = line.split_whitespace().nth(1)?;
            u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()
        });
        if ports.into_iter().any(|port| port < first) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the network has any sockets, by the kernel's counters. Reading the socket tables takes milliseconds: they
/// cover the whole machine, and the kernel skips other networks' entries.
fn has_connections() -> bool {
    let is_empty = |name: &str, protocol: &str, counts: &[&str]| {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).ok()?;
        let words: Vec<_> =
            text.lines().find_map(|line| line.strip_prefix(protocol))?.split_whitespace().collect();
        let count = |of: &&str| words.chunks_exact(2).find(|pair| pair[0] == *of)?[1].parse().ok();
        counts.iter().map(count).try_fold(true, |empty, count: Option<u64>| Some(empty && count? == 0))
    };
    // Without IPv6 there is no such file. IPv4's counters of closing sockets include those of IPv6.
    let has_none = is_empty("sockstat", "TCP:", &["inuse", "tw"]) == Some(true)
        && is_empty("sockstat6", "TCP6:", &["inuse"]) != Some(false);
    !has_none
}
