//! Images made of what the engine is sent: a configuration over layers that it has, whole images, a layer.

use std::sync::Arc;

use bollard::query_parameters::{CreateImageOptions, ImportImageOptionsBuilder};
use futures_util::{Stream, TryStreamExt as _, stream};
use serde_json::json;

use super::Shared;
use super::entries::archive;
use super::facts::Facts;
use super::failure::{self, BRIEF, LONG, within};
use crate::{Error, Result};

/// An image with these layers and a configuration, under a name.
pub(super) async fn relabel(
    shared: &Arc<Shared>,
    image: &Facts,
    name: &str,
    config: &serde_json::Value,
) -> Result<String> {
    let config = json!({
        "architecture": image.architecture,
        "os": image.os,
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": image.layers },
        "history": [],
    });
    load_config(shared, image.layers.len(), name, &config.to_string().into_bytes()).await
}

/// An image of layers that the engine has, by the text of its configuration, under a name.
///
/// `POST /images/load` reads an archive of a configuration and layers, and skips layers that the engine has already
/// (moby, `image/tarexport/load.go`): so the archive needs no layers at all. 36 ms whatever the image's size.
pub(super) async fn load_config(
    shared: &Arc<Shared>,
    layers: usize,
    name: &str,
    config: &[u8],
) -> Result<String> {
    let layers: Vec<String> = (0..layers).map(|index| format!("{index}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": layers }]);
    let archive = archive(&[("config.json", config), ("manifest.json", manifest.to_string().as_bytes())])
        .map_err(|error| Error::engine("write an archive", error))?;

    load(shared, name, stream::iter([Ok(archive)])).await
}

/// An image with one more layer on top, without a configuration.
pub(super) async fn with_layer(
    shared: &Arc<Shared>,
    image: &Facts,
    name: &str,
    digest: &str,
    layer: &[u8],
) -> Result<String> {
    let digests: Vec<&str> = image.layers.iter().map(String::as_str).chain([digest]).collect();
    if let Ok(inspected) = within(BRIEF, shared.client.inspect_image(name)).await {
        let found = shared.images.learn(&inspected)?;
        if found.layers.iter().map(String::as_str).eq(digests.iter().copied()) {
            return Ok(found.id.clone());
        }
    }
    let config = json!({
        "architecture": image.architecture,
        "os": image.os,
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": digests },
        "history": [],
    });
    let layers: Vec<String> = (0..digests.len()).map(|index| format!("{index}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": layers }]);
    let top = layers.last().map_or("", String::as_str);
    let files = [
        ("config.json", config.to_string().into_bytes()),
        ("manifest.json", manifest.to_string().into_bytes()),
        (top, layer.to_vec()),
    ];
    let archive = archive(&files.each_ref().map(|(name, contents)| (*name, contents.as_slice())))
        .map_err(|error| Error::engine("write an archive", error))?;
    load(shared, name, stream::iter([Ok(archive)])).await
}

/// Loads an archive that has an image of this name in it.
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

/// As [`import`], with these lines of a Dockerfile on top.
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
