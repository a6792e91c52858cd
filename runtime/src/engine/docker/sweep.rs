//! Ends: closing this session, and removing what sessions left whose process died.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::{
    ListContainersOptions, ListImagesOptions, ListNetworksOptions, StopContainerOptions,
};
use futures_util::future::join_all;

use super::failure::{self, BRIEF, within};
use super::{Shared, caches, labels, names, network};
use crate::{Error, Result};

/// How long closing waits for what is under way, such as the keeping of a large file system. What takes longer still is
/// no container that runs, and is removed by the next session.
const UNDER_WAY_FOR: Duration = Duration::from_secs(60);

/// How long services of dead sessions may take to stop; then they are killed.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Who removes what is dead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// This process, before closing ends.
    Here,
    /// The watchdog, after this process has ended: saves it 10 ms a container and 190 for the network.
    HandedOver,
}

/// Ends all that the session runs, and removes all that it made and has not kept.
pub(super) async fn close(shared: &Arc<Shared>, removal: Removal) -> Result<()> {
    shared.closed.store(true, Ordering::SeqCst);
    let owned = Arc::clone(shared);
    let close = async move {
        if removal == Removal::HandedOver && hand_over(&owned).await.is_ok() {
            return Ok(());
        }
        remove_all(&owned).await
    };
    shared.cleaner.to_its_end("close the session", close).await
}

/// Kills what runs and leaves the rest to the watchdog, if there is one and it says that it will see to it.
async fn hand_over(shared: &Arc<Shared>) -> Result<()> {
    let watchdog = match shared.watchdog.get() {
        Some(watchdog) => watchdog.write().await.take(),
        None => None,
    };
    let watchdog = watchdog.ok_or_else(|| Error::engine("leave", "there is no watchdog"))?;
    let killed = kill_all(shared).await;
    watchdog.hand_over().await?;
    killed
}

async fn kill_all(shared: &Arc<Shared>) -> Result<()> {
    // What is being created or started is let go by whoever does so; then it is removed, or found dead.
    let containers = containers(shared, &session_filter(shared)).await?;
    let kill = |name: &str| {
        let (client, name) = (shared.client.clone(), name.to_owned());
        async move { within(BRIEF, client.kill_container(&name, None)).await }
    };
    let kills =
        join_all(containers.iter().filter(|container| container.runs).map(|container| kill(&container.id)))
            .await;
    for killed in kills {
        match killed {
            Err(error) if !failure::is_absent(&error) && !failure::is_conflict(&error) => {
                return Err(failure::during("end what the session runs")(error));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn remove_all(shared: &Arc<Shared>) -> Result<()> {
    shared.readers.release();
    shared.mounts.release();
    let images = shared.held.release();
    // What runs goes first, which ends whatever waits for it.
    remove_containers(shared).await?;
    // Then what was under way has to end; this very work is one job. It may have made one more container.
    let _ = tokio::time::timeout(UNDER_WAY_FOR, shared.cleaner.settle(1)).await;
    remove_containers(shared).await?;
    if shared.network.is_begun() {
        let _ = shared.network.begin(shared).await;
        network::remove(shared).await?;
    }
    join_all(images.iter().map(|image| shared.cleaner.remove_image(image))).await;
    caches::give_back_own(shared).await?;
    if let Some(watchdog) = shared.watchdog.get()
        && let Some(watchdog) = watchdog.write().await.take()
    {
        watchdog.done();
    }
    Ok(())
}

async fn remove_containers(shared: &Shared) -> Result<()> {
    let containers = containers(shared, &session_filter(shared)).await?;
    let removals = containers.iter().map(|found| shared.cleaner.remove_container(&found.id));
    join_all(removals).await.into_iter().collect()
}

fn session_filter(shared: &Shared) -> String {
    format!("{}={}", labels::SESSION, shared.session)
}

/// A container of a session.
struct Found {
    id: String,
    names: Vec<String>,
    labels: HashMap<String, String>,
    runs: bool,
}

/// The containers that have a label.
async fn containers(shared: &Shared, label: &str) -> Result<Vec<Found>> {
    let options = ListContainersOptions { all: true, filters: Some(filter(label)), ..Default::default() };
    let found = within(BRIEF, shared.client.list_containers(Some(options)))
        .await
        .map_err(failure::during("list what sessions left"))?;
    let found = found.into_iter().filter_map(|container| {
        let runs = container.state.is_none_or(|state| state == ContainerSummaryStateEnum::RUNNING);
        let names = container.names.unwrap_or_default();
        Some(Found { id: container.id?, names, labels: container.labels.unwrap_or_default(), runs })
    });
    Ok(found.collect())
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
    // Whatever is run of an image has its labels, and an image may have any.
    let ours = found.iter().filter(|container| container.names.iter().any(|name| names::is_ours(name)));
    let dead = ours.filter(|container| labels::is_dead(&shared.session, &container.labels, now));
    join_all(dead.map(|container| end(shared, container))).await;
    let options = ListNetworksOptions { filters: Some(filter(labels::SESSION)) };
    let networks = within(BRIEF, shared.client.list_networks(Some(options)))
        .await
        .map_err(failure::during("list what sessions left"))?;
    for network in networks {
        let (Some(id), Some(labels)) = (network.id, network.labels) else { continue };
        if labels::is_dead(&shared.session, &labels, now) {
            let _ = within(BRIEF, shared.client.remove_network(&id)).await;
        }
    }
    let options = ListImagesOptions { filters: Some(filter(labels::HELD)), ..Default::default() };
    let images = within(BRIEF, shared.client.list_images(Some(options)))
        .await
        .map_err(failure::during("list what sessions left"))?;
    for image in images {
        let Some(name) = image.repo_tags.iter().find(|name| names::is_held(name)) else { continue };
        if labels::is_dead(&shared.session, &image.labels, now) {
            shared.cleaner.remove_image(name).await;
        }
    }
    caches::give_back_all(shared, |labels| labels::is_dead(&shared.session, labels, now)).await
}

/// Removes a container of a dead session: a service that runs is told first, and has as long as its watchdog gives it.
async fn end(shared: &Shared, container: &Found) {
    if container.runs && container.labels.get(labels::KIND).is_some_and(|kind| kind == labels::KIND_SERVICE) {
        let seconds = i32::try_from(STOP_WITHIN.as_secs()).unwrap_or(0);
        let options = StopContainerOptions { t: Some(seconds), signal: None };
        let stop = shared.client.stop_container(&container.id, Some(options));
        let _ = within(STOP_WITHIN + BRIEF, stop).await;
    }
    let _ = shared.cleaner.remove_container(&container.id).await;
}
