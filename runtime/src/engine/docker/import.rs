//! Images made of data sent to the engine: a configuration over layers that it has, whole images, a layer.

use std::sync::Arc;

use bollard::query_parameters::{CreateImageOptions, ImportImageOptionsBuilder};
use futures_util::{Stream, TryStreamExt as _, stream};

use super::Shared;
use super::entries::archive;
use super::facts::Facts;
use super::failure::{self, BRIEF, LONG, within};
use crate::engine::ImageConfig;
use crate::engine::oci::{Configuration, Saved};
use crate::error::Reason;
use crate::model::ContentDigest;
use crate::{Error, Result};

/// An image with these layers and a configuration, under a name.
pub(super) async fn relabel(
    shared: &Arc<Shared>,
    image: &Facts,
    name: &str,
    config: &ImageConfig,
) -> Result<String> {
    let configuration = Configuration::new(image.platform.clone(), config, image.layers.clone()).document();
    load_config(shared, image.layers.len(), name, &configuration.map_err(unwritten)?).await
}

/// An image of layers that the engine has, by the text of its configuration, under a name.
///
/// `POST /images/load` reads an archive of a configuration and layers, and skips layers that the engine already has
/// (moby, `image/tarexport/load.go`): so the archive needs no layers at all. It takes 36 ms whatever the image's size.
pub(super) async fn load_config(
    shared: &Arc<Shared>,
    layers: usize,
    name: &str,
    config: &[u8],
) -> Result<String> {
    load_with(shared, layers, name, config, None).await
}

/// An image with one more layer on top, without a configuration.
pub(super) async fn with_layer(
    shared: &Arc<Shared>,
    image: &Facts,
    name: &str,
    digest: ContentDigest,
    layer: &[u8],
) -> Result<String> {
    let layers: Vec<ContentDigest> = image.layers.iter().copied().chain([digest]).collect();
    if let Ok(inspected) = within(BRIEF, shared.client.inspect_image(name)).await {
        let found = shared.images.learn(&inspected)?;
        if found.layers == layers {
            return Ok(found.id.clone());
        }
    }
    let count = layers.len();
    let configuration = Configuration::new(image.platform.clone(), &ImageConfig::default(), layers);
    let configuration = configuration.document().map_err(unwritten)?;
    load_with(shared, count, name, &configuration, Some(layer)).await
}

/// Loads an image of this many layers, all of which the engine has, except the topmost if that is given.
async fn load_with(
    shared: &Arc<Shared>,
    layers: usize,
    name: &str,
    config: &[u8],
    top: Option<&[u8]>,
) -> Result<String> {
    const CONFIG: &str = "config.json";
    let layers = Saved::layer_names(layers);
    let topmost = layers.last().cloned().unwrap_or_default();
    let saved = Saved::named(name, CONFIG, layers).document().map_err(unwritten)?;
    let mut files = vec![(CONFIG, config), ("manifest.json", saved.as_slice())];
    files.extend(top.map(|layer| (topmost.as_str(), layer)));
    let archive = archive(&files).map_err(unwritten)?;
    load(shared, name, stream::iter([Ok(archive)])).await
}

fn unwritten(error: impl Into<Reason>) -> Error {
    Error::engine("write an archive", error)
}

/// Loads an archive that contains an image of this name.
pub(super) async fn load(
    shared: &Arc<Shared>,
    name: &str,
    archive: impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static,
) -> Result<String> {
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let what = format!("make the image {name}");
    let archive = bollard::body_try_stream(archive.map_ok(Into::into));
    let load = shared.client.import_image(options, archive, None);
    within(LONG, load.try_for_each(|_| async { Ok(()) })).await.map_err(failure::during(&*what))?;
    let made = within(BRIEF, shared.client.inspect_image(name)).await.map_err(failure::during(what))?;
    Ok(shared.images.learn(&made)?.id.clone())
}

/// Makes an image of one layer from an archive.
pub(super) async fn import(
    shared: &Arc<Shared>,
    name: &str,
    archive: impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static,
) -> Result<String> {
    import_with(shared, name, Vec::new(), archive).await
}

/// As [`import`], applying these lines of a Dockerfile.
pub(super) async fn import_with(
    shared: &Arc<Shared>,
    name: &str,
    changes: Vec<String>,
    archive: impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static,
) -> Result<String> {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let options = CreateImageOptions {
        changes,
        from_src: Some("-".to_owned()),
        repo: Some(repository.to_owned()),
        tag: Some(tag.to_owned()),
        ..Default::default()
    };
    let what = format!("make the image {name}");
    let body = bollard::body_try_stream(archive.map_ok(Into::into));
    let import = shared.client.create_image(Some(options), Some(body), None);
    within(LONG, import.try_for_each(|_| async { Ok(()) })).await.map_err(failure::during(&*what))?;
    let made = within(BRIEF, shared.client.inspect_image(name)).await.map_err(failure::during(what))?;
    Ok(shared.images.learn(&made)?.id.clone())
}
