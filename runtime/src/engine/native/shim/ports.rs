//! Filters at the ports of a bridge: a container can send only in its own name.
//!
//! A container with raw sockets can send frames with any address. So what arrives at a port has to come from the hardware
//! address and the IPv4 address that the container was given, and an ARP message has to say the same. Everything else is
//! dropped, including IPv6 and tagged frames. The bridge learns nothing from frames either: the shim sets its entries
//! (`netlink.rs`), so that nobody receives what is for another.
//!
//! The keys in the table depend only on a container's number: none has to be removed before the number is reused.

use std::io;
use std::net::Ipv4Addr;

use super::nft::{
    BRIDGE, EQUAL, META_IIFNAME, META_PROTOCOL, REGISTER, accept, add, chain, compare, element, load,
    look_up, meta, rule, set,
};
use crate::engine::native::netlink::Message;

const CHAIN: &str = "ports";
const OWNERS: &str = "owners";
/// The size of a key: the port's name, a hardware address padded with two bytes, an IPv4 address.
const KEY: usize = 28;
/// Four-byte registers that hold a key.
const KEY_NAME: u32 = 8;
const KEY_HARDWARE: u32 = KEY_NAME + 4;
const KEY_ADDRESS: u32 = KEY_HARDWARE + 2;

const ARP: [u8; 2] = [8, 6];
const IPV4: [u8; 2] = [8, 0];
/// The fixed part of ARP messages about IPv4 addresses on Ethernet (RFC 826).
const ARP_OF_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Header, offset, and number of bytes.
const FRAME_SENDER: (u32, u32, u32) = (0, 6, 6);
const ARP_KIND: (u32, u32, u32) = (1, 0, 6);
const ARP_SENDER: (u32, u32, u32) = (1, 8, 6);
const ARP_SENDER_ADDRESS: (u32, u32, u32) = (1, 14, 4);
const SENDER_ADDRESS: (u32, u32, u32) = (1, 12, 4);

/// From here on only what [`admit`] allows passes.
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

/// Allows a container at a port to send with these addresses.
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
