//! Cache volumes held by services: by the services of one session at a time, and emptied again if no service became
//! ready.
//!
//! A volume's labels cannot be changed once it exists: so two more volumes, both empty, record its state for every
//! session on every machine, whatever happens to the session that made them. One represents the hold: creating a volume
//! that exists returns the existing one, so it is clear at once who was first. The other records that the cache was new,
//! and exists until a service is ready. Whoever cleans up after a session removes the cache if it was new, and then both.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bollard::models::{Volume, VolumeCreateRequest};
use bollard::query_parameters::{ListContainersOptions, ListVolumesOptions, RemoveVolumeOptions};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::failure::{self, BRIEF, within};
use super::{Shared, labels, mount, names};
use crate::engine::{CacheLocks, Call, InUse};
use crate::model::CacheKey;
use crate::{Error, Result};

/// Poll interval while another session holds a cache.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long a cache may stay mounted in containers that are being removed.
const FREE_WITHIN: Duration = Duration::from_secs(10);

/// The volumes held by services of this session, by name.
#[derive(Default)]
pub(super) struct Users {
    /// The held volumes, by name.
    known: Mutex<HashMap<String, Use>>,
    /// Whether anything was ever held.
    any: AtomicBool,
}

struct Use {
    /// How many services of this session hold it.
    services: usize,
    /// Whether the cache was new and no service has settled it.
    is_new: bool,
}

/// The volumes held by one service.
struct Held {
    shared: Arc<Shared>,
    /// The names of the volumes, with their keys.
    volumes: Vec<(CacheKey, String)>,
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
    // The watchdog must be armed: it releases what is held if this process dies.
    shared.guarded().await;
    shared.cache_users.any.store(true, Ordering::Relaxed);
    let mut undo = Undo(Some(Held { shared: Arc::clone(shared), volumes: Vec::new() }));
    for key in caches {
        let volume = names::cache_volume(key);
        let mut told = None;
        while !try_hold(shared, key, &volume, service, &mut told, waiting).await? {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        if let Some(held) = &mut undo.0 {
            held.volumes.push((key.clone(), volume));
        }
    }
    let held = undo.0.take().ok_or_else(|| Error::engine("hold caches", "they were given back"))?;
    Ok(Arc::new(held))
}

/// Releases what is held if the caller stops waiting for the rest.
struct Undo(Option<Held>);

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(held) = self.0.take().filter(|held| !held.volumes.is_empty()) {
            let cleaner = held.shared.cleaner.clone();
            drop(cleaner.spawn(async move { held.release().await }));
        }
    }
}

/// Tries to hold a volume now. Each other holder is reported once.
async fn try_hold(
    shared: &Arc<Shared>,
    key: &CacheKey,
    volume: &str,
    service: &str,
    told: &mut Option<InUse>,
    waiting: &(dyn Fn(InUse) + Sync),
) -> Result<bool> {
    let mut users = shared.cache_users.known.lock().await;
    if let Some(user) = users.get_mut(volume) {
        user.services += 1;
        return Ok(true);
    }
    // Run to its end, so that no hold is made that nobody knows of.
    let (owned, for_task) = (Arc::clone(shared), (volume.to_owned(), service.to_owned()));
    let making = async move {
        let (volume, service) = for_task;
        make(&owned, names::hold_of(&volume), labels::HOLDS, &volume, &service).await
    };
    let made = shared.cleaner.to_its_end("hold a cache", making).await?;
    if made.labels.get(labels::SESSION).map(String::as_str) != Some(shared.session.as_str()) {
        if labels::is_dead(&shared.session, &made.labels, SystemTime::now()) {
            give_back(shared, volume, &made).await?;
            return Ok(false);
        }
        let in_use = in_use(key, &made);
        if told.as_ref() != Some(&in_use) {
            waiting(in_use.clone());
            *told = Some(in_use);
        }
        return Ok(false);
    }
    let is_new = is_new(shared, volume, service).await?;
    users.insert(volume.to_owned(), Use { services: 1, is_new });
    Ok(true)
}

fn in_use(key: &CacheKey, hold: &Volume) -> InUse {
    let owner = hold.labels.get(labels::OWNER).and_then(|text| labels::Owner::parse(text));
    InUse {
        cache: key.clone(),
        user: hold.labels.get(labels::NAME).cloned().unwrap_or_default(),
        owner: owner.map_or_else(|| "another session".to_owned(), |owner| format!("process {}", owner.pid)),
    }
}

/// Whether a volume that this session holds is new, or was new when a holder got it who never settled it. If so, it is
/// marked.
async fn is_new(shared: &Arc<Shared>, volume: &str, service: &str) -> Result<bool> {
    let news = names::news_of(volume);
    if exists(shared, &news).await? {
        empty(shared, volume).await?;
        remove(shared, &news).await?;
    } else if exists(shared, volume).await? {
        return Ok(false);
    }
    make(shared, news, labels::NEW, volume, service).await?;
    // An earlier service of this session may have used a volume of this name.
    mount::forget_cache(shared, volume);
    Ok(true)
}

/// Makes a volume that records something about another one; returns the existing one, if there was one.
async fn make(shared: &Shared, name: String, label: &str, volume: &str, service: &str) -> Result<Volume> {
    let mut labels = labels::of(&shared.session, service);
    labels.insert(label.to_owned(), volume.to_owned());
    let request = VolumeCreateRequest { name: Some(name), labels: Some(labels), ..Default::default() };
    within(BRIEF, shared.client.create_volume(request)).await.map_err(failure::during("hold a cache"))
}

