//! Destinations to which containers' traffic may be forwarded.
//!
//! The pipeline sends from the machine's own address, and so could reach what only the machine is meant to reach: its
//! loopback, the metadata service of a cloud with the machine's credentials, containers of other engines. A container on
//! Docker's own network does not reach other engines' containers, so one here does not either.

use std::net::Ipv4Addr;

use super::super::address;
use super::routes;
use crate::{Error, Result};

/// The variable with further addresses and networks that containers may reach, separated by commas.
const VARIABLE: &str = "BOWLINE_REACH";

/// Metadata services of clouds that are not at a link-local address: Alibaba's, Azure's, and the network of Oracle's,
/// which is reserved for protocols and has no machines (RFC 6890).
const CLOUDS: [Network; 3] = [
    Network::new(Ipv4Addr::new(100, 100, 100, 200), 32),
    Network::new(Ipv4Addr::new(168, 63, 129, 16), 32),
    Network::new(Ipv4Addr::new(192, 0, 0, 0), 24),
];

/// A network: all addresses with this prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    start: u32,
    bits: u8,
}

impl Network {
    const fn new(start: Ipv4Addr, bits: u8) -> Self {
        Self { start: start.to_bits(), bits }
    }

    fn parse(text: &str) -> Option<Self> {
        let (start, bits) = text.split_once('/').unwrap_or((text, "32"));
        let network = Self::new(start.parse().ok()?, bits.parse().ok().filter(|bits| *bits <= 32)?);
        network.has(Ipv4Addr::from_bits(network.start)).then_some(network)
    }

    fn has(self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
        address.to_bits() & mask == self.start & mask
    }
}

/// Destinations that a user allows although they are refused by default.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::engine::native) struct Reach {
    allowed: Vec<Network>,
}

impl Reach {
    /// Reads the variable.
    pub(in crate::engine::native) fn from_environment() -> Result<Self> {
        let text = std::env::var_os(VARIABLE).unwrap_or_default();
        Self::parse(&text.to_string_lossy()).map_err(|problem| Error::invalid(None, problem))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let allowed = words.map(|word| {
            Network::parse(word).ok_or_else(|| {
                format!(
                    "{VARIABLE}: `{word}` is no IPv4 address and no network\n\nhelp: for example `{VARIABLE}=169.254.20.5,172.18.0.0/16`"
                )
            })
        });
        Ok(Self { allowed: allowed.collect::<Result<_, _>>()? })
    }

    /// Whether anything is forwarded to this address.
    pub(super) fn leads_to(&self, address: Ipv4Addr) -> bool {
        if !leads_out(address) {
            return false;
        }
        if self.allowed.iter().any(|network| network.has(address)) {
            return true;
        }
        let is_told_to_machines =
            address.is_link_local() || CLOUDS.iter().any(|network| network.has(address));
        // If the kernel does not answer, nothing is known against the address.
        !is_told_to_machines && !routes::is_on_bridge(address).unwrap_or(false)
    }
}

/// Whether this is an address of another machine, or one that this machine has in a network. Packets to a container's own
/// loopback, or to everybody in its network, do not come here; but a container that can forge packets or change its
/// network can send such packets to the bridge, and the pipeline would forward them to the machine's loopback. Addresses of
/// a session exist nowhere else. The kernel refuses to connect an ordinary socket to a broadcast address of a network of
/// the machine.
fn leads_out(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !(address::is_of_session(address)
        || first == 0
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads_to(reach: &Reach, address: &str) -> bool {
        reach.leads_to(address.parse().unwrap())
    }

    #[test]
    fn only_what_is_elsewhere_leads_out() {
        let inside = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "224.0.0.251", "239.255.255.250"];
        let session = ["255.255.255.255", "10.204.0.1", "10.205.255.255"];
        let all = Reach::parse("0.0.0.0/0").unwrap();
        for address in inside.into_iter().chain(session) {
            assert!(!leads_to(&Reach::default(), address) && !leads_to(&all, address), "{address}");
        }
        for address in ["10.203.255.255", "10.206.0.0", "192.0.2.1", "100.100.100.201", "192.0.1.1"] {
            assert!(leads_to(&Reach::default(), address), "{address}");
        }
    }

    #[test]
    fn what_clouds_tell_their_machines_is_not_told_to_containers() {
        let clouds = ["169.254.169.254", "169.254.170.2", "169.254.0.1", "169.254.255.255"];
        let others = ["100.100.100.200", "168.63.129.16", "192.0.0.192"];
        for address in clouds.into_iter().chain(others) {
            assert!(!leads_to(&Reach::default(), address), "{address}");
        }
        let some = Reach::parse(" 169.254.20.5, 168.63.0.0/16,").unwrap();
        for (address, leads) in [
            ("169.254.20.5", true),
            ("168.63.129.16", true),
            ("169.254.20.6", false),
            ("169.254.169.254", false),
        ] {
            assert_eq!(leads_to(&some, address), leads, "{address}");
        }
        for wrong in ["169.254", "1.2.3.4/33", "1.2.3.4/", "localhost", "fe80::1", "1.2.3.4 5.6.7.8"] {
            let error = Reach::parse(wrong).unwrap_err();
            assert!(error.contains(wrong) && error.contains("help"), "{error}");
        }
    }
}
