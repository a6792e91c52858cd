//! Containers that are pinned for their file systems until the session closes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bollard::query_parameters::ListContainersOptions;
use tokio::sync::{OnceCell, RwLock};

use super::cleaner::Container;
use super::failure::{self, BRIEF, within};
use super::recipe::Created;
use super::{Shared, labels};
use crate::Result;
use crate::lock::lock;
use crate::model::{RunId, Snapshot};

/// The prefix that marks a snapshot as a held container and not an image.
const CONTAINER: &str = "container:";

/// The held containers of a session, by name.
#[derive(Default)]
pub(super) struct HeldContainers {
    containers: Mutex<HashMap<String, Held>>,
    /// Those of steps that have succeeded, of which no image was made yet.
    runs: Mutex<HashMap<RunId, Arc<HeldRun>>>,
}

impl HeldContainers {
    /// Releases all of them: the containers are removed in the background. Returns the images made of them.
    pub(super) fn release(&self) -> Vec<String> {
        lock(&self.runs).clear();
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

/// A container with what a run of a step left, until an image is made of it.
pub(super) struct HeldRun {
    container: Which,
    /// The variables whose names the image must list.
    variables: Vec<String>,
    /// For messages.
    name: String,
    has_secrets: bool,
}

enum Which {
    /// Of this session. It is removed when this is dropped.
    Own(Container),
    /// Of this session, and still running, by its id.
    Running(String),
    /// Of another one, by its id.
    Elsewhere(String),
}

impl HeldRun {
    pub(super) fn new(created: Created, name: String, has_secrets: bool) -> Self {
        let Created { container, variables } = created;
        Self { container: Which::Own(container), variables, name, has_secrets }
    }

    /// The engine's name for it.
    pub(super) fn container(&self) -> &str {
        match &self.container {
            Which::Own(container) => container.name(),
            Which::Running(id) | Which::Elsewhere(id) => id,
        }
    }

    /// A container in which something still runs, which is somebody else's.
    pub(super) fn running(container: &Container, variables: Vec<String>, name: String) -> Self {
        let id = container.id().unwrap_or_else(|| container.name()).to_owned();
        Self { container: Which::Running(id), variables, name, has_secrets: false }
    }

    /// Whether it may go away at any time.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.container, Which::Elsewhere(_))
    }

    pub(super) fn variables(&self) -> &[String] {
        &self.variables
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn has_secrets(&self) -> bool {
        self.has_secrets
    }
}

/// Holds what a run left.
pub(super) fn hold_run(shared: &Shared, run: &RunId, container: HeldRun) {
    lock(&shared.held.runs).insert(run.clone(), Arc::new(container));
}

/// What a run of this session left.
pub(super) fn run(shared: &Shared, run: &RunId) -> Option<Arc<HeldRun>> {
    lock(&shared.held.runs).get(run).cloned()
}

/// There is an image of it.
pub(super) fn release_run(shared: &Shared, run: &RunId) {
    lock(&shared.held.runs).remove(run);
}

/// What a run of another session left, if that session still lives.
pub(super) async fn run_elsewhere(shared: &Shared, run: &RunId) -> Result<Option<HeldRun>> {
    let labels = [(labels::RUN, run.as_str()), (labels::KIND, labels::KIND_STEP)];
    let labels = labels.map(|(label, value)| format!("{label}={value}"));
    let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    let found = within(BRIEF, shared.client.list_containers(Some(options)))
        .await
        .map_err(failure::during("find what a step left"))?;
    let Some(id) = found.into_iter().find_map(|container| container.id) else { return Ok(None) };
    match within(BRIEF, shared.client.inspect_container(&id, None)).await {
        Ok(found) => {
            let env = found.config.and_then(|config| config.env).unwrap_or_default();
            let name = "a step of another session".to_owned();
            let variables = variables(&env);
            // It is not known whether it was given secrets: it is treated as if it was.
            Ok(Some(HeldRun { container: Which::Elsewhere(id), variables, name, has_secrets: true }))
        }
        Err(error) if failure::is_absent(&error) => Ok(None),
        Err(error) => Err(failure::during("find what a step left")(error)),
    }
}

/// The names of variables.
pub(super) fn variables(env: &[String]) -> Vec<String> {
    let name = |text: &String| text.split('=').next().unwrap_or_default().to_owned();
    env.iter().map(name).collect()
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
