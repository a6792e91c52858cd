//! Who needs an instance of a service besides those who use it at the moment, and whether another instance takes its place.
//!
//! A definition can have several instances at once, of files that were read at different times. The one of the newest
//! reading is the one that `start` keeps running: the others are superseded.

use std::collections::{HashMap, HashSet};

use crate::model::Digest;

/// A change of the demand for an instance.
pub(super) enum Need {
    /// One more step will need the service.
    Pin,
    /// One step fewer will need the service.
    Unpin,
    /// A definition keeps this instance running, and no longer an older one.
    Inherit(Digest),
    /// An instance of newer files has come.
    Supersede(Successor),
    /// Another instance cannot start before this one has ended: it does not linger.
    Hurry,
}

/// The instance of newer files that a definition has.
pub(super) struct Successor {
    pub(super) definition: Digest,
    /// The number of the reading that its files are of.
    pub(super) reading: u64,
    /// Lets it be kept running in place of an older one.
    pub(super) inherit: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
pub(super) struct Demand {
    pins: usize,
    /// The definitions that keep it running.
    held: HashSet<Digest>,
    /// The newest instances of definitions that have newer ones.
    successors: HashMap<Digest, Successor>,
    is_awaited: bool,
}

impl Demand {
    /// Takes note of a change; returns whether somebody needs the service no longer.
    pub(super) fn note(&mut self, need: Need) -> bool {
        match need {
            Need::Pin => self.pins += 1,
            Need::Unpin => {
                self.pins = self.pins.saturating_sub(1);
                return true;
            }
            Need::Inherit(definition) => drop(self.held.insert(definition)),
            Need::Hurry => self.is_awaited = true,
            Need::Supersede(successor) => {
                let definition = successor.definition;
                let earlier = self.successors.get(&definition);
                if earlier.is_none_or(|earlier| earlier.reading <= successor.reading) {
                    let was_held = self.held.remove(&definition);
                    if was_held {
                        (successor.inherit)();
                    }
                    self.successors.insert(definition, successor);
                    return was_held;
                }
            }
        }
        false
    }

    /// Keeps it running for a definition as it is in this reading, or the definition's newest instance where that is another.
    pub(super) fn hold(&mut self, definition: Digest, reading: u64) {
        match self.successors.get(&definition) {
            Some(successor) if successor.reading > reading => (successor.inherit)(),
            _ => {
                self.successors.remove(&definition);
                self.held.insert(definition);
            }
        }
    }

    /// Whether the service may end once nobody uses it.
    pub(super) fn is_none(&self) -> bool {
        self.pins == 0 && self.held.is_empty()
    }

    /// Whether another instance waits for its end.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    pub(super) fn is_superseded(&self) -> bool {
        !self.successors.is_empty()
    }

    /// A run of the service begins, which nobody keeps running yet.
    pub(super) fn begin(&mut self) {
        self.held.clear();
        self.is_awaited = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_newest_instance_is_the_one_that_is_kept_running() {
        let definition = Digest([1; 32]);
        let inherited = Arc::new(AtomicUsize::new(0));
        let supersede = |reading| {
            let inherited = inherited.clone();
            let inherit = Box::new(move || {
                inherited.fetch_add(1, Ordering::Relaxed);
            });
            Need::Supersede(Successor { definition, reading, inherit })
        };
        let count = || inherited.load(Ordering::Relaxed);
        let mut demand = Demand::default();
        demand.hold(definition, 0);
        assert!(!demand.is_none());
        assert!(demand.note(supersede(1)), "nobody keeps it running any more");
        assert!(demand.is_none() && demand.is_superseded());
        assert_eq!(count(), 1);
        assert!(!demand.note(supersede(1)), "it is told again");
        assert_eq!(count(), 1);
        // Who began before asks for the service as it was then, and it is kept running as it is now.
        demand.hold(definition, 0);
        assert!(demand.is_none());
        assert_eq!(count(), 2);
        // It is the newest again.
        demand.hold(definition, 2);
        assert!(!demand.is_none() && !demand.is_superseded());
        demand.begin();
        assert!(demand.is_none());
    }

    #[test]
    fn steps_that_will_need_it_keep_it_too() {
        let mut demand = Demand::default();
        demand.note(Need::Pin);
        demand.note(Need::Hurry);
        assert!(!demand.is_none() && demand.is_awaited());
        assert!(demand.note(Need::Unpin) && demand.is_none());
        demand.begin();
        assert!(!demand.is_awaited());
    }
}
