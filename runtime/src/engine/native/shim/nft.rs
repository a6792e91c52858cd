//! The packet filter of a session's bridge, in the few messages of nftables (`linux/netfilter/nf_tables.h`) that it needs.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink;

use crate::engine::native::netlink::{Message, Netlink};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;
const NEW_SET: u16 = (SUBSYSTEM << 8) | 9;
const NEW_ELEMENT: u16 = (SUBSYSTEM << 8) | 0xc;

/// Families: IPv4 packets, and frames of a bridge.
const IPV4: u8 = 2;
pub(super) const BRIDGE: u8 = 7;
const NLA_F_NESTED: u16 = 0x8000;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

const TABLE: &str = "bowline";
/// The position of the destination address in an IPv4 packet, and of the port in its payload.
const DESTINATION: (u32, u32, u32) = (1, 16, 4);
const PORT: (u32, u32, u32) = (2, 2, 2);
pub(super) const META_PROTOCOL: u32 = 1;
const META_MARK: u32 = 3;
pub(super) const META_IIFNAME: u32 = 6;
const META_L4PROTO: u32 = 16;
const META_PKTTYPE: u32 = 19;
/// Neither broadcast nor multicast.
const PACKET_HOST: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DOMAIN: u16 = 53;
/// The policy of a chain that drops what no rule accepts.
const POLICY_DROP: u32 = 0;
const ACCEPT: u32 = 1;
const VERDICT: u32 = 0;
pub(super) const REGISTER: u32 = 1;
pub(super) const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;

/// Redirects containers' connections to the world to the bridge's port `tcp`, and DNS queries to port 53. Traffic to the
/// networks of the bridge itself, `network`/15, is left alone, and so are broadcasts.
pub(super) fn redirect(network: Ipv4Addr, tcp: u16) -> io::Result<()> {
    const CHAIN: &str = "redirected";
    let rules = [(TCP, None, tcp), (UDP, Some(DOMAIN), DOMAIN)].map(|(protocol, port, to)| {
        rule(IPV4, CHAIN, |rule| {
            to_world(rule, network, protocol);
            if let Some(port) = port {
                load(rule, PORT, REGISTER);
                compare(rule, EQUAL, &port.to_be_bytes());
            }
            immediate(rule, &to.to_be_bytes());
            expression(rule, "redir", |data| data.attribute(1, &REGISTER.to_be_bytes()));
        })
    });
    // At the priority of destination NAT.
    add(IPV4, [chain(IPV4, CHAIN, "nat", -100)], rules)
}

/// Diverts all other datagrams to the world, unchanged and with a mark, to the socket at the bridge's port `udp`.
pub(super) fn divert(network: Ipv4Addr, udp: u16, mark: u32) -> io::Result<()> {
    const CHAIN: &str = "diverted";
    let rule = rule(IPV4, CHAIN, |rule| {
        to_world(rule, network, UDP);
        load(rule, PORT, REGISTER);
        compare(rule, UNEQUAL, &DOMAIN.to_be_bytes());
        immediate(rule, &udp.to_be_bytes());
        expression(rule, "tproxy", |data| {
            data.attribute(1, &u32::from(IPV4).to_be_bytes());
            data.attribute(3, &REGISTER.to_be_bytes());
        });
        immediate(rule, &mark.to_ne_bytes());
        expression(rule, "meta", |data| {
            data.attribute(2, &META_MARK.to_be_bytes());
            data.attribute(3, &REGISTER.to_be_bytes());
        });
    });
    // At the priority of packet mangling.
    add(IPV4, [chain(IPV4, CHAIN, "filter", -150)], [rule])
}

/// Adds to the table, which may exist: first the chains and sets that the rules need, then the rules.
pub(super) fn add(
    family: u8,
    parts: impl IntoIterator<Item = Message>,
    rules: impl IntoIterator<Item = Message>,
) -> io::Result<()> {
    let mut table = message(NEW_TABLE, family);
    table.text(1, TABLE);
    let create = NLM_F_ACK | NLM_F_CREATE;
    let mut batch = vec![(batch(BATCH_BEGIN), 0), (table, create)];
    batch.extend(parts.into_iter().map(|part| (part, create)));
    batch.extend(rules.into_iter().map(|rule| (rule, create | NLM_F_APPEND)));
    batch.push((self::batch(BATCH_END), 0));
    Netlink::open_for(Some(netlink::NETFILTER))?.ask_all(batch)
}

/// A set of keys of this many bytes.
pub(super) fn set(family: u8, name: &str, length: u32) -> Message {
    let mut set = message(NEW_SET, family);
    set.text(1, TABLE);
    set.text(2, name);
    // Flags, nft(8)'s type of the keys (none), their length, and a number for this batch.
    for (kind, number) in [(3, 0), (4, 0), (5, length), (10, 1)] {
        set.attribute(kind, &number.to_be_bytes());
    }
    set
}

