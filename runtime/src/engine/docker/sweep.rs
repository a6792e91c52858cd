//! The end of sessions: closing this one, and removing what dead sessions left.

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
use super::spares::Spares;
use super::{Shared, caches, labels, living, names, network};
use crate::{Error, Result};

/// How long closing waits for work under way, such as storing a large file system. Work that takes longer is not a
/// running container, and the next session removes its remains.
const UNDER_WAY_FOR: Duration = Duration::from_secs(60);

/// The grace period of services of dead sessions, before SIGKILL.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Who removes what no longer runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// This process, before closing ends.
    Here,
    /// The watchdog, after this process has ended: saves 10 ms for each container and 190 for the network.
    HandedOver,
}

/// Ends everything that the session runs, and removes everything that it made and did not store.
pub(super) async fn close(shared: &Arc<Shared>, removal: Removal) -> Result<()> {
    shared.closed.store(true, Ordering::SeqCst);
    shared.living.end();
    let owned = Arc::clone(shared);
    let close = async move {
        if removal == Removal::HandedOver && hand_over(&owned).await.is_ok() {
            return Ok(());
        }
        remove_all(&owned).await
    };
    shared.cleaner.to_its_end("close the session", close).await
}

/// Kills what runs and leaves the rest to the watchdog, if there is one and it confirms that it takes over.
async fn hand_over(shared: &Arc<Shared>) -> Result<()> {
    let watchdog = match shared.watchdog.get() {
        Some(watchdog) => watchdog.write().await.take(),
        None => None,
    };
    let watchdog = watchdog.ok_or_else(|| Error::engine("leave", "there is no watchdog"))?;
    let killed = kill_all(shared).await;
    // This very work is one job. If there is another, it may still start something.
    if killed.is_ok() && shared.cleaner.makers() <= 1 {
        network::leave(shared).await;
    }
    watchdog.hand_over().await?;
    killed
}

async fn kill_all(shared: &Arc<Shared>) -> Result<()> {
    // Whatever is being created or started is released by whoever does so; then it is removed here, or found dead.
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
    shared.dialer.release();
    shared.chains.release();
    let images = shared.held.release();
    // Running containers go first, which ends whatever waits for them.
    remove_containers(shared).await?;
    // Then work under way has to end; this very work is one job. It may have made one more container.
    let is_settled = tokio::time::timeout(UNDER_WAY_FOR, shared.cleaner.settle(1)).await.is_ok();
    remove_containers(shared).await?;
    if shared.network.is_begun() {
        let _ = shared.network.begin(shared).await;
        if !(is_settled && network::leave(shared).await) {
            network::remove(shared).await?;
        }
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

/// The containers with a label.
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

/// Starts to remove what dead sessions left. Nobody waits for it, and its failures are left to the next session.
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
    // A container of an image has the image's labels, and an image may have any, so the name must match too.
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
    sweep_spares(shared).await;
    if let Some(directory) = shared.records_at() {
        living::others(directory, &shared.session);
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

/// Removes networks that dead sessions had, or that were left for others and are too old to be taken. One that is in use after
/// all cannot be removed.
async fn sweep_spares(shared: &Shared) {
    let Some(spares) = Spares::of(shared.connection.id()) else { return };
    for abandoned in spares.abandoned(&shared.session) {
        match within(BRIEF, shared.client.remove_network(abandoned.name())).await {
            Err(error) if !failure::is_absent(&error) => {}
            _ => abandoned.forget(),
        }
    }
    let options = ListNetworksOptions { filters: Some(filter(labels::NETWORK)) };
    let found = within(BRIEF, shared.client.list_networks(Some(options))).await.unwrap_or_default();
    for name in found.into_iter().filter_map(|network| network.name) {
        if Spares::is_nobodys(&name) {
            let _ = within(BRIEF, shared.client.remove_network(&name)).await;
        }
    }
}

/// Removes a container of a dead session: a running service is stopped first, with the grace period that its watchdog
/// would give it.
async fn end(shared: &Shared, container: &Found) {
    if container.runs && container.labels.get(labels::KIND).is_some_and(|kind| kind == labels::KIND_SERVICE) {
        let seconds = i32::try_from(STOP_WITHIN.as_secs()).unwrap_or(0);
        let options = StopContainerOptions { t: Some(seconds), signal: None };
        let stop = shared.client.stop_container(&container.id, Some(options));
        let _ = within(STOP_WITHIN + BRIEF, stop).await;
    }
    let _ = shared.cleaner.remove_container(&container.id).await;
}
