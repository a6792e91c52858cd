//! Room on the engine's disk: of what pipelines made and nobody uses, by its names and labels, and nothing else.
//!
//! Everything is asked of the engine's interface, as its disk may be another machine's. Containers are not removed here: those
//! of living sessions are in use, and those of dead ones are [swept](super::sweep).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bollard::query_parameters::{
    ListContainersOptions, ListImagesOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;

use super::facts::{Facts, inspect};
use super::failure::{self, BRIEF, LONG, within};
use super::{Shared, labels, living, names, records};
use crate::engine::storage::{Planner, Prune, Stored, StoredKind, Tallies};
use crate::model::{CacheKey, ContentDigest, Digest};
use crate::{Error, Result};

/// How often an engine that is busy with another's question is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

const INSTANT: Duration = Duration::from_millis(1);

/// How many images are looked at at once.
const AT_ONCE: usize = 8;

/// Something that is kept.
enum Kept {
    /// A result: its images, that of its files first, and its record on this machine.
    Result { images: Vec<String>, record: Option<PathBuf> },
    /// An image under a name of ours.
    Image(String),
    /// A cache's volume.
    Volume(String),
}

/// An image as far as it matters here.
struct Image {
    id: String,
    names: Vec<String>,
    /// Not told of those whose configuration does not say.
    made: Option<SystemTime>,
    layers: Vec<ContentDigest>,
    /// With all its layers.
    size: u64,
}

pub(super) async fn prune(shared: &Arc<Shared>, what: &Prune) -> Result<Tallies> {
    let directory = shared.records_at();
    // Before anything is looked at: who begins from here on marks what it takes.
    let in_use_since =
        directory.map_or_else(SystemTime::now, |directory| living::in_use_since(directory, &shared.session));
    let used_by_containers = images_of_containers(shared).await?;
    let images = images(shared).await?;
    let sizes = Sizes::new(&images);
    let looking = Looking { sizes: &sizes, used_by_containers: &used_by_containers, directory, in_use_since };
    let mut all = results(&images, &looking);
    if what.takes(StoredKind::Cache) {
        all.extend(volumes(shared, directory, in_use_since).await?);
    }
    let mut planner = Planner::new(what, in_use_since, &mut all, |part| sizes.of_part(part));
    for stored in &all {
        if planner.wants(stored)
            && (what.is_dry() || remove(shared, directory, &stored.what, in_use_since).await?)
        {
            for part in planner.gone(stored) {
                planner.freed(&part);
            }
        }
    }
    Ok(planner.done())
}

/// The ids of the images that containers are made of, running or not.
async fn images_of_containers(shared: &Shared) -> Result<HashSet<String>> {
    let options = ListContainersOptions { all: true, ..Default::default() };
    let containers = within(BRIEF, shared.client.list_containers(Some(options)))
        .await
        .map_err(failure::during("look for what containers use"))?;
    Ok(containers.into_iter().filter_map(|container| container.image_id).collect())
}

/// All images that have a name.
async fn images(shared: &Shared) -> Result<Vec<Image>> {
    let options = ListImagesOptionsBuilder::default().all(false).build();
    let listed = within(LONG, shared.client.list_images(Some(options)))
        .await
        .map_err(failure::during("list images"))?;
    let look =
        |made: i64, id: String| async move { inspect(&shared.client, &id).await.map(|image| (made, image)) };
    let looks = listed.into_iter().map(|image| look(image.created, image.id));
    let found: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    // One may be removed meanwhile.
    let found = found.into_iter().filter_map(|(made, image)| Some((made, image?)));
    found
        .map(|(made, image)| {
            let Facts { id, layers, .. } = Facts::of(&image)?;
            let size = image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            let names = image.repo_tags.unwrap_or_default();
            Ok(Image { id, names, made: seconds(made), layers, size })
        })
        .collect()
}

/// A time in seconds since 1970; `None` for the zero of Go's times, and all others before.
fn seconds(time: i64) -> Option<SystemTime> {
    let time = u64::try_from(time).ok().filter(|time| *time > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time))
}

/// What images have beyond those that they are built on: the engine tells the sizes of images, and not those of layers.
struct Sizes<'a> {
    /// The images by their layers; of those with the same one.
    by_layers: HashMap<&'a [ContentDigest], &'a Image>,
}

impl<'a> Sizes<'a> {
    fn new(images: &'a [Image]) -> Self {
        let (ours, others): (Vec<_>, Vec<_>) = images
            .iter()
            .filter(|image| !image.layers.is_empty())
            .partition(|image| image.names.iter().all(|name| is_kept(name)));
        // What somebody else has too is not freed: theirs come last, and stay.
        let all = ours.into_iter().chain(others);
        Self { by_layers: all.map(|image| (image.layers.as_slice(), image)).collect() }
    }

