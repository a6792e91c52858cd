//! Caches within a session: whoever has one locked has it alone, and never do two instances of one service write to a volume
//! at once, as two processes of one database would destroy it. Services that are defined differently share a volume if they
//! say so.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::Inner;
use crate::engine::{CacheLocks, Call, InUse};
use crate::lock::lock;
use crate::model::{CacheKey, Digest};

/// Who has which caches.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Shared>);

#[derive(Default)]
struct Shared {
    holders: Mutex<HashMap<CacheKey, Vec<Holder>>>,
    /// The number of the next turn.
    next: AtomicU64,
    /// Notified when a turn ends.
    ended: Notify,
}

/// Who has a cache, or wants it.
#[derive(Debug, Clone)]
pub(super) struct User {
    /// Its name for people.
    pub(super) name: Arc<str>,
    /// The key of the instance, if it is of a service: that of one instance is not in its own way.
    pub(super) instance: Option<Digest>,
}

struct Holder {
    user: User,
    is_alone: bool,
    turn: u64,
}

/// A cache that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) cache: CacheKey,
    /// Whether nobody else may have it meanwhile.
    pub(super) is_alone: bool,
}

/// The right of a user to its caches, until this is dropped.
pub(super) struct Turn {
    turns: Turns,
    number: u64,
    caches: Vec<CacheKey>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut holders = lock(&self.turns.0.holders);
        for cache in &self.caches {
            if let Some(of_cache) = holders.get_mut(cache) {
                of_cache.retain(|holder| holder.turn != self.number);
                if of_cache.is_empty() {
                    holders.remove(cache);
                }
            }
        }
        self.turns.0.ended.notify_waiters();
    }
}

impl Turns {
    /// Takes a turn, or returns what prevents it: a cache, and who has it. `excludes` says of two instances that they are of
    /// one service.
    pub(super) fn take(
        &self,
        user: &User,
        wanted: &[Wanted],
        excludes: impl Fn(Digest, Digest) -> bool,
    ) -> Result<Turn, (CacheKey, User)> {
        let mut holders = lock(&self.0.holders);
        for Wanted { cache, is_alone } in wanted {
            let prevents = |other: &&Holder| match (user.instance, other.user.instance) {
                (Some(own), Some(other)) if own == other => false,
                (Some(own), Some(of_other)) => *is_alone || other.is_alone || excludes(own, of_other),
                _ => *is_alone || other.is_alone,
            };
            if let Some(other) = holders.get(cache).into_iter().flatten().find(prevents) {
                return Err((cache.clone(), other.user.clone()));
            }
        }
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        for Wanted { cache, is_alone } in wanted {
            let holder = Holder { user: user.clone(), is_alone: *is_alone, turn: number };
            holders.entry(cache.clone()).or_default().push(holder);
        }
        let caches = wanted.iter().map(|wanted| wanted.cache.clone()).collect();
        Ok(Turn { turns: self.clone(), number, caches })
    }
}

impl Inner {
    /// Waits until nobody of this session prevents that a user has these caches. Services that do end as soon as nobody uses
    /// them; `waiting` is told once of each.
    pub(super) async fn take_turn(
        &self,
        user: &User,
        wanted: &[Wanted],
        waiting: &(dyn Fn(InUse) + Sync),
    ) -> Turn {
        let mut told = None;
        loop {
            let mut ended = pin!(self.turns.0.ended.notified());
            ended.as_mut().enable();
            let are_versions = |one, other| self.services().common(one, other).next().is_some();
            let (cache, other) = match self.turns.take(user, wanted, are_versions) {
                Ok(turn) => return turn,
                Err(prevented) => prevented,
            };
            if let Some(instance) = other.instance {
                // A step is of no definition: the service only ends early.
                self.services().make_way(instance, user.instance.unwrap_or(instance));
            }
            let in_use = InUse { cache, user: other.name.to_string(), owner: "this session".to_owned() };
            if told.as_ref() != Some(&in_use) {
                waiting(in_use.clone());
                told = Some(in_use);
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

    fn user(instance: Option<u8>) -> User {
        User { name: "user".into(), instance: instance.map(|number| Digest([number; 32])) }
    }

    fn wanted(caches: &[&str], is_alone: bool) -> Vec<Wanted> {
        caches.iter().map(|cache| Wanted { cache: (*cache).into(), is_alone }).collect()
    }

    #[test]
    fn versions_of_a_service_take_turns_and_others_share() {
        let (old, new, other) = (user(Some(1)), user(Some(2)), user(Some(3)));
        let turns = Turns::default();
        let of_other = other.instance.unwrap();
        let take = |user: &User, caches: &[&str]| {
            turns.take(user, &wanted(caches, false), |one, two| one != of_other && two != of_other)
        };
        let first = take(&old, &["b"]).ok().unwrap();
        let (cache, holder) = take(&new, &["a", "b"]).err().unwrap();
        assert_eq!((&*cache, holder.instance), ("b", old.instance));
        // Nothing is held by who waits.
        let third = take(&old, &["a"]).ok().unwrap();
        let shared = take(&other, &["a", "b"]).ok().unwrap();
        drop((first, third));
        assert!(take(&new, &["a", "b"]).is_ok());
        drop(shared);
        assert!(lock(&turns.0.holders).is_empty());
    }

    #[test]
    fn whoever_locks_a_cache_has_it_alone() {
        let turns = Turns::default();
        let take =
            |user: &User, cache: &str, is_alone| turns.take(user, &wanted(&[cache], is_alone), |_, _| false);
        let step = take(&user(None), "a", true).ok().unwrap();
        assert!(take(&user(None), "a", true).is_err(), "another step, or the same with another timeout");
        assert!(take(&user(Some(1)), "a", false).is_err(), "a service");
        assert!(take(&user(None), "b", true).is_ok());
        drop(step);
        let service = take(&user(Some(1)), "a", false).ok().unwrap();
        assert!(take(&user(None), "a", true).is_err());
        assert!(take(&user(Some(1)), "a", true).is_ok(), "it is its own");
        drop(service);
        assert!(take(&user(None), "a", true).is_ok());
    }
}
