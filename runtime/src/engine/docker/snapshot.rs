//! Snapshots by the engine's names for them: the images to make containers from, and to read files through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::Shared;
use super::commit::commit_held;
use super::facts::{Facts, facts};
use super::flatten::{flatten, strip_volumes};
use super::held::{self, Mounts, held_container};
use super::readers::Files;
use crate::lock::lock;
use crate::model::Snapshot;
use crate::{Error, Result};

/// Docker's layer store refuses the 126th layer in a stack (moby, `layer.maxLayerDepth`). A step that starts from this
/// many first has them flattened into one.
pub(super) const LAYERS_AT_MOST: usize = 120;

/// Images that containers are made from if a snapshot's own will not do, by its id; each made once.
pub(super) struct Bases {
    /// How many layers an image may have before it is flattened.
    layers_at_most: usize,
    /// Images with the same contents and without volumes.
    plain: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
    /// Images with the same contents and few layers.
    flattened: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
}

impl Bases {
    pub(super) fn new(layers_at_most: usize) -> Self {
        Self { layers_at_most, plain: Mutex::default(), flattened: Mutex::default() }
    }
}

/// The image through which to read a held container's files, if they cannot be read in the container itself.
async fn readable(shared: &Arc<Shared>, container: &str) -> Result<Option<String>> {
    let mounts = held::mounts(shared, container);
    match mounts {
        Some(Mounts::Some) => image_of_held(shared, container).await.map(Some),
        _ => Ok(None),
    }
}

/// An image with the same contents and no volumes; made when it is first needed, which for a cached result it is not.
async fn without_volumes(shared: &Arc<Shared>, image: &str) -> Result<Arc<Facts>> {
    let known = facts(shared, image).await?;
    if !known.has_volumes {
        return Ok(known);
    }
    let cell = Arc::clone(lock(&shared.bases.plain).entry(known.id.clone()).or_default());
    let plain = cell.get_or_try_init(|| strip_volumes(shared, &known)).await?;
    facts(shared, plain).await
}

/// The image to make a container from: it has the snapshot's contents, and room for another layer.
pub(super) async fn base_image(shared: &Arc<Shared>, snapshot: &Snapshot) -> Result<Arc<Facts>> {
    let known = without_volumes(shared, &image(shared, snapshot).await?).await?;
    if known.layers.len() < shared.bases.layers_at_most {
        return Ok(known);
    }
    let cell = Arc::clone(lock(&shared.bases.flattened).entry(known.id.clone()).or_default());
    let flat = cell.get_or_try_init(|| flatten(shared, &known)).await?;
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
    let cell = held::image_of(shared, container);
    let cell = cell.ok_or_else(|| Error::engine("find a held file system", "the session has closed"))?;
    let commit = || async {
        let reading = held::reading(shared, container);
        // The engine answers nothing about a container while it is being read from.
        let _unread = reading.read().await;
        commit_held(shared, container).await
    };
    cell.get_or_try_init(commit).await.cloned()
}

/// Where to read a snapshot's files.
pub(super) async fn files(shared: &Arc<Shared>, snapshot: &Snapshot) -> Result<Files> {
    let id = match held_container(snapshot) {
        None => without_volumes(shared, &snapshot.0).await?.id.clone(),
        Some(container) => match readable(shared, container).await? {
            None => return Ok(Files::held(container.to_owned(), held::reading(shared, container))),
            Some(image) => image,
        },
    };
    Ok(Files::of_image(shared, id))
}
