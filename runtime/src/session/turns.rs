//! Caches among the instances of one service: never do two of them write to a volume at once, as two processes of one
//! database would destroy it. Services that are defined differently share a volume if they say so.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::Inner;
use crate::engine::{CacheLocks, Call, InUse};
use crate::graph::ServiceNode;
use crate::lock::lock;
use crate::model::{CacheKey, Digest};

/// Which instances write to which caches.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The keys of the instances by the cache.
    holders: Mutex<HashMap<CacheKey, Vec<Digest>>>,
    /// Notified when a turn ends.
    ended: Notify,
}

/// The right of an instance to write to its caches, until this is dropped.
pub(super) struct Turn {
    turns: Turns,
    key: Digest,
    caches: Vec<CacheKey>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut holders = lock(&self.turns.0.holders);
        for cache in &self.caches {
            if let Some(keys) = holders.get_mut(cache) {
                keys.retain(|key| *key != self.key);
                if keys.is_empty() {
                    holders.remove(cache);
                }
            }
        }
        self.turns.0.ended.notify_waiters();
    }
}

impl Turns {
    /// Takes a turn, or returns what prevents it: a cache, and the instance that has it.
    fn take(
        &self,
        key: Digest,
        caches: &[CacheKey],
        excludes: impl Fn(Digest) -> bool,
    ) -> Result<Turn, (CacheKey, Digest)> {
        let mut holders = lock(&self.0.holders);
        for cache in caches {
            let others = holders.get(cache).into_iter().flatten();
            if let Some(other) = others.copied().find(|other| *other != key && excludes(*other)) {
                return Err((cache.clone(), other));
            }
        }
        for cache in caches {
            holders.entry(cache.clone()).or_default().push(key);
        }
        Ok(Turn { turns: self.clone(), key, caches: caches.to_vec() })
    }
}

impl Inner {
    /// Waits until no other instance of the service writes to any of these caches. Those that do end as soon as nobody uses
    /// them; `waiting` is told once of each.
    pub(super) async fn take_turn(
        &self,
        service: &ServiceNode,
        key: Digest,
        caches: &[CacheKey],
        waiting: &(dyn Fn(InUse) + Sync),
    ) -> Turn {
        let mut told = None;
        loop {
            let mut ended = pin!(self.turns.0.ended.notified());
            ended.as_mut().enable();
            let is_version = |other| self.services().common(key, other).next().is_some();
            let (cache, other) = match self.turns.take(key, caches, is_version) {
                Ok(turn) => return turn,
                Err(prevented) => prevented,
            };
            self.services().make_way(other, key);
            if told.replace(other) != Some(other) {
                let owner = "this session".to_owned();
                waiting(InUse { cache, service: service.name.to_string(), owner });
            }
            ended.await;
        }
    }
}

/// What an instance holds: the engine's locks, against other sessions, and its turn.
struct Held {
    locks: Arc<dyn CacheLocks>,
    turn: Mutex<Option<Turn>>,
}

impl Turn {
    /// Ends the turn when the locks are released, and not before.
    pub(super) fn with(self, locks: Arc<dyn CacheLocks>) -> Arc<dyn CacheLocks> {
        Arc::new(Held { locks, turn: Mutex::new(Some(self)) })
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.locks).finish()
    }
}

impl CacheLocks for Held {
    fn settle(&self) -> Call<'_, ()> {
        self.locks.settle()
    }

    fn release(&self) -> Call<'_, Vec<CacheKey>> {
        Box::pin(async move {
            let released = self.locks.release().await;
            drop(lock(&self.turn).take());
            released
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_service_take_turns_and_others_share() {
        let (old, new, other) = (Digest([1; 32]), Digest([2; 32]), Digest([3; 32]));
        let (a, b): (CacheKey, CacheKey) = ("a".into(), "b".into());
        let turns = Turns::default();
        let take = |key, caches: &[&CacheKey]| {
            let caches: Vec<_> = caches.iter().copied().cloned().collect();
            turns.take(key, &caches, |holder| key != other && holder != other)
        };
        let first = take(old, &[&b]).ok().unwrap();
        assert_eq!(take(new, &[&a, &b]).err(), Some((b.clone(), old)));
        // Nothing is held by who waits.
        let third = take(old, &[&a]).ok().unwrap();
        let shared = take(other, &[&a, &b]).ok().unwrap();
        drop((first, third));
        assert!(take(new, &[&a, &b]).is_ok());
        drop(shared);
        assert!(lock(&turns.0.holders).is_empty());
    }
}
