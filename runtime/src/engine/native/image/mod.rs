//! Images: from files of this machine, from a Docker engine that answers, from the store, and from registries. Whatever
//! its source, an image is taken once, layer by layer.

mod blobs;
#[cfg(feature = "registry")]
mod push;
#[cfg(feature = "registry")]
mod registry;

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

pub(super) use self::blobs::{Packing, pack, write};
use super::store::{StoredImage, StoredReference, snapshot_of};
use super::wire::{Answer, Files, Request};
use super::{Shared, failed};
use crate::engine::oci::Configuration;
use crate::engine::oci::archive::{self, Archived, Layer};
use crate::engine::registry::{self as registries, Endpoint, Route};
use crate::engine::source::FoundImage;
use crate::engine::{Image, ImageSpec, Progress};
use crate::event::{EventKind, Verb};
use crate::model::{ContentDigest, ImageFile, ImageFileKind, ImageName};
use crate::{Error, Result, regular};

/// How many layers are fetched and unpacked at once, as in Docker.
pub(super) const AT_ONCE: usize = 3;

/// Finds an image, fetching what the store does not have: from the files that its reference names; else from a Docker
/// engine that has it. If no engine has it, the reference means what it last meant, and an image that was never there is
/// pulled.
pub(super) async fn resolve(shared: &Shared, name: &ImageName, progress: &Progress) -> Result<Image> {
    if let Some(file) = name.file() {
        let found = archive::find(name, &file, &shared.platform)?;
        return Ok(image_of(&take(shared, &format!("read {name}"), &found, progress).await?));
    }
    let why_not = match from_source(shared, name, progress).await {
        Ok(image) => return Ok(image),
        Err(error) if is_absence(&error) => error,
        Err(other) => return Err(other),
    };
    if let Some(image) = remembered(shared, name) {
        return Ok(image);
    }
    pull(shared, name, progress, why_not).await
}

/// Whether the error says that an engine does not have the image, or that there is no engine.
fn is_absence(error: &Error) -> bool {
    matches!(
        error,
        Error::EngineUnreachable { .. } | Error::ImageNotFound { .. } | Error::PlatformNotFound { .. }
    )
}

/// The registry of a reference, and the rest.
fn parts(name: &ImageName) -> (&str, &str) {
    name.reference.split_once('/').unwrap_or(("docker.io", &name.reference))
}

/// Takes an image from the first source that has it.
async fn pull(shared: &Shared, name: &ImageName, progress: &Progress, why_not: Error) -> Result<Image> {
    let (registry, rest) = parts(name);
    let mut missing: Option<Error> = None;
    let mut routes = registries::find(registry)?.into_iter().peekable();
    while let Some(route) = routes.next() {
        let (place, found) = match &route {
            Route::Directory(place) => {
                (place.display().to_string(), from_directory(shared, name, place, rest, progress).await)
            }
            Route::Endpoint(endpoint) => {
                (endpoint.name.clone(), from_registry(shared, name, endpoint, rest, progress).await)
            }
        };
        match found {
            Ok(image) => return Ok(image),
            Err(error) => {
                if routes.peek().is_some() {
                    progress(EventKind::warning(format!("{place} does not have {name}: {error}")));
                }
                missing = Some(match missing {
                    Some(missing) => joined(missing, error),
                    None => error,
                });
            }
        }
    }
    Err(match missing {
        Some(missing) => joined(why_not, missing),
        None => why_not,
    })
}

/// The error if no source has it: the last error says most, but one about the platform says more. It also says that a
/// Docker engine was looked for, as the user may only have forgotten to start it.
fn joined(earlier: Error, last: Error) -> Error {
    match (earlier, last) {
        (Error::PlatformNotFound { reference, platform, found, locations, .. }, last) => {
            Error::PlatformNotFound { reference, platform, found, message: last.to_string(), locations }
        }
        (earlier @ Error::EngineUnreachable { .. }, last) => with(last, &earlier),
        (_, last) => last,
    }
}

/// An error that mentions what else was tried.
fn with(error: Error, earlier: &Error) -> Error {
    let longer = |message: String| format!("{message}\n\n{earlier}");
    match error {
        Error::ImageNotFound { reference, message, locations } => {
            Error::ImageNotFound { reference, message: longer(message), locations }
        }
        Error::Unauthorized { doing, reference, message, locations } => {
            Error::Unauthorized { doing, reference, message: longer(message), locations }
        }
        Error::PlatformNotFound { reference, platform, found, message, locations } => {
            Error::PlatformNotFound { reference, platform, found, message: longer(message), locations }
        }
        Error::Engine { what, message, locations, source } => {
            Error::Engine { what, message: longer(message), locations, source }
        }
        other => other,
    }
}

