//! Addresses in the two networks of a session, which are invisible outside it: 10.205.0.0/16 has the services and
//! everything that is bound to one, 10.204.0.0/16 everything else.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use crate::lock::lock;
use serde::{Deserialize, Serialize};

/// Both networks together, a /15.
pub(super) const ALL: Ipv4Addr = Ipv4Addr::new(10, 204, 0, 0);
pub(super) const PREFIX: u8 = 16;
const BRIDGE: u16 = 1;
/// The first address of a container.
pub(super) const FIRST: u16 = 2;
/// The address below the broadcast address.
const LAST: u16 = u16::MAX - 1;

/// Whether this address belongs to a session, this one or another.
pub(super) fn is_of_session(address: Ipv4Addr) -> bool {
    let ([first, second, ..], [own, pair, ..]) = (address.octets(), ALL.octets());
    (first, second & 0xfe) == (own, pair)
}

/// The MAC address that belongs to an address of a session: a locally administered one.
pub(super) fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// The network of a container: one that is bound to nothing reaches no service, whatever address it guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Network {
    Services,
    Others,
}

/// The role of a container: no step reaches another step, whatever address it guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Audience {
    Everybody,
    Nobody,
}

impl Network {
    pub(super) fn of(self, number: u16) -> Ipv4Addr {
        let [high, low] = number.to_be_bytes();
        let second = match self {
            Self::Services => 205,
            Self::Others => 204,
        };
        Ipv4Addr::new(10, second, high, low)
    }

    /// The address of the bridge itself.
    pub(super) fn bridge(self) -> Ipv4Addr {
        self.of(BRIDGE)
    }
}

/// Addresses in use.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// The numbers in use, and the last one that was assigned.
    taken: Mutex<(BTreeSet<u16>, u16)>,
}

impl Addresses {
    /// A free address. The one that was returned last is reused last, as others may still remember it.
    pub(super) fn take(&self) -> Option<u16> {
        let mut taken = lock(&self.taken);
        let (taken, last) = &mut *taken;
        let after = (*last).max(FIRST - 1) + 1;
        let free = (after..=LAST).chain(FIRST..after).find(|number| !taken.contains(number))?;
        taken.insert(free);
        *last = free;
        Some(free)
    }

    pub(super) fn give_back(&self, number: u16) {
        lock(&self.taken).0.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_once() {
        let addresses = Addresses::default();
        let all: BTreeSet<u16> = std::iter::from_fn(|| addresses.take()).collect();
        assert_eq!((all.len(), all.first(), all.last()), (65_533, Some(&FIRST), Some(&LAST)));
        addresses.give_back(700);
        addresses.give_back(5);
        assert_eq!((addresses.take(), addresses.take(), addresses.take()), (Some(5), Some(700), None));
        assert_eq!(Network::Services.of(700), Ipv4Addr::new(10, 205, 2, 188));
        assert_eq!(Network::Others.bridge(), Ipv4Addr::new(10, 204, 0, 1));
    }
}
