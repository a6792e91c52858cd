//! Who needs an instance of a service besides those who use it at the moment, and whether another instance takes its place.
//!
//! A definition can have several instances at once, of files that were read at different times. The one of the newest
//! reading is the one that `start` keeps running: the others are superseded.

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc::WeakUnboundedSender;

use super::service::{Message, Origin};
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
    pub(super) by: WeakUnboundedSender<Message>,
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
                        successor.inherit();
                    }
                    self.successors.insert(definition, successor);
                    return was_held;
                }
            }
        }
        false
    }

    /// Keeps it running for a definition, or the definition's newest instance where that is another.
    pub(super) fn hold(&mut self, origin: &Origin) {
        let definition = origin.service.digest;
        match self.successors.get(&definition) {
            Some(successor) if successor.reading > origin.reading.number => successor.inherit(),
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

impl Successor {
    fn inherit(&self) {
        if let Some(by) = self.by.upgrade() {
            let _ = by.send(Message::Need(Need::Inherit(self.definition)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::graph::lower_service;
    use crate::session::local::Reading;
    use crate::value::Service;

    fn origin(reading: u64) -> Origin {
        let service = lower_service(&Service::from_image("redis:7").expose(6379)).unwrap();
        let reading = (0..reading).fold(Reading::first(), |reading, _| reading.next());
        Origin { service, reading: Arc::new(reading) }
    }

    fn inherited(inbox: &mut UnboundedReceiver<Message>) -> Option<Digest> {
        match inbox.try_recv().ok()? {
            Message::Need(Need::Inherit(definition)) => Some(definition),
            _ => None,
        }
    }

    #[test]
    fn the_newest_instance_is_the_one_that_is_kept_running() {
        let definition = origin(0).service.digest;
        let (newer, mut inbox) = unbounded_channel();
        let supersede = |reading| Need::Supersede(Successor { definition, reading, by: newer.downgrade() });
        let mut demand = Demand::default();
        demand.hold(&origin(0));
        assert!(!demand.is_none());
        assert!(demand.note(supersede(1)), "nobody keeps it running any more");
        assert!(demand.is_none() && demand.is_superseded());
        assert_eq!(inherited(&mut inbox), Some(definition));
        assert!(!demand.note(supersede(1)) && inherited(&mut inbox).is_none(), "it is told again");
        // Who began before asks for the service as it was, and it is kept running as it is.
        demand.hold(&origin(0));
        assert!(demand.is_none());
        assert_eq!(inherited(&mut inbox), Some(definition));
        // It is the newest again.
        demand.hold(&origin(2));
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
