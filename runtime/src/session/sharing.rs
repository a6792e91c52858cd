//! Caches that whoever runs has for itself meanwhile: locked ones, which it waits for, and private ones, of which it takes a
//! volume that nobody uses.
//!
//! A step has everything else that it needs before it takes them, so that nobody waits for who waits for it: its services are
//! ready, and what it is made of has run. Of several, each process takes one after the other in the order of their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Inner;
use super::turns::{User, Wanted};
use crate::Result;
use crate::engine::{self, CacheLocks, Call, Engine, Filesystem, InUse};
use crate::event::{EventKind, Span, Waiting};
use crate::graph::{Mount, MountSource};
use crate::model::{Access, CacheKey, CacheUse, Sharing};

/// The caches that are not shared, in the order of their keys.
pub(super) fn own_caches(mounts: &[Mount]) -> Vec<CacheUse> {
    of_mounts(mounts).filter(|cache| cache.sharing != Sharing::Shared).collect()
}

/// The caches that a service holds: those that it writes to, and those that it locks, each once, in the order of their keys.
pub(super) fn held_caches(mounts: &[Mount]) -> Vec<CacheUse> {
    let held = mounts.iter().filter(|mount| match &mount.source {
        MountSource::Cache(cache) => mount.access == Access::ReadWrite || cache.sharing != Sharing::Shared,
        _ => false,
    });
    of_mounts(held).collect()
}

/// Each once; what is said to be its own in one mount is that in all.
fn of_mounts<'m>(mounts: impl IntoIterator<Item = &'m Mount>) -> impl Iterator<Item = CacheUse> {
    let mut caches: BTreeMap<CacheKey, CacheUse> = BTreeMap::new();
    for mount in mounts {
        let MountSource::Cache(cache) = &mount.source else { continue };
        let known = caches.entry(cache.key.clone()).or_insert_with(|| cache.clone());
        if known.sharing == Sharing::Shared {
            known.sharing = cache.sharing;
        }
    }
    caches.into_values()
}

/// Caches that are held, and the volumes that private ones have come to.
pub(super) struct OwnCaches {
    locks: Option<Arc<dyn CacheLocks>>,
    volumes: Volumes,
}

/// The volume of each private cache.
pub(super) type Volumes = Vec<(CacheKey, CacheKey)>;

impl OwnCaches {
    /// What is in new ones is valid from now on, whatever becomes of the process: it is a step's, and no database.
    pub(super) async fn settle(&self) -> Result<()> {
        match &self.locks {
            Some(locks) => locks.settle().await,
            None => Ok(()),
        }
    }

    /// Others may have them. To be awaited when the process has ended.
    pub(super) async fn release(mut self) -> Result<()> {
        match self.locks.take() {
            Some(locks) => locks.release().await.map(drop),
            None => Ok(()),
        }
    }

    /// The locks, which are released by whoever has them now, and the volumes.
    pub(super) fn into_parts(mut self) -> (Option<Arc<dyn CacheLocks>>, Volumes) {
        (self.locks.take(), std::mem::take(&mut self.volumes))
    }

    pub(super) fn volumes(&self) -> &Volumes {
        &self.volumes
    }
}

/// What is cancelled releases them in the background; what cannot any more leaves it to the end of the session.
impl Drop for OwnCaches {
    fn drop(&mut self) {
        if let (Some(locks), Ok(runtime)) = (self.locks.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(async move { locks.release().await }));
        }
    }
}

/// Lets a file system have the volumes of its private caches.
pub(super) fn choose(filesystem: &mut Filesystem, volumes: &Volumes) {
    for mount in &mut filesystem.mounts {
        if let engine::MountSource::Cache(key) = &mut mount.source
            && let Some((_, volume)) = volumes.iter().find(|(cache, _)| cache == key)
        {
            *key = volume.clone();
        }
    }
}

impl Inner {
    /// Waits for caches, and holds them.
    pub(super) async fn hold_caches(
        &self,
        engine: &dyn Engine,
        user: &User,
        caches: &[CacheUse],
        waiting: &(dyn Fn(InUse) + Sync),
    ) -> Result<OwnCaches> {
        let mut own = OwnCaches { locks: None, volumes: Vec::new() };
        let (private, waited_for): (Vec<_>, Vec<_>) =
            caches.iter().partition(|cache| cache.sharing == Sharing::Private);
        if !waited_for.is_empty() {
            let wanted: Vec<Wanted> = waited_for
                .iter()
                .map(|cache| Wanted { cache: cache.key.clone(), is_alone: cache.sharing == Sharing::Locked })
                .collect();
            let keys: Vec<CacheKey> = waited_for.iter().map(|cache| cache.key.clone()).collect();
            let turn = self.take_turn(user, &wanted, waiting).await;
            let locks = engine.lock_caches(&user.name, &keys, waiting).await?;
            own.locks = Some(turn.with(locks));
        }
        // Nobody is waited for here, so the order does not matter.
        for cache in private {
            let (volume, locks) = self.free_volume(engine, user, cache).await?;
            own.volumes.push((cache.key.clone(), volume));
            own.locks = Some(match own.locks.take() {
                Some(others) => Arc::new(Both(others, locks)),
                None => locks,
            });
        }
        Ok(own)
    }

    /// The first volume of a private cache that nobody uses.
    async fn free_volume(
        &self,
        engine: &dyn Engine,
        user: &User,
        cache: &CacheUse,
    ) -> Result<(CacheKey, Arc<dyn CacheLocks>)> {
        let mut number = 0;
        loop {
            let volume = cache.volume(number);
            number += 1;
            let wanted = [Wanted { cache: volume.clone(), is_alone: true }];
            let Ok(turn) = self.turns.take(user, &wanted, |_, _| true) else { continue };
            let is_used = Notify::new();
            let waiting = |_: InUse| is_used.notify_one();
            let keys = [volume.clone()];
            tokio::select! {
                locks = engine.lock_caches(&user.name, &keys, &waiting) => {
                    return Ok((volume, turn.with(locks?)));
                }
                () = is_used.notified() => {}
            }
        }
    }
}

/// Tells of a wait for a cache.
pub(super) fn told_to(span: &Span) -> impl Fn(&InUse) + Sync {
    move |InUse { cache, user, owner }| {
        span.emit(|| {
            let (cache, service, owner) = ((&**cache).into(), user.as_str().into(), owner.as_str().into());
            EventKind::Waiting(Waiting::Cache { cache, service, owner })
        });
    }
}

/// Two locks as one.
#[derive(Debug)]
struct Both(Arc<dyn CacheLocks>, Arc<dyn CacheLocks>);

impl CacheLocks for Both {
    fn settle(&self) -> Call<'_, ()> {
        Box::pin(async move {
            self.0.settle().await?;
            self.1.settle().await
        })
    }

    fn release(&self) -> Call<'_, Vec<CacheKey>> {
        Box::pin(async move {
            // Each is released, whatever becomes of the other.
            let (one, other) = tokio::join!(self.0.release(), self.1.release());
            let mut emptied = one?;
            emptied.extend(other?);
            Ok(emptied)
        })
    }
}
