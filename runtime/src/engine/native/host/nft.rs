//! The packet filter of a session's hub, in the few words of nftables (`linux/netfilter/nf_tables.h`) that it takes.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink;

use super::netlink::{Message, Netlink};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;

const FAMILY_IPV4: u8 = 2;
const NLA_F_NESTED: u16 = 0x8000;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

const TABLE: &str = "bowline";
/// Where the address of an IPv4 packet's destination is, and the port of what it carries.
const DESTINATION: (u32, u32, u32) = (1, 16, 4);
const PORT: (u32, u32, u32) = (2, 2, 2);
const META_MARK: u32 = 3;
const META_L4PROTO: u32 = 16;
const META_PKTTYPE: u32 = 19;
/// Neither a broadcast nor for many.
const PACKET_HOST: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DOMAIN: u16 = 53;
const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;

/// Connections that containers make to the world arrive at the hub's port `tcp`, questions for names at port 53. What is
/// for the networks of the hub itself, `network` with 15 bits, is left alone, and so are broadcasts.
pub(super) fn redirect(network: Ipv4Addr, tcp: u16) -> io::Result<()> {
    const CHAIN: &str = "redirected";
    let rules = [(TCP, None, tcp), (UDP, Some(DOMAIN), DOMAIN)].map(|(protocol, port, to)| {
        rule(CHAIN, |rule| {
            to_world(rule, network, protocol);
            if let Some(port) = port {
                load(rule, PORT);
                compare(rule, EQUAL, &port.to_be_bytes());
            }
            immediate(rule, &to.to_be_bytes());
            expression(rule, "redir", |data| data.attribute(1, &REGISTER.to_be_bytes()));
        })
    });
    // Where destinations are translated.
    add(chain(CHAIN, "nat", -100), rules)
}

/// All other datagrams to the world are for the socket at the hub's port `udp`, unchanged, and have a mark.
pub(super) fn divert(network: Ipv4Addr, udp: u16, mark: u32) -> io::Result<()> {
    const CHAIN: &str = "diverted";
    let rule = rule(CHAIN, |rule| {
        to_world(rule, network, UDP);
        load(rule, PORT);
        compare(rule, UNEQUAL, &DOMAIN.to_be_bytes());
        immediate(rule, &udp.to_be_bytes());
        expression(rule, "tproxy", |data| {
            data.attribute(1, &u32::from(FAMILY_IPV4).to_be_bytes());
            data.attribute(3, &REGISTER.to_be_bytes());
        });
        immediate(rule, &mark.to_ne_bytes());
        expression(rule, "meta", |data| {
            data.attribute(2, &META_MARK.to_be_bytes());
            data.attribute(3, &REGISTER.to_be_bytes());
        });
    });
    // Where packets are changed.
    add(chain(CHAIN, "filter", -150), [rule])
}

fn add(chain: Message, rules: impl IntoIterator<Item = Message>) -> io::Result<()> {
    let mut table = message(NEW_TABLE);
    table.text(1, TABLE);
    let create = NLM_F_ACK | NLM_F_CREATE;
    let mut batch = vec![(batch(BATCH_BEGIN), 0), (table, create), (chain, create)];
    batch.extend(rules.into_iter().map(|rule| (rule, create | NLM_F_APPEND)));
    batch.push((self::batch(BATCH_END), 0));
    Netlink::open_for(Some(netlink::NETFILTER))?.ask_all(batch)
}

/// Before routing.
fn chain(name: &str, kind: &str, priority: i32) -> Message {
    let mut chain = message(NEW_CHAIN);
    chain.text(1, TABLE);
    chain.text(3, name);
    chain.nested(4 | NLA_F_NESTED, |hook| {
        hook.attribute(1, &0_u32.to_be_bytes());
        hook.attribute(2, &priority.to_be_bytes());
    });
    chain.text(7, kind);
    chain
}

fn rule(chain: &str, write: impl FnOnce(&mut Message)) -> Message {
    let mut rule = message(NEW_RULE);
    rule.text(1, TABLE);
    rule.text(2, chain);
    rule.nested(4 | NLA_F_NESTED, write);
    rule
}

/// Goes on with what is of this protocol, for this machine as the next on its way, and not for `network`.
fn to_world(rule: &mut Message, network: Ipv4Addr, protocol: u8) {
    load(rule, DESTINATION);
    expression(rule, "bitwise", |data| {
        for (kind, number) in [(1, REGISTER), (2, REGISTER), (3, 4)] {
            data.attribute(kind, &number.to_be_bytes());
        }
        value(data, 4, &[255, 254, 0, 0]);
        value(data, 5, &[0; 4]);
    });
    compare(rule, UNEQUAL, &network.octets());
    for (key, wanted) in [(META_PKTTYPE, PACKET_HOST), (META_L4PROTO, protocol)] {
        expression(rule, "meta", |data| {
            data.attribute(1, &REGISTER.to_be_bytes());
            data.attribute(2, &key.to_be_bytes());
        });
        compare(rule, EQUAL, &[wanted]);
    }
}

fn message(kind: u16) -> Message {
    let mut message = Message::new(kind);
    // struct nfgenmsg: family, version, resource
    message.bytes.extend([FAMILY_IPV4, 0, 0, 0]);
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

/// Takes something out of the packet: from which header, at which offset, how many bytes.
fn load(rule: &mut Message, (base, offset, length): (u32, u32, u32)) {
    expression(rule, "payload", |data| {
        for (kind, number) in [(1, REGISTER), (2, base), (3, offset), (4, length)] {
            data.attribute(kind, &number.to_be_bytes());
        }
    });
}

fn compare(rule: &mut Message, how: u32, with: &[u8]) {
    expression(rule, "cmp", |data| {
        data.attribute(1, &REGISTER.to_be_bytes());
        data.attribute(2, &how.to_be_bytes());
        value(data, 3, with);
    });
}
