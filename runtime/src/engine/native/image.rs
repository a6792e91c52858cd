//! Images, taken from the store of a Docker engine that answers: once each, layer by layer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Component, Path, PathBuf};

use futures_util::StreamExt as _;
use serde::Deserialize;

use super::store::{StoredImage, StoredReference, snapshot_of};
use super::wire::{Answer, Files, Request};
use super::{Shared, failed};
use crate::engine::docker::Source;
use crate::engine::{Image, Progress};
use crate::graph::ImageName;
use crate::{Digest, Error, Result};

/// Finds an image, fetching from the Docker engine what the store has not. Where no engine answers, a reference means
/// what it meant when one last did.
pub(super) async fn resolve(shared: &Shared, name: &ImageName, progress: &Progress) -> Result<Image> {
    let source = match shared.images.get_or_try_init(Source::open).await {
        Ok(source) => source,
        Err(Error::EngineUnreachable { tried }) => return remembered(shared, name, tried),
        Err(other) => return Err(other),
    };
    let found = source.find(name).await?;
    let id = plain_id(&found.id);
    let stored = match shared.store.image(id) {
        Some(stored) => stored,
        None => fetch(shared, source, name, &found.id, id, progress).await?,
    };
    let reference = StoredReference { id: found.id, config: found.config };
    shared.store.keep_reference(name, &reference).map_err(failed(format!("remember {name}")))?;
    Ok(image_of(reference, &stored))
}

fn remembered(shared: &Shared, name: &ImageName, mut tried: Vec<String>) -> Result<Image> {
    let found = shared.store.reference(name);
    let found = found.and_then(|found| Some((shared.store.image(plain_id(&found.id))?, found)));
    if let Some((stored, reference)) = found {
        return Ok(image_of(reference, &stored));
    }
    let store = shared.store.root().display();
    tried.push(format!("native: {name} is not in {store}, and images come out of a Docker engine's store"));
    Err(Error::EngineUnreachable { tried })
}

fn image_of(reference: StoredReference, stored: &StoredImage) -> Image {
    let StoredReference { id, config } = reference;
    Image { id, snapshot: snapshot_of(&stored.layers), config }
}

/// A file name.
fn plain_id(id: &str) -> &str {
    id.trim_start_matches("sha256:")
}

async fn fetch(
    shared: &Shared,
    source: &Source,
    name: &ImageName,
    engine_id: &str,
    id: &str,
    progress: &Progress,
) -> Result<StoredImage> {
    let what = || format!("take {name} from the Docker engine");
    progress(&format!("unpacking {name}"));
    let scratch = shared.store.scratch().map_err(failed(what()))?;
    let path = shared.store.root().join(&scratch.changes.points).join("archive.tar");
    let mut pieces = Box::pin(source.export(engine_id));
    let mut file = File::create(&path).map_err(failed(what()))?;
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece?).map_err(failed(what()))?;
    }
    let listed = tokio::task::spawn_blocking(move || list(&path)).await;
    let layers = listed.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed(what()))?;
    let mut names = Vec::new();
    for layer in layers {
        let (layer_name, is_there) = shared.store.layer(&layer.digest);
        if !is_there {
            unpack(shared, &scratch.changes.points.join("archive.tar"), &layer)
                .await
                .map_err(failed(what()))?;
        }
        names.push(layer_name);
    }
    let image = StoredImage { layers: names };
    shared.store.keep_image(id, &image).map_err(failed(what()))?;
    Ok(image)
}

async fn unpack(shared: &Shared, archive: &Path, layer: &Layer) -> io::Result<()> {
    let scratch = shared.store.scratch()?;
    let mut file = File::open(shared.store.root().join(archive))?;
    file.seek(SeekFrom::Start(layer.offset))?;
    let into = scratch.changes.upper.clone();
    let digest = Some(layer.digest.to_string());
    let request = Request::Files(Files::Unpack { into, size: layer.size, digest });
    match shared.host.ask_once(&request, &[file.as_fd()]).await? {
        Answer::Done => shared.store.keep(&scratch, &layer.digest).map(drop),
        Answer::Failed(text) => Err(io::Error::other(text)),
        other => Err(super::client::unexpected(&other)),
    }
}

/// Where a layer is in an archive.
#[derive(Debug)]
struct Layer {
    /// Of the unpacked archive: what the image's configuration calls `diff_id`.
    digest: Digest,
    offset: u64,
    size: u64,
}

/// `manifest.json` of what `docker save` writes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: String,
    layers: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// The layers of the one image of an archive, the lowest first.
fn list(path: &Path) -> io::Result<Vec<Layer>> {
    let mut places = BTreeMap::new();
    let mut links = BTreeMap::new();
    let mut archive = tar::Archive::new(File::open(path)?);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = plain(&entry.path()?);
        match (entry.header().entry_type(), entry.link_name()?) {
            // Older engines write a layer once, and name it again.
            (tar::EntryType::Symlink, Some(target)) => {
                let parent = name.parent().unwrap_or(Path::new("")).to_owned();
                links.insert(name, plain(&parent.join(target)));
            }
            _ => {
                places.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
    }
    let find = |name: &str| {
        let name = plain(Path::new(name));
        let name = links.get(&name).unwrap_or(&name);
        places.get(name).copied().ok_or_else(|| invalid(format!("{} is missing", name.display())))
    };
    let read = |name: &str| -> io::Result<Vec<u8>> {
        let (offset, size) = find(name)?;
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut contents = Vec::new();
        // No manifest or configuration is as large.
        file.take(size.min(16 << 20)).read_to_end(&mut contents)?;
        Ok(contents)
    };
    let manifests: Vec<Manifest> = serde_json::from_slice(&read("manifest.json")?)?;
    let [manifest] = manifests.as_slice() else { return Err(invalid("not one image")) };
    let config: Config = serde_json::from_slice(&read(&manifest.config)?)?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(invalid("its configuration is of another image"));
    }
    let layer = |(name, digest): (&String, &String)| {
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        let digest = digest.parse().map_err(|error| invalid(format!("{digest}: {error}")))?;
        let (offset, size) = find(name)?;
        Ok(Layer { digest, offset, size })
    };
    manifest.layers.iter().zip(&config.rootfs.diff_ids).map(layer).collect()
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

/// Without `.`, and with `..` taken for what it means.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(part) => plain.push(part),
            _ => {}
        }
    }
    plain
}
