//! Images made of other images: the same layers under another configuration, and many layers made one.

use std::sync::Arc;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateImageOptions, ImportImageOptionsBuilder};
use futures_util::{Stream, TryStreamExt as _};
use serde_json::json;

use super::cleaner::Container;
use super::failure::{self, BRIEF, LONG, within};
use super::snapshot::Facts;
use super::{Shared, labels};
use crate::{Error, Result};

/// An image with these layers and nothing else: no volumes, no variables, no command.
///
/// `VOLUME` cannot be taken back by any other means, and what a step writes into a volume is not in its snapshot. The
/// result is kept in the engine under a name of its own, so this is paid for once per image.
pub(super) async fn plain(shared: &Arc<Shared>, image: &Facts) -> Result<String> {
    let name = format!("bowline/base:{}", short(&image.id));
    if let Ok(inspected) = within(BRIEF, shared.client.inspect_image(&name)).await {
        return Ok(shared.snapshots.learn(&inspected)?.id.clone());
    }
    match relabel(shared, image, &name, &json!({})).await {
        Ok(id) => Ok(id),
        // Engines whose image store is another than moby's classic one want the layers' contents too.
        Err(_) => copy(shared, image, &name).await,
    }
}

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
    dress(shared, image.layers.len(), name, &config.to_string().into_bytes()).await
}

/// An image of layers that the engine has, by the text of its configuration, under a name.
///
/// `POST /images/load` reads an archive of a configuration and layers, and skips layers that the engine has already
/// (moby, `image/tarexport/load.go`): so the archive needs no layers at all. 36 ms whatever the image's size.
pub(super) async fn dress(shared: &Arc<Shared>, layers: usize, name: &str, config: &[u8]) -> Result<String> {
    let layers: Vec<String> = (0..layers).map(|index| format!("{index}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": layers }]);
    let archive = archive(&[("config.json", config), ("manifest.json", manifest.to_string().as_bytes())])
        .map_err(|error| Error::engine("write an archive", error))?;

    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let what = format!("make the image {name}");
    let load = shared.client.import_image(options, bollard::body_full(archive.into()), None);
    within(LONG, load.try_for_each(|_| async { Ok(()) })).await.map_err(failure::during(&*what))?;
    let made = within(BRIEF, shared.client.inspect_image(name)).await.map_err(failure::during(what))?;
    let made = shared.snapshots.learn(&made)?;
    Ok(made.id.clone())
}

/// An image of one layer with the same contents.
pub(super) async fn flatten(shared: &Arc<Shared>, image: &Facts) -> Result<String> {
    let name = format!("bowline/flat:{}", short(&image.id));
    if let Ok(inspected) = within(BRIEF, shared.client.inspect_image(&name)).await {
        return Ok(shared.snapshots.learn(&inspected)?.id.clone());
    }
    copy(shared, image, &name).await
}

/// Copies an image's contents into a new image, streaming.
async fn copy(shared: &Arc<Shared>, image: &Facts, name: &str) -> Result<String> {
    let container = idle_container(shared, &image.id).await?;
    let contents = shared.client.export_container(container.name());
    let contents = contents.map_ok(|piece| piece.to_vec()).map_err(std::io::Error::other);
    let id = import(shared, name, contents).await?;
    drop(container);
    Ok(id)
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
    Ok(shared.snapshots.learn(&made)?.id.clone())
}

const LOOK: &str = "look into a file system";

/// A container of an image that is never started: a way to the image's files.
pub(super) async fn idle_container(shared: &Arc<Shared>, image: &str) -> Result<Container> {
    shared.check_open(LOOK)?;
    shared.guard();
    let container = Container::new(&shared.cleaner, shared.number('r'));
    let mut labels_of = labels::of(&shared.session, "reader");
    labels_of.insert(labels::KIND.to_owned(), labels::KIND_READER.to_owned());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // Never run; but the engine refuses a container without a command.
        entrypoint: Some(vec!["bowline".to_owned()]),
        labels: Some(labels_of),
        network_disabled: Some(true),
        ..Default::default()
    };
    let create =
        async move { container.create(body).await.map_err(failure::during("look into a file system")) };
    shared.cleaner.to_its_end("look into a file system", create).await
}

/// A small archive of files in memory.
pub(super) fn archive(files: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *contents)?;
    }
    builder.into_inner()
}

/// The first half of an image's digest: a tag, and still enough never to meet another.
fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..32).unwrap_or(hex)
}