/// Takes an image from a directory that stands for a registry.
async fn from_directory(
    shared: &Shared,
    name: &ImageName,
    place: &Path,
    rest: &str,
    progress: &Progress,
) -> Result<Image> {
    let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
    let path = place.join(repository).join(tag);
    let archive = path.with_file_name(format!("{tag}.tar"));
    let path = if archive.exists() { archive } else { path };
    let missing = |message: String| Error::ImageNotFound {
        reference: name.reference.to_string(),
        message,
        locations: Vec::new(),
    };
    if repository.contains('@') || !path.exists() {
        return Err(missing(format!("there is no {}", path.display())));
    }
    let text = path.to_str().ok_or_else(|| missing(format!("{} is no UTF-8", path.display())))?;
    let file = ImageFile { kind: ImageFileKind::DockerArchive, path: text, name: None };
    let found = archive::find(name, &file, &shared.platform)?;
    let what = format!("read {name} from {text}");
    let stored = take(shared, &what, &found, progress).await?;
    remember(shared, name, &stored, None)
}

#[cfg(feature = "registry")]
async fn from_registry(
    shared: &Shared,
    name: &ImageName,
    endpoint: &Endpoint,
    rest: &str,
    progress: &Progress,
) -> Result<Image> {
    registry::pull(shared, name, endpoint, rest, progress).await
}

#[cfg(not(feature = "registry"))]
#[expect(clippy::unused_async, reason = "with the feature it waits")]
async fn from_registry(_: &Shared, name: &ImageName, _: &Endpoint, _: &str, _: &Progress) -> Result<Image> {
    let message = "the native engine does not have it, and bowline was built without the feature `registry`, which pulls images\n\nhelp: add `features = [\"registry\"]`, or name a directory of archives in `BOWLINE_REGISTRIES`";
    Err(Error::ImageNotFound {
        reference: name.reference.to_string(),
        message: message.to_owned(),
        locations: Vec::new(),
    })
}

#[cfg(feature = "registry")]
pub(super) async fn publish(
    shared: &Shared,
    image: &ImageSpec,
    name: &ImageName,
    progress: &Progress,
) -> Result<String> {
    push::push(shared, image, name, progress).await
}

#[cfg(not(feature = "registry"))]
#[expect(clippy::unused_async, reason = "with the feature it waits")]
pub(super) async fn publish(_: &Shared, _: &ImageSpec, name: &ImageName, _: &Progress) -> Result<String> {
    let message = "bowline was built without the feature `registry`, which speaks to registries\n\nhelp: add it, or push with the Docker engine";
    Err(Error::engine(format!("push `{name}`"), message))
}

fn remembered(shared: &Shared, name: &ImageName) -> Option<Image> {
    let found = shared.store.reference(name)?;
    Some(Image { digest: found.digest, ..image_of(&shared.store.image(&found.id)?) })
}

fn image_of(stored: &StoredImage) -> Image {
    Image {
        id: stored.identity,
        snapshot: snapshot_of(&stored.layers),
        config: stored.config.clone(),
        platform: stored.platform.clone(),
        layers: stored.unpacked.clone(),
        digest: None,
    }
}

/// Takes an image from the engine's image source, such as a Docker engine.
async fn from_source(shared: &Shared, name: &ImageName, progress: &Progress) -> Result<Image> {
    let Some(source) = &shared.images else {
        let message = "the native engine does not have it".to_owned();
        return Err(Error::ImageNotFound {
            reference: name.reference.to_string(),
            message,
            locations: Vec::new(),
        });
    };
    let found = source.find(name).await?;
    let digest = found.digest;
    let stored = match shared.store.image(&found.id) {
        Some(stored) => stored,
        None => export(shared, name, found, progress).await?,
    };
    // For a tag, the engine's answer is all that can be known. For a digest, the registry knows better, and nobody can
    // check whether the engine is right.
    if name.reference.contains('@') {
        return Ok(image_of(&stored));
    }
    remember(shared, name, &stored, digest)
}

/// Takes an image out of a Docker engine, if it has the id that the engine gives it.
async fn export(
    shared: &Shared,
    name: &ImageName,
    found: FoundImage,
    progress: &Progress,
) -> Result<StoredImage> {
    let FoundImage { id, archive: mut pieces, .. } = found;
    shared.ready().await?;
    let what = format!("take {name} from the Docker engine");
    progress(EventKind::begins(Verb::Unpacking));
    let scratch = shared.store.scratch().map_err(failed(&what))?;
    let path = scratch.file("archive.tar");
    let mut file = File::create(&path).map_err(failed(&what))?;
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece?).map_err(failed(&what))?;
    }
    let (asked, own) = (name.platform.clone(), shared.platform.clone());
    let listed =
        tokio::task::spawn_blocking(move || archive::called(&path, &id, asked.as_deref(), &own)).await;
    let archived = listed.unwrap_or_else(|error| Err(error.to_string()));
    let archived = archived.map_err(|error| Error::engine(&what, error))?;
    let stored = keep(shared, &what, &archived).await?;
    if stored.id != id {
        shared.store.keep_image_as(&id, &stored).map_err(failed(what))?;
    }
    Ok(stored)
}

