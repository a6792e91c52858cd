//! Ends: closing this session, and removing what sessions left whose process died.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bollard::query_parameters::{ListContainersOptions, ListImagesOptions, ListNetworksOptions};
use futures_util::future::join_all;

use super::failure::{self, BRIEF, within};
use super::{Shared, labels, network};
use crate::Result;

/// What belongs to another machine, or to this one before it was booted, may be removed at this age: its owner cannot
/// be seen from here, and no session lasts so long.
const FOREIGN_AGE: Duration = Duration::from_hours(24);

/// Removes all that the session made and has not kept.
pub(super) async fn close(shared: &Arc<Shared>) -> Result<()> {
    shared.closed.store(true, Ordering::SeqCst);
    let owned = Arc::clone(shared);
    shared.cleaner.to_its_end("close the session", async move { close_all(&owned).await }).await
}

async fn close_all(shared: &Arc<Shared>) -> Result<()> {
    shared.readers.release();
    shared.snapshots.release();
    let filter = format!("{}={}", labels::SESSION, shared.session);
    // Creations that were under way end in a container that is let go at once; so until nothing is found.
    for round in 0.. {
        let containers = containers(shared, &filter).await?;
        let results = join_all(containers.iter().map(|(name, _)| shared.cleaner.remove_container(name))).await;
        results.into_iter().collect::<Result<Vec<()>>>()?;
        // This very work is one job.
        shared.cleaner.settle(1).await;
        if containers.is_empty() || round >= 10 {
            break;
        }
    }
    if shared.network.is_begun() {
        let _ = shared.network.begin(shared).await;
        network::remove(shared).await?;
    }
    remove_held_images(shared, |session, _| session == shared.session.as_str()).await;
    if let Some(watchdog) = shared.watchdog.get()
        && let Some(watchdog) = watchdog.write().await.take()
    {
        watchdog.done();
    }
    Ok(())
}

/// Names and labels of the containers that match a filter.
async fn containers(shared: &Shared, label: &str) -> Result<Vec<(String, HashMap<String, String>)>> {
    let options = ListContainersOptions { all: true, filters: Some(filter(label)), ..Default::default() };
    let found = within(BRIEF, shared.client.list_containers(Some(options)))
        .await
        .map_err(failure::during("list what sessions left"))?;
    Ok(found.into_iter().filter_map(|container| Some((container.id?, container.labels.unwrap_or_default()))).collect())
}

fn filter(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}

/// Begins to remove what dead sessions left. Nobody waits for it, and its failures are the next session's business.
pub(super) fn begin(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    // Not counted among the cleaner's jobs: closing must not wait for others' leftovers.
    tokio::spawn(async move {
        let _ = sweep(&shared).await;
    });
}

async fn sweep(shared: &Arc<Shared>) -> Result<()> {
    let found = containers(shared, labels::SESSION).await?;
    let now = SystemTime::now();
    for (id, labels) in &found {
        if is_dead(shared, labels, now) {
            let _ = shared.cleaner.remove_container(id).await;
        }
    }
    let options = ListNetworksOptions { filters: Some(filter(labels::SESSION)) };
    let networks = within(BRIEF, shared.client.list_networks(Some(options)))
        .await
        .map_err(failure::during("list what sessions left"))?;
    for network in networks {
        let (Some(id), Some(labels)) = (network.id, network.labels) else { continue };
        if is_dead(shared, &labels, now) {
            let _ = within(BRIEF, shared.client.remove_network(&id)).await;
        }
    }
    remove_held_images(shared, |_, labels| is_dead(shared, labels, now)).await;
    Ok(())
}

/// Whether an object's session is no more: its process is gone, as far as can be seen from here.
fn is_dead(shared: &Shared, found: &HashMap<String, String>, now: SystemTime) -> bool {
    let (Some(owner), Some(made)) = (
        found.get(labels::OWNER).and_then(|text| labels::Owner::parse(text)),
        found.get(labels::CREATED).and_then(|text| text.parse().ok()),
    ) else {
        // Labelled by hand, or by a version of another mind.
        return false;
    };
    if found.get(labels::SESSION).is_some_and(|session| session == shared.session.as_str()) {
        return false;
    }
    if owner.is_of_this_boot() {
        return !owner.is_alive();
    }
    now.duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(made)).is_ok_and(|age| age > FOREIGN_AGE)
}

/// Removes images held by sessions that a predicate on session and labels chooses.
async fn remove_held_images(shared: &Shared, of: impl Fn(&str, &HashMap<String, String>) -> bool) {
    let options = ListImagesOptions { filters: Some(filter(labels::HELD)), ..Default::default() };
    let Ok(images) = within(BRIEF, shared.client.list_images(Some(options))).await else { return };
    for image in images {
        let session = image.labels.get(labels::HELD).map_or("", String::as_str);
        if of(session, &image.labels) {
            shared.cleaner.remove_image(image.repo_tags.first().unwrap_or(&image.id)).await;
        }
    }
}
