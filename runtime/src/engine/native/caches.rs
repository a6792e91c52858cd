//! Cache volumes held by services: by the services of one session at a time, and emptied again if no service became
//! ready.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::store::{Attempt, Store};
use super::wire::{Answer, Files, Request};
use super::{AGAIN_AFTER, Shared, client, failed};
use crate::engine::{CacheLocks, Call, InUse};
use crate::lock::lock;
use crate::model::CacheKey;
use crate::{Error, Result};

/// The volumes held by services of this session, by path.
pub(super) type Users = HashMap<PathBuf, Use>;

#[derive(Debug)]
pub(super) struct Use {
    /// How many services of this session hold it.
    services: usize,
    /// Whether the volume was new and no service has settled it.
    is_new: bool,
}

/// The volumes held by one service.
struct Held {
    shared: Arc<Shared>,
    /// The paths of the volumes, with their keys.
    volumes: Vec<(CacheKey, PathBuf)>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("volumes", &self.volumes).finish_non_exhaustive()
    }
}

/// Holds them one after the other, in the same order for everybody, so that two holders never deadlock.
pub(super) async fn hold(
    shared: &Arc<Shared>,
    service: &str,
    caches: &[CacheKey],
    waiting: &(dyn Fn(InUse) + Sync),
) -> Result<Arc<dyn CacheLocks>> {
    let mut undo = Undo(Held { shared: Arc::clone(shared), volumes: Vec::new() });
    for key in caches {
        let volume = Store::volume(key);
        let mut told = None;
        while !shared.try_hold(key, &volume, service, &mut told, waiting).await? {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        undo.0.volumes.push((key.clone(), volume));
    }
    Ok(Arc::new(undo.keep()))
}

/// Releases what is held, all of it still unused, if the caller stops waiting for the rest.
struct Undo(Held);

impl Undo {
    fn keep(mut self) -> Held {
        Held { shared: Arc::clone(&self.0.shared), volumes: std::mem::take(&mut self.0.volumes) }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.0.shared);
        for (_, volume) in self.0.volumes.drain(..) {
            let mut users = lock(&shared.cache_users);
            let Some(user) = users.get_mut(&volume) else { continue };
            user.services -= 1;
            if user.services == 0 {
                users.remove(&volume);
                // If this fails the volume stays held while the session exists.
                let _ = shared.store.release(&volume);
            }
        }
    }
}

impl Shared {
    /// Tries to hold a volume now. Each other holder is reported once.
    async fn try_hold(
        &self,
        key: &CacheKey,
        volume: &Path,
        service: &str,
        told: &mut Option<InUse>,
        waiting: &(dyn Fn(InUse) + Sync),
    ) -> Result<bool> {
        let what = || failed(format!("hold the cache `{key}`"));
        let attempt = {
            let mut users = lock(&self.cache_users);
            if let Some(user) = users.get_mut(volume) {
                let is_there = user.services > 0;
                if is_there {
                    user.services += 1;
                }
                return Ok(is_there);
            }
            let attempt = self.store.try_hold(volume, service).map_err(what())?;
            if let Attempt::Held { is_new } = attempt {
                users.insert(volume.to_owned(), Use { services: 1, is_new });
                return Ok(true);
            }
            attempt
        };
        match attempt {
            Attempt::Held { .. } => {}
            Attempt::InUse(record) => {
                let in_use = InUse {
                    cache: key.clone(),
                    user: record.service,
                    owner: format!("process {}", record.process),
                };
                if told.as_ref() != Some(&in_use) {
                    waiting(in_use.clone());
                    *told = Some(in_use);
                }
            }
            Attempt::Abandoned(abandoned) => {
                self.ready().await?;
                self.empty(volume).await.map_err(what())?;
                abandoned.forget().map_err(what())?;
            }
        }
        Ok(false)
    }

    /// Empties a volume, whoever owns the files in it.
    async fn empty(&self, volume: &Path) -> io::Result<()> {
        let scratch = self.store.scratch()?;
        let request =
            Request::Files(Files::Empty { volume: volume.to_owned(), aside: scratch.changes.upper.clone() });
        match self.shim.ask_once(&request, &[]).await? {
            Answer::Done => Ok(()),
            Answer::Failed(text) => Err(io::Error::other(text)),
            other => Err(client::unexpected(&other)),
        }
    }
}

impl CacheLocks for Held {
    fn settle(&self) -> Call<'_, ()> {
        Box::pin(async move {
            for (key, volume) in &self.volumes {
                let mut users = lock(&self.shared.cache_users);
                let Some(user) = users.get_mut(volume).filter(|user| user.is_new) else { continue };
                self.shared.store.settle(volume).map_err(failed(format!("keep the cache `{key}`")))?;
                user.is_new = false;
            }
            Ok(())
        })
    }

    fn release(&self) -> Call<'_, Vec<CacheKey>> {
        Box::pin(async move {
            let (mut emptied, mut failure) = (Vec::new(), None);
            for (key, volume) in &self.volumes {
                match self.shared.release(volume).await {
                    Ok(true) => emptied.push(key.clone()),
                    Ok(false) => {}
                    // The record stays, so that whoever cleans up after this session tries again.
                    Err(error) => failure = Some(Error::engine(format!("empty the cache `{key}`"), error)),
                }
            }
            failure.map_or(Ok(emptied), Err)
        })
    }
}

impl Shared {
    /// Releases a volume; returns whether it was emptied.
    async fn release(&self, volume: &Path) -> io::Result<bool> {
        {
            let mut users = lock(&self.cache_users);
            let Some(user) = users.get_mut(volume) else { return Ok(false) };
            user.services -= 1;
            if user.services > 0 {
                return Ok(false);
            }
            if !(user.is_new && self.store.root().join(volume).exists()) {
                users.remove(volume);
                self.store.release(volume)?;
                return Ok(false);
            }
        }
        // A new holder has to wait meanwhile, as the volume is still recorded although nobody uses it.
        let emptied = self.empty(volume).await;
        lock(&self.cache_users).remove(volume);
        emptied?;
        self.store.release(volume)?;
        Ok(true)
    }
}