/// Puts an image from files into the store.
async fn take(shared: &Shared, what: &str, found: &Archived, progress: &Progress) -> Result<StoredImage> {
    if let Some(stored) = shared.store.image(&found.id) {
        return Ok(stored);
    }
    shared.ready().await?;
    progress(EventKind::begins(Verb::Unpacking));
    keep(shared, what, found).await
}

async fn keep(shared: &Shared, what: &str, found: &Archived) -> Result<StoredImage> {
    let layers = unpack_all(shared, &found.layers).await.map_err(failed(what))?;
    let platform = found.platform.or(&shared.platform);
    let unpacked: Vec<_> = found.layers.iter().map(|layer| layer.digest).collect();
    let identity = Configuration::identity(&platform, &found.config, unpacked.clone())?;
    let config = found.config.clone();
    let stored = StoredImage { id: found.id, identity, layers, unpacked, config, platform };
    shared.store.keep_image(&stored).map_err(failed(what))?;
    Ok(stored)
}

fn remember(
    shared: &Shared,
    name: &ImageName,
    stored: &StoredImage,
    digest: Option<ContentDigest>,
) -> Result<Image> {
    let reference = StoredReference { id: stored.id, digest };
    shared.store.keep_reference(name, &reference).map_err(failed(format!("remember {name}")))?;
    Ok(Image { digest, ..image_of(stored) })
}

/// The names of layers from files, the lowest first.
async fn unpack_all(shared: &Shared, layers: &[Layer]) -> io::Result<Vec<String>> {
    let unpacked: Vec<_> = layers.iter().map(|layer| unpack_layer(shared, layer).boxed()).collect();
    stream::iter(unpacked).buffered(AT_ONCE).try_collect().await
}

async fn unpack_layer(shared: &Shared, layer: &Layer) -> io::Result<String> {
    let (name, is_there) = shared.store.layer(layer.digest.hash());
    if !is_there {
        let mut file = regular::open(&layer.path)?;
        file.seek(SeekFrom::Start(layer.offset))?;
        unpack(shared, &file, layer.size, &layer.digest).await?;
    }
    Ok(name)
}

/// Unpacks this many bytes of a file, from its current position.
pub(super) async fn unpack(
    shared: &Shared,
    file: &File,
    size: u64,
    digest: &ContentDigest,
) -> io::Result<()> {
    let scratch = shared.store.scratch()?;
    let into = scratch.changes.upper.clone();
    let request = Request::Files(Files::Unpack { into, size, digest: Some(digest.hash().to_string()) });
    let answer = shared.shim.ask_once(&request, &[file.as_fd()]).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other(format!(
            "unpacking the layer {digest} ended without a word: it takes more than 256 MB of memory, or something killed it"
        )),
        _ => error,
    });
    match answer? {
        Answer::Done => shared.store.keep(&scratch, digest.hash()).map(drop),
        Answer::Failed(text) => Err(io::Error::other(text)),
        other => Err(super::client::unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_not_there_is_said_whatever_a_registry_answers() {
        let text = || "r/a:1".to_owned();
        let answers = [
            Error::ImageNotFound {
                reference: text(),
                message: "manifest unknown".to_owned(),
                locations: Vec::new(),
            },
            Error::Unauthorized {
                doing: "pull",
                reference: text(),
                message: "denied".to_owned(),
                locations: Vec::new(),
            },
            Error::engine("pull `r/a:1`", "connection refused"),
        ];
        for answer in answers {
            let said = answer.to_string();
            let first = said.lines().next().unwrap();
            let down = Error::EngineUnreachable {
                tried: vec!["/run/docker.sock: nothing listens there".to_owned()],
            };
            let error = joined(down, answer).to_string();
            assert!(error.contains(first) && error.contains("nothing listens there"), "{error}");
        }
        let absent = Error::ImageNotFound {
            reference: text(),
            message: "not in Docker".to_owned(),
            locations: Vec::new(),
        };
        let error = joined(absent, Error::engine("pull `r/a:1`", "connection refused")).to_string();
        assert!(!error.contains("not in Docker"), "the last says most: {error}");
    }
}