    /// The images that an image is built on and itself, the lowest first.
    fn chain(&self, image: &Image) -> Vec<&'a Image> {
        let prefixes = (1..=image.layers.len()).filter_map(|length| image.layers.get(..length));
        prefixes.filter_map(|layers| self.by_layers.get(layers).copied()).collect()
    }

    /// The parts of an image: those of pipelines' images that it is built on, and its own, by the images' ids.
    fn parts(&self, image: &Image) -> Vec<String> {
        let ours = self.chain(image).into_iter().filter(|image| image.names.iter().all(|name| is_kept(name)));
        ours.map(|image| image.id.clone()).collect()
    }

    fn of_part(&self, id: &str) -> u64 {
        let Some(image) = self.by_layers.values().find(|image| image.id == id) else { return 0 };
        let chain = self.chain(image);
        let below = chain.len().checked_sub(2).and_then(|below| chain.get(below));
        image.size.saturating_sub(below.map_or(0, |below| below.size))
    }
}

/// Whether an image's name is one that pipelines give to what is kept.
fn is_kept(name: &str) -> bool {
    result_of(name).is_some() || names::is_added(name)
}

/// The key of the result that an image of this name belongs to.
fn result_of(name: &str) -> Option<Digest> {
    names::key_of(name)?.parse().ok()
}

/// A result, or an image under a name of ours, while it is put together.
#[derive(Default)]
struct Found {
    images: Vec<String>,
    record: Option<PathBuf>,
    /// The last use that was noted here.
    noted: Option<SystemTime>,
    /// When its last image was made.
    made: Option<SystemTime>,
    /// Whether a container has one of its images.
    is_in_container: bool,
    own: u64,
    parts: Vec<String>,
}

impl Found {
    fn add(&mut self, image: &Image, name: &str, at: &Looking<'_>) {
        self.images.push(name.to_owned());
        self.parts.extend(at.sizes.parts(image));
        self.noted = self.noted.max(at.directory.and_then(|directory| living::used(directory, name)));
        self.made = self.made.max(image.made);
        self.is_in_container |= at.used_by_containers.contains(&image.id);
    }

    fn used(&self, in_use_since: SystemTime) -> SystemTime {
        used(self.is_in_container, self.noted.or(self.made), in_use_since)
    }
}

/// When something was used last, by whether it is in use and by what is known. What nobody knows anything of goes last.
fn used(is_in_use: bool, known: Option<SystemTime>, in_use_since: SystemTime) -> SystemTime {
    if is_in_use { in_use_since + BRIEF } else { known.unwrap_or(in_use_since - INSTANT) }
}

/// What is known before results are put together.
struct Looking<'a> {
    sizes: &'a Sizes<'a>,
    used_by_containers: &'a HashSet<String>,
    directory: Option<&'a Path>,
    in_use_since: SystemTime,
}

/// Results, and images under names of ours.
fn results(images: &[Image], at: &Looking<'_>) -> Vec<Stored<Kept>> {
    let mut all = Vec::new();
    let mut by_key: HashMap<Digest, Found> = HashMap::new();
    for (image, name) in images.iter().flat_map(|image| image.names.iter().map(move |name| (image, name))) {
        if let Some(key) = result_of(name) {
            by_key.entry(key).or_default().add(image, name, at);
        } else if names::is_added(name) {
            let mut found = Found::default();
            found.add(image, name, at);
            let (used, what) = (found.used(at.in_use_since), Kept::Image(name.clone()));
            all.push(Stored {
                what,
                kind: StoredKind::Image,
                used,
                is_left_over: false,
                own: 0,
                parts: found.parts,
            });
        }
    }
    for (key, path, metadata) in at.directory.map(records::all).unwrap_or_default() {
        let found = by_key.entry(key).or_default();
        found.noted = found.noted.max(metadata.modified().ok());
        found.own += metadata.len();
        found.record = Some(path);
    }
    all.extend(by_key.into_values().map(|found| Stored {
        used: found.used(at.in_use_since),
        kind: StoredKind::Result,
        is_left_over: false,
        own: found.own,
        parts: found.parts,
        what: Kept::Result { images: found.images, record: found.record },
    }));
    all
}

/// The engine's answer of what its disk has, in the format of API versions before 1.52, which newer engines still speak.
/// bollard reads the new one only.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DiskUsage {
    #[serde(default)]
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
    #[serde(default)]
    usage_data: Option<VolumeUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    /// -1 where it is not known.
    size: i64,
    /// How many containers have it.
    ref_count: i64,
}