async fn exists(shared: &Shared, volume: &str) -> Result<bool> {
    match within(BRIEF, shared.client.inspect_volume(volume)).await {
        Ok(_) => Ok(true),
        Err(error) if failure::is_absent(&error) => Ok(false),
        Err(error) => Err(failure::during("look at a cache")(error)),
    }
}

/// Removes a volume; returns whether it existed.
async fn remove(shared: &Shared, volume: &str) -> Result<bool> {
    match within(BRIEF, shared.client.remove_volume(volume, None::<RemoveVolumeOptions>)).await {
        Ok(()) => Ok(true),
        Err(error) if failure::is_absent(&error) => Ok(false),
        Err(error) => Err(failure::during(format!("remove the volume {volume}"))(error)),
    }
}

/// Removes a cache's volume once nothing has it mounted any more; returns whether it existed.
async fn empty(shared: &Shared, volume: &str) -> Result<bool> {
    let began = Instant::now();
    let emptied = loop {
        match within(BRIEF, shared.client.remove_volume(volume, None::<RemoveVolumeOptions>)).await {
            Ok(()) => break true,
            Err(error) if failure::is_absent(&error) => break false,
            Err(error) if failure::is_conflict(&error) && began.elapsed() < FREE_WITHIN => {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            Err(error) => return Err(failure::during(format!("empty the volume {volume}"))(error)),
        }
    };
    mount::forget_cache(shared, volume);
    Ok(emptied)
}

/// Releases the hold of a dead session, once nothing of that session runs any more with the volume. Its watchdog does so,
/// unless that has died too.
async fn give_back(shared: &Arc<Shared>, volume: &str, hold: &Volume) -> Result<()> {
    let session = hold.labels.get(labels::SESSION).cloned().unwrap_or_default();
    let filters = HashMap::from([
        ("volume".to_owned(), vec![volume.to_owned()]),
        ("label".to_owned(), vec![format!("{}={session}", labels::SESSION)]),
    ]);
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    let containers = within(BRIEF, shared.client.list_containers(Some(options)))
        .await
        .map_err(failure::during("look for who has a cache"))?;
    if !containers.is_empty() {
        // Swept by this session or another, or removed by the watchdog.
        return Ok(());
    }
    let news = names::news_of(volume);
    if exists(shared, &news).await? {
        empty(shared, volume).await?;
        remove(shared, &news).await?;
    }
    // Another session may have done the same just now, and hold it.
    let name = names::hold_of(volume);
    match within(BRIEF, shared.client.inspect_volume(&name)).await {
        Ok(now) if now.labels == hold.labels => remove(shared, &name).await.map(drop),
        _ => Ok(()),
    }
}

/// Releases the holds of this session, if there are any left.
pub(super) async fn give_back_own(shared: &Shared) -> Result<()> {
    if !shared.cache_users.any.load(Ordering::Relaxed) {
        return Ok(());
    }
    let is_own = |of: &HashMap<String, String>| {
        of.get(labels::SESSION).map(String::as_str) == Some(shared.session.as_str())
    };
    give_back_all(shared, is_own).await
}

/// Releases the holds of sessions that `is_gone` recognises by the labels of what they made, for whoever cleans up after
/// them.
pub(super) async fn give_back_all(
    shared: &Shared,
    is_gone: impl Fn(&HashMap<String, String>) -> bool,
) -> Result<()> {
    let filters = HashMap::from([("label".to_owned(), vec![labels::SESSION.to_owned()])]);
    let options = ListVolumesOptions { filters: Some(filters) };
    let found = within(BRIEF, shared.client.list_volumes(Some(options)))
        .await
        .map_err(failure::during("list what sessions left"))?;
    let left: Vec<Volume> =
        found.volumes.into_iter().flatten().filter(|volume| is_gone(&volume.labels)).collect();
    for volume in &left {
        if let Some(new) = volume.labels.get(labels::NEW) {
            empty(shared, new).await?;
            remove(shared, &volume.name).await?;
        }
    }
    for volume in left.iter().filter(|volume| volume.labels.contains_key(labels::HOLDS)) {
        remove(shared, &volume.name).await?;
    }
    Ok(())
}

impl CacheLocks for Held {
    fn settle(&self) -> Call<'_, ()> {
        Box::pin(async move {
            for (_, volume) in &self.volumes {
                let mut users = self.shared.cache_users.known.lock().await;
                if let Some(user) = users.get_mut(volume).filter(|user| user.is_new) {
                    remove(&self.shared, &names::news_of(volume)).await?;
                    user.is_new = false;
                }
            }
            Ok(())
        })
    }

    fn release(&self) -> Call<'_, Vec<CacheKey>> {
        Box::pin(async move {
            let (mut emptied, mut failure) = (Vec::new(), None);
            for (key, volume) in &self.volumes {
                match release(&self.shared, volume).await {
                    Ok(true) => emptied.push(key.clone()),
                    Ok(false) => {}
                    // The hold stays, so that the next session tries again.
                    Err(error) => failure = Some(error),
                }
            }
            failure.map_or(Ok(emptied), Err)
        })
    }
}

/// Releases a volume; returns whether it was emptied.
async fn release(shared: &Shared, volume: &str) -> Result<bool> {
    let mut users = shared.cache_users.known.lock().await;
    let Some(user) = users.get_mut(volume) else { return Ok(false) };
    user.services -= 1;
    if user.services > 0 {
        return Ok(false);
    }
    let is_new = user.is_new;
    users.remove(volume);
    let mut emptied = false;
    if is_new {
        emptied = empty(shared, volume).await?;
        remove(shared, &names::news_of(volume)).await?;
    }
    remove(shared, &names::hold_of(volume)).await?;
    Ok(emptied)
}
