//! Containers that are pinned for their file systems until the session closes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, RwLock};

use super::Shared;
use super::cleaner::Container;
use crate::lock::lock;
use crate::model::Snapshot;

/// The prefix that marks a snapshot as a held container and not an image.
const CONTAINER: &str = "container:";

/// The held containers of a session, by name.
#[derive(Default)]
pub(super) struct HeldContainers {
    containers: Mutex<HashMap<String, Held>>,
}

impl HeldContainers {
    /// Releases all of them: the containers are removed in the background. Returns the images made of them.
    pub(super) fn release(&self) -> Vec<String> {
        let held = std::mem::take(&mut *lock(&self.containers));
        held.values().filter_map(|held| held.image.get().cloned()).collect()
    }
}

/// A container pinned for its file system.
struct Held {
    /// Removed with the session.
    _container: Container,
    mounts: Mounts,
    /// Read access to the container, one reader at a time; see [`super::readers`].
    reading: Arc<RwLock<()>>,
    /// The image made of it, once one was needed.
    image: Arc<OnceCell<String>>,
}

/// Whether a container has mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounts {
    None,
    /// Caches, secrets: the engine shows them to whoever reads a path of the container, but they are not part of its file
    /// system.
    Some,
}

/// Pins a container for its file system until the session closes.
pub(super) fn hold(shared: &Shared, container: Container, mounts: Mounts) -> Snapshot {
    let snapshot = Snapshot(format!("{CONTAINER}{}", container.name()));
    let name = container.name().to_owned();
    let held = Held { _container: container, mounts, reading: Arc::default(), image: Arc::default() };
    lock(&shared.held.containers).insert(name, held);
    snapshot
}

/// Whether a container is held.
pub(super) fn is_held(shared: &Shared, container: &str) -> bool {
    lock(&shared.held.containers).contains_key(container)
}

/// The lock for reading from a held container.
pub(super) fn reading(shared: &Shared, container: &str) -> Arc<RwLock<()>> {
    lock(&shared.held.containers).get(container).map(|held| Arc::clone(&held.reading)).unwrap_or_default()
}

/// Whether a held container has mounts.
pub(super) fn mounts(shared: &Shared, container: &str) -> Option<Mounts> {
    lock(&shared.held.containers).get(container).map(|held| held.mounts)
}

/// The image of a held container, which is made when one is needed.
pub(super) fn image_of(shared: &Shared, container: &str) -> Option<Arc<OnceCell<String>>> {
    lock(&shared.held.containers).get(container).map(|held| Arc::clone(&held.image))
}

/// The held container that a snapshot names, if it names one.
pub(super) fn held_container(snapshot: &Snapshot) -> Option<&str> {
    snapshot.0.strip_prefix(CONTAINER)
}
