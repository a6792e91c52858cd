//! Images made of other images: the same layers under another configuration, and many layers made one.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateImageOptions, ImportImageOptionsBuilder};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::sync::mpsc;

use super::cleaner::Container;
use super::clear::{self, Cut, Cuts};
use super::failure::{self, BRIEF, LONG, within};
use super::place::ChannelWriter;
use super::read::{Names, PIECES, PieceReader};
use super::readers::Files;
use super::snapshot::Facts;
use super::{Shared, labels, scaffold};
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
        let found = shared.snapshots.learn(&inspected)?;
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

/// With all that an image consists of, streamed out of the engine and back; without what is to be cut out of its layers.
/// `document` gives the configuration, by the digests that layers have now, by their number.
pub(super) async fn redress(
    shared: &Arc<Shared>,
    image: &str,
    name: &str,
    cuts: Cuts,
    document: impl FnOnce(&Changed) -> serde_json::Result<Vec<u8>> + Send + 'static,
) -> Result<String> {
    let saved = shared.client.export_image(image);
    let tag = name.to_owned();
    let redress = move |from, to| redressed(from, to, &tag, &cuts, document);
    changed(name, saved, redress, |archive| load(shared, name, archive)).await
}

/// Reads the archive of an image on a thread that may block.
pub(super) async fn read_saved<T: Send + 'static>(
    shared: &Shared,
    image: &str,
    read: impl FnOnce(PieceReader) -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let (send, pieces) = mpsc::channel(PIECES);
    let reading = tokio::task::spawn_blocking(move || read(PieceReader::new(pieces)));
    forward(shared.client.export_image(image), send).await;
    reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

async fn forward(
    from: impl Stream<Item = Result<bytes::Bytes, bollard::errors::Error>>,
    to: mpsc::Sender<std::io::Result<Vec<u8>>>,
) {
    let mut from = std::pin::pin!(from);
    while let Some(piece) = from.next().await {
        let piece = piece.map(|piece| piece.to_vec());
        if to.send(piece.map_err(|error| std::io::Error::other(failure::message(&error)))).await.is_err() {
            return;
        }
    }
}

/// Takes an archive out of the engine, changes it, and has an image of this name made of it.
async fn changed<F: Future<Output = Result<String>>>(
    name: &str,
    from: impl Stream<Item = Result<bytes::Bytes, bollard::errors::Error>>,
    change: impl FnOnce(PieceReader, std::io::BufWriter<ChannelWriter>) -> std::io::Result<()> + Send + 'static,
    make: impl FnOnce(futures_util::stream::BoxStream<'static, std::io::Result<Vec<u8>>>) -> F,
) -> Result<String> {
    let (send, pieces) = mpsc::channel(PIECES);
    let read = forward(from, send);
    let (send, mut written) = mpsc::channel::<Vec<u8>>(PIECES);
    let write = tokio::task::spawn_blocking(move || {
        let to = std::io::BufWriter::with_capacity(64 << 10, ChannelWriter(send));
        change(PieceReader::new(pieces), to)
    });
    let body = stream::poll_fn(move |context| written.poll_recv(context));
    let ((), write, image) = tokio::join!(read, write, make(body.map(Ok).boxed()));
    // What the writer met explains an archive that ended early better than the engine does.
    let written = write.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::engine(format!("make the image {name}"), error))
        }
        _ => image,
    }
}

/// `manifest.json` of an archive of images.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The digests of layers that are not what they were, by their number.
type Changed = HashMap<usize, String>;

/// Copies an archive of one image, with another name and configuration, and without what is to be cut out.
fn redressed(
    from: impl Read,
    to: impl Write,
    name: &str,
    cuts: &Cuts,
    document: impl FnOnce(&Changed) -> serde_json::Result<Vec<u8>>,
) -> std::io::Result<()> {
    const CONFIG: &str = "config.json";
    let mut archive = tar::Archive::new(from);
    let mut out = tar::Builder::new(to);
    let (mut saved, mut links, mut digests) = (Vec::new(), HashMap::new(), HashMap::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut header = entry.header().clone();
        match (path.to_str(), entry.link_name()?, cuts.get(&path)) {
            (Some("manifest.json"), ..) => saved = serde_json::from_reader(&mut entry)?,
            // What says in other words what the image was.
            (Some("index.json" | "oci-layout" | "repositories"), ..) => {}
            (_, Some(target), _) => {
                out.append_link(&mut header, &path, &target)?;
                links.insert(path, target.into_owned());
            }
            (.., Some(cuts)) => {
                header.set_size(entry.size() - cuts.iter().map(|cut| cut.end - cut.start).sum::<u64>());
                let mut layer = Cut::new(&mut entry, cuts);
                out.append_data(&mut header, &path, &mut layer)?;
                digests.insert(path, layer.digest());
            }
            _ => out.append_data(&mut header, &path, &mut entry)?,
        }
    }
    let layers = saved.pop().map(|image: Saved| image.layers);
    let layers = layers.ok_or_else(|| std::io::Error::other("the engine's archive has no manifest.json"))?;
    let digest = |layer: &String| digests.get(&clear::resolve(Path::new(layer), &links)).cloned();
    let changed = layers.iter().enumerate().filter_map(|(number, layer)| Some((number, digest(layer)?)));
    let config = document(&changed.collect())?;
    let made = Saved { config: CONFIG.to_owned(), repo_tags: Some(vec![name.to_owned()]), layers };
    let manifest = serde_json::to_vec(&[made])?;
    for (name, contents) in [(CONFIG, &config), ("manifest.json", &manifest)] {
        out.append_data(&mut file_header(contents.len() as u64), name, &contents[..])?;
    }
    out.into_inner()?.flush()
}

/// Loads an archive that has an image of this name in it.
async fn load(
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
    Ok(shared.snapshots.learn(&made)?.id.clone())
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
    let files = Files::held(container.name().to_owned(), Arc::default());
    let scaffold = scaffold::of(shared, &files, &files.look(shared).await?, "/").await?;
    let contents = shared.client.export_container(container.name());
    let clear = move |from, to: std::io::BufWriter<ChannelWriter>| {
        let mut archive = tar::Builder::new(to);
        scaffold::entries(from, Names::Whole, scaffold.as_ref(), |entry| entry.append_to(&mut archive))?;
        archive.into_inner()?.flush()
    };
    let id = changed(name, contents, clear, |archive| import(shared, name, archive)).await?;
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
    shared.guarded().await;
    let container = Container::new(&shared.cleaner, shared.number('r'));
    let mut labels_of = labels::of(&shared.session, "reader");
    labels_of.insert(labels::KIND.to_owned(), labels::KIND_READER.to_owned());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // Never run; but the engine refuses a container without a command.
        entrypoint: Some(vec!["bowline".to_owned()]),
        // The engine would make the image's where it is missing.
        working_dir: Some("/".to_owned()),
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
        builder.append_data(&mut file_header(contents.len() as u64), path, *contents)?;
    }
    builder.into_inner()
}

pub(super) fn file_header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header
}

/// The first half of an image's digest: a tag, and still enough never to meet another.
fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..32).unwrap_or(hex)
}
