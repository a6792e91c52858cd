//! The few messages of rtnetlink(7) that containers' networks need: links, addresses, routes, and dumps of them.
//!
//! A crate for all of rtnetlink takes longer to compile than the rest of this engine, and needs an executor.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
/// Dumps all objects.
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The length of a message's header.
const HEADER: usize = 16;
/// The size of the receive buffer: the most that the kernel sends at once.
const SPACE: usize = 32 << 10;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWNEIGH: u16 = 28;
const RTM_NEWRULE: u16 = 32;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const NDA_LLADDR: u16 = 2;
/// A neighbour that is neither learned nor ever forgotten.
const NUD_NOARP: u16 = 0x40;
/// The request is about the bridge that a link is a port of.
const NTF_MASTER: u8 = 4;
const VETH_INFO_PEER: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const FRA_FWMARK: u16 = 10;
/// The action of a rule: look into another table.
const FR_ACT_TO_TBL: u8 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 1;
/// `AF_INET` and `AF_BRIDGE`.
pub(super) const IPV4: u8 = 2;
const BRIDGE: u8 = 7;

/// A netlink socket of the network namespace it was opened in.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    /// The sequence number of the last request.
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        // NETLINK_ROUTE is protocol 0, which is the default.
        Self::open_for(None)
    }

    pub(super) fn open_for(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Adds a bridge with a fixed hardware address, whatever its ports have.
    pub(super) fn add_bridge(&mut self, name: &str, hardware: [u8; 6]) -> io::Result<()> {
        let mut message = Message::link(RTM_NEWLINK, 0, 0);
        message.text(IFLA_IFNAME, name);
        message.attribute(IFLA_ADDRESS, &hardware);
        message.nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"));
        self.ask(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds a veth pair: `name` here, as a port of the bridge, and `peer` in another namespace, with an address.
    pub(super) fn add_veth(
        &mut self,
        name: &str,
        bridge: u32,
        (peer, hardware): (&str, [u8; 6]),
        there: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let mut message = Message::link(RTM_NEWLINK, 0, IFF_UP);
        message.text(IFLA_IFNAME, name);
        message.number(IFLA_MASTER, bridge);
        message.nested(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth");
            info.nested(IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |other| {
                    other.bytes.extend([0; 16]);
                    other.text(IFLA_IFNAME, peer);
                    other.attribute(IFLA_ADDRESS, &hardware);
                    other.number(IFLA_NET_NS_FD, u32::try_from(there.as_raw_fd()).unwrap_or(0));
                });
            });
        });
        self.ask(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Pins a hardware address to a port of a bridge: there is no other one there, whatever frames say.
    pub(super) fn pin(&mut self, port: u32, hardware: [u8; 6], scope: PortScope) -> io::Result<()> {
        let mut message = Message::link(RTM_NEWLINK, port, 0);
        message.nested(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_SLAVE_KIND, "bridge");
            info.nested(IFLA_INFO_SLAVE_DATA, |data| {
                data.attribute(IFLA_BRPORT_LEARNING, &[0]);
                data.attribute(IFLA_BRPORT_UNICAST_FLOOD, &[0]);
                data.attribute(IFLA_BRPORT_ISOLATED, &[u8::from(scope == PortScope::Bridge)]);
            });
        });
        let mut there = Message::new(RTM_NEWNEIGH);
        // struct ndmsg: family, padding, link, state, flags, type
        there.bytes.extend([BRIDGE, 0, 0, 0]);
        there.bytes.extend(port.to_ne_bytes());
        there.bytes.extend(NUD_NOARP.to_ne_bytes());
        there.bytes.extend([NTF_MASTER, 0]);
        there.attribute(NDA_LLADDR, &hardware);
        let create = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.ask_all(vec![(message, NLM_F_ACK), (there, create)])
    }

    pub(super) fn up(&mut self, link: u32) -> io::Result<()> {
        self.ask(Message::link(RTM_NEWLINK, link, IFF_UP), 0)
    }

    pub(super) fn add_address(&mut self, link: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut message = Message::new(RTM_NEWADDR);
        // struct ifaddrmsg: family, prefix length, flags, scope, link
        message.bytes.extend([IPV4, prefix, 0, 0]);
        message.bytes.extend(link.to_ne_bytes());
        message.attribute(IFA_LOCAL, &address.octets());
        message.attribute(IFA_ADDRESS, &address.octets());
        self.ask(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds a default route through `gateway`.
    pub(super) fn add_default_route(&mut self, gateway: Ipv4Addr) -> io::Result<()> {
        let mut message = Message::route(libc::RT_TABLE_MAIN, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
        message.attribute(RTA_GATEWAY, &gateway.octets());
        self.ask(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds a route to this table that makes every address local.
    pub(super) fn add_local_route(&mut self, table: u8, lo: u32) -> io::Result<()> {
        let mut message = Message::route(table, libc::RT_SCOPE_HOST, libc::RTN_LOCAL);
        message.number(RTA_OIF, lo);
        self.ask(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds a rule: packets with this mark are routed by this table.
    pub(super) fn add_rule(&mut self, mark: u32, table: u8) -> io::Result<()> {
        let mut message = Message::new(RTM_NEWRULE);
        // struct fib_rule_hdr: family, two prefix lengths, type of service, table, two reserved, action, flags
        message.bytes.extend([IPV4, 0, 0, 0, table, 0, 0, FR_ACT_TO_TBL]);
        message.bytes.extend([0; 4]);
        message.number(FRA_FWMARK, mark);
        self.ask(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    fn ask(&mut self, message: Message, flags: u16) -> io::Result<()> {
        self.ask_all(vec![(message, NLM_F_ACK | flags)])
    }

    /// Sends all messages at once, and reads an acknowledgement of each that requests one.
    pub(super) fn ask_all(&mut self, messages: Vec<(Message, u16)>) -> io::Result<()> {
        let answers = messages.iter().filter(|(_, flags)| flags & NLM_F_ACK != 0).count();
        let mut bytes = Vec::new();
        for (message, flags) in messages {
            self.sequence += 1;
            bytes.extend(message.finish(NLM_F_REQUEST | flags, self.sequence));
        }
        send(&self.socket, &bytes, SendFlags::empty())?;
        (0..answers).try_for_each(|_| self.hear())
    }

    /// Requests one object; returns its message without the header.
    pub(super) fn get(&mut self, question: Message) -> io::Result<Vec<u8>> {
        self.question(question, 0)?;
        let found = self.parts()?.into_iter().next();
        found.map(|(_, body)| body).ok_or_else(|| io::Error::other("rtnetlink says nothing"))
    }

    /// Requests all objects of a kind; returns their messages without headers.
    pub(super) fn get_all(&mut self, question: Message) -> io::Result<Vec<Vec<u8>>> {
        self.question(question, NLM_F_DUMP)?;
        let mut all = Vec::new();
        loop {
            for (kind, body) in self.parts()? {
                if kind == NLMSG_DONE {
                    return Ok(all);
                }
                all.push(body);
            }
        }
    }

    fn question(&mut self, question: Message, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        send(&self.socket, &question.finish(NLM_F_REQUEST | flags, self.sequence), SendFlags::empty())?;
        Ok(())
    }

    /// Receives the next messages, each as its type and contents.
    fn parts(&self) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let mut space = vec![0; SPACE];
        let (_, length) =
            rustix::io::retry_on_intr(|| recv(&self.socket, &mut space[..], RecvFlags::empty()))?;
        let mut rest = space.get(..length).unwrap_or_default();
        let mut parts = Vec::new();
        while let Some((header, _)) = rest.split_at_checked(HEADER) {
            let whole = number(header).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
            let Some(body) = rest.get(HEADER..whole) else {
                return Err(io::Error::other("rtnetlink said more than fits"));
            };
            let kind = u16::from_ne_bytes([header[4], header[5]]);
            if kind == NLMSG_ERROR {
                let error = number(body).map_or(0, u32::cast_signed);
                return Err(io::Error::from_raw_os_error(error.saturating_neg()));
            }
            parts.push((kind, body.to_vec()));
            rest = rest.get(whole.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(parts)
    }

    fn hear(&self) -> io::Result<()> {
        let mut answer = [0; 4096];
        let (_, length) =
            rustix::io::retry_on_intr(|| recv(&self.socket, &mut answer[..], RecvFlags::empty()))?;
        let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
        let error = answer.get(16..20).and_then(|error| error.try_into().ok()).map(i32::from_ne_bytes);
        match (kind, error) {
            (Some(NLMSG_ERROR), Some(0)) if length >= 20 => Ok(()),
            (Some(NLMSG_ERROR), Some(error)) if length >= 20 => Err(io::Error::from_raw_os_error(-error)),
            _ => Err(io::Error::other("an answer of rtnetlink that is none")),
        }
    }
}

/// The links of the network namespace that the calling thread was in when this was made.
pub(super) struct Links(OwnedFd);

impl Links {
    pub(super) fn here() -> io::Result<Self> {
        Ok(Self(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?))
    }

    /// The index of a link.
    pub(super) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.0, name)?)
    }
}

/// The index of a link in the calling thread's network namespace.
pub(super) fn link(name: &str) -> io::Result<u32> {
    Links::here()?.index(name)
}

/// The other ports of its bridge that a port reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortScope {
    All,
    /// No port that is isolated too.
    Bridge,
}

/// A message being built: header, then attributes, each padded to four bytes.
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
}

impl Message {
    pub(super) fn new(kind: u16) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        Self { bytes }
    }

    /// Begins with a struct ifinfomsg: family, type, index, flags, mask of flags.
    pub(super) fn link(kind: u16, index: u32, flags: u32) -> Self {
        let mut message = Self::new(kind);
        message.bytes.extend([0; 4]);
        for field in [index, flags, flags] {
            message.bytes.extend(field.to_ne_bytes());
        }
        message
    }

    /// Begins with a struct rtmsg: family, two prefix lengths, type of service, table, protocol, scope, type, flags.
    fn route(table: u8, scope: u8, kind: u8) -> Self {
        let mut message = Self::new(RTM_NEWROUTE);
        message.bytes.extend([IPV4, 0, 0, 0, table, libc::RTPROT_BOOT, scope, kind]);
        message.bytes.extend([0; 4]);
        message
    }

    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |inner| inner.bytes.extend(value));
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.nested(kind, |inner| {
            inner.bytes.extend(value.as_bytes());
            inner.bytes.push(0);
        });
    }

    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    pub(super) fn nested(&mut self, kind: u16, write: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        write(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// The attributes of a message, after its own structure: their types and values.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const KIND: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let [low, high, kind @ ..] = rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes(*kind) & KIND, value))
    })
}

/// The number in a value of four bytes, or at the start of a longer one.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}
