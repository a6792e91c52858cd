//! Addresses in the network of a session's services: 10.205.0.0/16, of which nobody outside of the session sees anything.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

/// The bridge itself.
pub(super) const HUB: Ipv4Addr = Ipv4Addr::new(10, 205, 0, 1);
pub(super) const PREFIX: u8 = 16;
/// The first that a container can have.
pub(super) const FIRST: u16 = 2;
/// One below the broadcast address.
const LAST: u16 = u16::MAX - 1;

pub(super) fn of(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 205, high, low)
}

/// Who has which address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    taken: Mutex<(BTreeSet<u16>, u16)>,
}

impl Addresses {
    /// One that nobody has. The one given back last is taken up again last, as others may still know it.
    pub(super) fn take(&self) -> Option<u16> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, last) = &mut *taken;
        let after = (*last).max(FIRST - 1) + 1;
        let free = (after..=LAST).chain(FIRST..after).find(|number| !taken.contains(number))?;
        taken.insert(free);
        *last = free;
        Some(free)
    }

    pub(super) fn give_back(&self, number: u16) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&number);
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
        assert_eq!(of(700), Ipv4Addr::new(10, 205, 2, 188));
    }
}
