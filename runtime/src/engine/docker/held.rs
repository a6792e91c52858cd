//! Containers that are held for their file systems, until the session closes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, RwLock};

use super::Shared;
use super::cleaner::Container;
use crate::lock::lock;
use crate::model::Snapshot;

/// How held containers are told from images.
const CONTAINER: &str = "container:";

/// Those of a session, by their names.
#[derive(Default)]
pub(super) struct HeldContainers {
    containers: Mutex<HashMap<String, Held>>,
}

impl HeldContainers {
    /// Lets go of all: the containers are removed in the background. Gives the images made of them.
    pub(super) fn release(&self) -> Vec<String> {
        let held = std::mem::take(&mut *lock(&self.containers));
        held.values().filter_map(|held| held.image.get().cloned()).collect()
    }
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
    lock(&shared.held.containers).insert(name, held);
    snapshot
}

/// Whether a container is one of those that are held.
pub(super) fn is_held(shared: &Shared, container: &str) -> bool {
    lock(&shared.held.containers).contains_key(container)
}

/// The lock of who reads from a held container.
pub(super) fn reading(shared: &Shared, container: &str) -> Arc<RwLock<()>> {
    lock(&shared.held.containers).get(container).map(|held| Arc::clone(&held.reading)).unwrap_or_default()
}

/// Whether something is mounted in a held container.
pub(super) fn mounts(shared: &Shared, container: &str) -> Option<Mounts> {
    lock(&shared.held.containers).get(container).map(|held| held.mounts)
}

/// The image that is made of a held container when one is needed.
pub(super) fn image_of(shared: &Shared, container: &str) -> Option<Arc<OnceCell<String>>> {
    lock(&shared.held.containers).get(container).map(|held| Arc::clone(&held.image))
}

/// The held container that this snapshot is, if it is one.
pub(super) fn held_container(snapshot: &Snapshot) -> Option<&str> {
    snapshot.0.strip_prefix(CONTAINER)
}
