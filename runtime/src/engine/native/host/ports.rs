//! Who may say what at which port of a bridge: a container speaks as itself, and as nobody else.
//!
//! Whoever has raw sockets can send frames from any address. So what comes in at a port has to come from the hardware
//! address and from the IPv4 address that its container was given, and an ARP message has to say just that too. All else
//! is dropped, IPv6 and tagged frames among it. The bridge learns nothing from frames either: who is where is said by
//! the host (`netlink.rs`), so that nobody is sent what is for another.
//!
//! The table's keys are pure functions of a container's number: none has to be removed before the number is taken again.

use std::io;
use std::net::Ipv4Addr;

use super::nft::{
    BRIDGE, EQUAL, META_IIFNAME, META_PROTOCOL, REGISTER, accept, add, chain, compare, element, load,
    look_up, meta, rule, set,
};
use crate::engine::native::netlink::Message;

const CHAIN: &str = "ports";
const OWNERS: &str = "owners";
/// A key: the port's name, a hardware address with two bytes of nothing, an IPv4 address.
const KEY: usize = 28;
/// Registers of four bytes for a key.
const KEY_NAME: u32 = 8;
const KEY_HARDWARE: u32 = KEY_NAME + 4;
const KEY_ADDRESS: u32 = KEY_HARDWARE + 2;

const ARP: [u8; 2] = [8, 6];
const IPV4: [u8; 2] = [8, 0];
/// ARP about IPv4 addresses in an Ethernet (RFC 826).
const ARP_OF_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Which header, which offset, how many bytes.
const FRAME_SENDER: (u32, u32, u32) = (0, 6, 6);
const ARP_KIND: (u32, u32, u32) = (1, 0, 6);
const ARP_SENDER: (u32, u32, u32) = (1, 8, 6);
const ARP_SENDER_ADDRESS: (u32, u32, u32) = (1, 14, 4);
const SENDER_ADDRESS: (u32, u32, u32) = (1, 12, 4);

/// From here on nothing passes but what [`admit`] lets.
pub(super) fn close() -> io::Result<()> {
    let arp = rule(BRIDGE, CHAIN, |rule| {
        meta(rule, META_PROTOCOL, REGISTER);
        compare(rule, EQUAL, &ARP);
        load(rule, ARP_KIND, REGISTER);
        compare(rule, EQUAL, &ARP_OF_IPV4);
        for hardware in [FRAME_SENDER, ARP_SENDER] {
            is_owner(rule, hardware, ARP_SENDER_ADDRESS);
        }
        accept(rule);
    });
    let ipv4 = rule(BRIDGE, CHAIN, |rule| {
        meta(rule, META_PROTOCOL, REGISTER);
        compare(rule, EQUAL, &IPV4);
        is_owner(rule, FRAME_SENDER, SENDER_ADDRESS);
        accept(rule);
    });
    let length = u32::try_from(KEY).unwrap_or(u32::MAX);
    add(BRIDGE, [chain(BRIDGE, CHAIN, "filter", -300), set(BRIDGE, OWNERS, length)], [arp, ipv4])
}

/// Lets a container speak at a port: as this one.
pub(super) fn admit(port: &str, hardware: [u8; 6], address: Ipv4Addr) -> io::Result<()> {
    let mut key = [0; KEY];
    key[..port.len()].copy_from_slice(port.as_bytes());
    key[16..22].copy_from_slice(&hardware);
    key[24..].copy_from_slice(&address.octets());
    add(BRIDGE, [element(BRIDGE, OWNERS, &key)], [])
}

fn is_owner(rule: &mut Message, hardware: (u32, u32, u32), address: (u32, u32, u32)) {
    meta(rule, META_IIFNAME, KEY_NAME);
    load(rule, hardware, KEY_HARDWARE);
    load(rule, address, KEY_ADDRESS);
    look_up(rule, OWNERS, KEY_NAME);
}
