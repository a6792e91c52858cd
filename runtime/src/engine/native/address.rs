//! Addresses in the two networks of a session, of which nobody outside of the session sees anything: 10.205.0.0/16 is that
//! of the services and of all that is bound to one, 10.204.0.0/16 that of the others.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use crate::lock::lock;
use serde::{Deserialize, Serialize};

/// Both networks, with 15 bits.
pub(super) const ALL: Ipv4Addr = Ipv4Addr::new(10, 204, 0, 0);
pub(super) const PREFIX: u8 = 16;
const HUB: u16 = 1;
/// The first that a container can have.
pub(super) const FIRST: u16 = 2;
/// One below the broadcast address.
const LAST: u16 = u16::MAX - 1;

/// Whether this is one of those of a session, of this one or of another.
pub(super) fn is_of_session(address: Ipv4Addr) -> bool {
    let ([first, second, ..], [own, pair, ..]) = (address.octets(), ALL.octets());
    (first, second & 0xfe) == (own, pair)
}

/// The hardware address that goes with an address of a session: one of those that everybody may choose for himself.
pub(super) fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// Which network: what is bound to nothing reaches no service, whatever address it guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Network {
    Services,
    Others,
}

/// Whom a container is there for: a step is reached by no other step, whatever address that guesses.
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

    /// The bridge itself.
    pub(super) fn hub(self) -> Ipv4Addr {
        self.of(HUB)
    }
}

/// Who has which address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    taken: Mutex<(BTreeSet<u16>, u16)>,
}

impl Addresses {
    /// One that nobody has. The one given back last is taken up again last, as others may still know it.
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
        assert_eq!(Network::Others.hub(), Ipv4Addr::new(10, 204, 0, 1));
    }
}