/// Adds a key to a set.
pub(super) fn element(family: u8, set: &str, key: &[u8]) -> Message {
    let mut element = message(NEW_ELEMENT, family);
    element.text(1, TABLE);
    element.text(2, set);
    element.nested(3 | NLA_F_NESTED, |list| {
        list.nested(1 | NLA_F_NESTED, |element| value(element, 1, key));
    });
    element
}

/// A chain before routing, or at the ingress of a bridge, where only accepted frames go on.
pub(super) fn chain(family: u8, name: &str, kind: &str, priority: i32) -> Message {
    let mut chain = message(NEW_CHAIN, family);
    chain.text(1, TABLE);
    chain.text(3, name);
    chain.nested(4 | NLA_F_NESTED, |hook| {
        hook.attribute(1, &0_u32.to_be_bytes());
        hook.attribute(2, &priority.to_be_bytes());
    });
    if family == BRIDGE {
        chain.attribute(5, &POLICY_DROP.to_be_bytes());
    }
    chain.text(7, kind);
    chain
}

pub(super) fn rule(family: u8, chain: &str, write: impl FnOnce(&mut Message)) -> Message {
    let mut rule = message(NEW_RULE, family);
    rule.text(1, TABLE);
    rule.text(2, chain);
    rule.nested(4 | NLA_F_NESTED, write);
    rule
}

/// Matches packets of this protocol that are routed by this machine and not for `network`.
fn to_world(rule: &mut Message, network: Ipv4Addr, protocol: u8) {
    load(rule, DESTINATION, REGISTER);
    expression(rule, "bitwise", |data| {
        for (kind, number) in [(1, REGISTER), (2, REGISTER), (3, 4)] {
            data.attribute(kind, &number.to_be_bytes());
        }
        value(data, 4, &[255, 254, 0, 0]);
        value(data, 5, &[0; 4]);
    });
    compare(rule, UNEQUAL, &network.octets());
    for (key, wanted) in [(META_PKTTYPE, PACKET_HOST), (META_L4PROTO, protocol)] {
        meta(rule, key, REGISTER);
        compare(rule, EQUAL, &[wanted]);
    }
}

fn message(kind: u16, family: u8) -> Message {
    let mut message = Message::new(kind);
    // struct nfgenmsg: family, version, resource
    message.bytes.extend([family, 0, 0, 0]);
    message
}

fn batch(kind: u16) -> Message {
    let mut message = Message::new(kind);
    message.bytes.extend([0, 0]);
    message.bytes.extend(SUBSYSTEM.to_be_bytes());
    message
}

fn expression(rule: &mut Message, name: &str, write: impl FnOnce(&mut Message)) {
    rule.nested(1 | NLA_F_NESTED, |element| {
        element.text(1, name);
        element.nested(2 | NLA_F_NESTED, write);
    });
}

fn immediate(rule: &mut Message, bytes: &[u8]) {
    expression(rule, "immediate", |data| {
        data.attribute(1, &REGISTER.to_be_bytes());
        value(data, 2, bytes);
    });
}

fn value(data: &mut Message, kind: u16, bytes: &[u8]) {
    data.nested(kind | NLA_F_NESTED, |inner| inner.attribute(1, bytes));
}

/// Loads bytes of the packet into a register: from which header, at which offset, how many.
pub(super) fn load(rule: &mut Message, (base, offset, length): (u32, u32, u32), into: u32) {
    expression(rule, "payload", |data| {
        for (kind, number) in [(1, into), (2, base), (3, offset), (4, length)] {
            data.attribute(kind, &number.to_be_bytes());
        }
    });
}

/// Loads metadata of the packet into a register.
pub(super) fn meta(rule: &mut Message, key: u32, into: u32) {
    expression(rule, "meta", |data| {
        data.attribute(1, &into.to_be_bytes());
        data.attribute(2, &key.to_be_bytes());
    });
}

pub(super) fn compare(rule: &mut Message, how: u32, with: &[u8]) {
    expression(rule, "cmp", |data| {
        data.attribute(1, &REGISTER.to_be_bytes());
        data.attribute(2, &how.to_be_bytes());
        value(data, 3, with);
    });
}

/// Matches if the set has the key that starts in this register.
pub(super) fn look_up(rule: &mut Message, set: &str, from: u32) {
    expression(rule, "lookup", |data| {
        data.text(1, set);
        data.attribute(2, &from.to_be_bytes());
    });
}

pub(super) fn accept(rule: &mut Message) {
    expression(rule, "immediate", |data| {
        data.attribute(1, &VERDICT.to_be_bytes());
        data.nested(2 | NLA_F_NESTED, |data| {
            data.nested(2 | NLA_F_NESTED, |verdict| verdict.attribute(1, &ACCEPT.to_be_bytes()));
        });
    });
}