/// The volumes of caches.
async fn volumes(
    shared: &Shared,
    directory: Option<&Path>,
    in_use_since: SystemTime,
) -> Result<Vec<Stored<Kept>>> {
    // It walks the volumes' files.
    let text = tokio::time::timeout(LONG, disk_usage(shared)).await;
    let text = text.map_err(|_| Error::engine(SIZES, "no answer in time"))?;
    let text = text.map_err(|error| Error::engine(SIZES, error))?;
    let usage: DiskUsage = serde_json::from_slice(&text).map_err(|error| Error::engine(SIZES, error))?;
    let volumes = usage.volumes.unwrap_or_default();
    let label = |volume: &Volume, label: &str| volume.labels.as_ref()?.get(label).cloned();
    let held: HashSet<String> = volumes.iter().filter_map(|volume| label(volume, labels::HOLDS)).collect();
    let ours = volumes.iter().filter_map(|volume| {
        let key = CacheKey::from(label(volume, labels::CACHE)?);
        // Of whatever has the label, it is the one that pipelines find under this key.
        (names::cache_volume(&key) == volume.name).then_some(volume)
    });
    let stored = ours.map(|volume| {
        let (size, users) = volume.usage_data.as_ref().map_or((0, 0), |usage| (usage.size, usage.ref_count));
        let made = label(volume, labels::CREATED).and_then(|made| seconds(made.parse().ok()?));
        let noted = directory.and_then(|directory| living::used(directory, &volume.name));
        let is_in_use = users > 0 || held.contains(&volume.name);
        let used = used(is_in_use, noted.or(made), in_use_since);
        let (what, own) = (Kept::Volume(volume.name.clone()), u64::try_from(size).unwrap_or(0));
        Stored { what, kind: StoredKind::Cache, used, is_left_over: false, own, parts: Vec::new() }
    });
    Ok(stored.collect())
}

/// What is being done, for errors.
const SIZES: &str = "ask the engine what its volumes have";

/// Asks until it is this one's turn: older engines answer one at a time, and refuse others.
async fn disk_usage(shared: &Shared) -> io::Result<Vec<u8>> {
    loop {
        match shared.connection.disk_usage("volume").await {
            Err(error) if error.to_string().contains("already running") => {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            answer => return answer,
        }
    }
}

/// Removes something, unless it is in use after all; returns whether it is gone.
async fn remove(
    shared: &Shared,
    directory: Option<&Path>,
    what: &Kept,
    in_use_since: SystemTime,
) -> Result<bool> {
    let is_marked = |name: &str| {
        let used = directory.and_then(|directory| living::used(directory, name));
        used.is_some_and(|used| used >= in_use_since)
    };
    match what {
        Kept::Result { images, record } => {
            if images.iter().any(|name| is_marked(name)) {
                return Ok(false);
            }
            // First, so that nobody finds it any more.
            if let Some(record) = record
                && !take_record(record, in_use_since).map_err(|error| Error::io(record, error))?
            {
                return Ok(false);
            }
            let mut is_gone = true;
            for name in images {
                is_gone &= remove_image(shared, directory, name).await?;
            }
            Ok(is_gone)
        }
        Kept::Image(name) if is_marked(name) => Ok(false),
        Kept::Image(name) => remove_image(shared, directory, name).await,
        Kept::Volume(name) if is_marked(name) => Ok(false),
        Kept::Volume(name) => {
            let removed = shared.client.remove_volume(name, None::<RemoveVolumeOptions>);
            is_gone(within(BRIEF, removed).await.map(drop), directory, name)
        }
    }
}

/// Removes a record; returns whether it is gone, which it is not if somebody has used it meanwhile.
fn take_record(record: &Path, in_use_since: SystemTime) -> io::Result<bool> {
    let aside = record.with_extension("going");
    match fs::rename(record, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        moved => moved?,
    }
    // Whoever uses a record marks it, also one that it had opened before.
    if fs::metadata(&aside)?.modified()? < in_use_since {
        fs::remove_file(aside)?;
        return Ok(true);
    }
    // If there is another by now, it is as good.
    let _ = fs::hard_link(&aside, record);
    fs::remove_file(aside)?;
    Ok(false)
}

/// Removes a name of an image, and the image with its last name.
async fn remove_image(shared: &Shared, directory: Option<&Path>, name: &str) -> Result<bool> {
    let removed = shared.client.remove_image(name, None::<RemoveImageOptions>, None);
    is_gone(within(LONG, removed).await.map(drop), directory, name)
}

/// Whether something is gone by this answer. What a container has the engine does not remove.
fn is_gone(
    answer: std::result::Result<(), bollard::errors::Error>,
    directory: Option<&Path>,
    name: &str,
) -> Result<bool> {
    match answer {
        Err(error) if failure::is_conflict(&error) => return Ok(false),
        Err(error) if !failure::is_absent(&error) => {
            return Err(failure::during(format!("remove `{name}`"))(error));
        }
        _ => {}
    }
    if let Some(directory) = directory {
        living::forget(directory, name);
    }
    Ok(true)
}
