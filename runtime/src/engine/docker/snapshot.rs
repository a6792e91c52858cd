//! File systems under the engine's names for them: images, and containers that are held for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bollard::models::ImageInspect;
use tokio::sync::{OnceCell, RwLock};

use super::cleaner::Container;
use super::failure::{self, BRIEF, within};
use super::image::image_id;
use super::{Shared, keep, lock, recast};
use crate::model::Snapshot;
use crate::{Error, Result};

/// Docker's layer store refuses the 126th layer on top of each other (moby, `layer.maxLayerDepth`). A step that builds
/// on as many as this first has them made into one.
pub(super) const LAYERS_AT_MOST: usize = 120;

/// How held containers are told from images.
const CONTAINER: &str = "container:";

/// What is known of snapshots, and what is held of them.
pub(super) struct Snapshots {
    layers_at_most: usize,
    facts: Mutex<HashMap<String, Arc<Facts>>>,
    /// Images without volumes with the contents of images that have some.
    plain: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
    /// Images of few layers with the contents of images of many.
    flattened: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
    held: Mutex<HashMap<String, Held>>,
}

/// What matters of an image when a container is made from it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) id: String,
    /// The names of the variables that containers of this image get unless told otherwise.
    pub(super) env: Vec<String>,
    /// The digests of its layers' contents, lowest first.
    pub(super) layers: Vec<String>,
    pub(super) architecture: String,
    pub(super) os: String,
    /// Whether containers of this image get volumes that nobody asked for.
    has_volumes: bool,
}

/// A container kept for its file system.
struct Held {
    /// Removed with the session.
    _container: Container,
    mounts: Mounts,
    /// Who reads from it has it alone; see [`super::readers`].
    reading: Arc<RwLock<()>>,
    image: Arc<OnceCell<String>>,
}

impl Facts {
    pub(super) fn of(image: &ImageInspect) -> Result<Self> {
        let id = image_id(image.id.as_deref())?.to_string();
        let layers = image.root_fs.as_ref().and_then(|fs| fs.layers.as_deref()).unwrap_or_default();
        let layers = layers.iter().map(|layer| image_id(Some(layer)).map(|layer| layer.to_string()));
        let config = image.config.as_ref();
        let env = config.and_then(|config| config.env.as_ref()).into_iter().flatten();
        Ok(Self {
            id,
            env: env
                .filter_map(|variable| variable.split_once('='))
                .map(|(name, _)| name.to_owned())
                .collect(),
            layers: layers.collect::<Result<_>>()?,
            architecture: image.architecture.clone().unwrap_or_default(),
            os: image.os.clone().unwrap_or_default(),
            has_volumes: config
                .and_then(|config| config.volumes.as_ref())
                .is_some_and(|paths| !paths.is_empty()),
        })
    }
}

impl Snapshots {
    pub(super) fn new(layers_at_most: usize) -> Self {
        Self {
            layers_at_most,
            facts: Mutex::default(),
            plain: Mutex::default(),
            flattened: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// Remembers an image that has just been inspected.
    pub(super) fn learn(&self, image: &ImageInspect) -> Result<Arc<Facts>> {
        let facts = Arc::new(Facts::of(image)?);
        lock(&self.facts).insert(facts.id.clone(), Arc::clone(&facts));
        Ok(facts)
    }

    /// Lets go of all that was held: the containers are removed in the background. Gives the images made of them.
    pub(super) fn release(&self) -> Vec<String> {
        let held = std::mem::take(&mut *lock(&self.held));
        held.values().filter_map(|held| held.image.get().cloned()).collect()
    }
}

/// Whether something is mounted in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounts {
    None,
    /// Caches, secrets: the engine shows them to whoever reads a path of the container, and they are no part of it.
    Some,
}

/// Keeps a container for its file system until the session closes.
pub(super) fn hold(shared: &Shared, container: Container, mounts: Mounts) -> Snapshot {
    let snapshot = Snapshot(format!("{CONTAINER}{}", container.name()));
    let name = container.name().to_owned();
    let held = Held { _container: container, mounts, reading: Arc::default(), image: Arc::default() };
    lock(&shared.snapshots.held).insert(name, held);
    snapshot
}

/// The image to read a held container's files in, where not in the container itself.
pub(super) async fn readable(shared: &Arc<Shared>, container: &str) -> Result<Option<String>> {
    let mounts = lock(&shared.snapshots.held).get(container).map(|held| held.mounts);
    match mounts {
        Some(Mounts::Some) => image_of_held(shared, container).await.map(Some),
        _ => Ok(None),
    }
}

/// Whether a container is one of those that are held.
pub(super) fn is_held(shared: &Shared, container: &str) -> bool {
    lock(&shared.snapshots.held).contains_key(container)
}

/// The lock of who reads from a held container.
pub(super) fn reading(shared: &Shared, container: &str) -> Arc<RwLock<()>> {
    lock(&shared.snapshots.held).get(container).map(|held| Arc::clone(&held.reading)).unwrap_or_default()
}

/// The held container that this snapshot is, if it is one.
pub(super) fn held_container(snapshot: &Snapshot) -> Option<&str> {
    snapshot.0.strip_prefix(CONTAINER)
}

/// What is known of an image; one call of 1 ms where nothing is.
pub(super) async fn facts(shared: &Shared, image: &str) -> Result<Arc<Facts>> {
    let known = lock(&shared.snapshots.facts).get(image).cloned();
    if let Some(facts) = known {
        return Ok(facts);
    }
    let inspected = within(BRIEF, shared.client.inspect_image(image))
        .await
        .map_err(failure::during(format!("find the file system {image}")))?;
    shared.snapshots.learn(&inspected)
}

/// An image with the same contents and no volumes; made when it is first needed, which a cached result is not.
pub(super) async fn without_volumes(shared: &Arc<Shared>, image: &str) -> Result<Arc<Facts>> {
    let known = facts(shared, image).await?;
    if !known.has_volumes {
        return Ok(known);
    }
    let cell = Arc::clone(lock(&shared.snapshots.plain).entry(known.id.clone()).or_default());
    let plain = cell.get_or_try_init(|| recast::plain(shared, &known)).await?;
    facts(shared, plain).await
}

/// The image to make a container from, so that it has the snapshot's contents and room for another layer.
pub(super) async fn base_image(shared: &Arc<Shared>, snapshot: &Snapshot) -> Result<Arc<Facts>> {
    let known = without_volumes(shared, &image(shared, snapshot).await?).await?;
    if known.layers.len() < shared.snapshots.layers_at_most {
        return Ok(known);
    }
    let cell = Arc::clone(lock(&shared.snapshots.flattened).entry(known.id.clone()).or_default());
    let flat = cell.get_or_try_init(|| recast::flatten(shared, &known)).await?;
    facts(shared, flat).await
}

/// The image that has the snapshot's contents.
pub(super) async fn image(shared: &Arc<Shared>, snapshot: &Snapshot) -> Result<String> {
    match held_container(snapshot) {
        None => Ok(snapshot.0.clone()),
        Some(container) => image_of_held(shared, container).await,
    }
}

pub(super) async fn image_of_held(shared: &Arc<Shared>, container: &str) -> Result<String> {
    let cell = lock(&shared.snapshots.held).get(container).map(|held| Arc::clone(&held.image));
    let cell = cell.ok_or_else(|| Error::engine("find a held file system", "the session has closed"))?;
    let commit = || async {
        let reading = reading(shared, container);
        // The engine answers nothing about a container that is read from.
        let _unread = reading.read().await;
        keep::commit_held(shared, container).await
    };
    cell.get_or_try_init(commit).await.cloned()
}
