//! Results of steps as layers: taken out of the engine's images, and made images of.
//!
//! The engine gives layers away only with the whole image, so what a layer is as an archive is remembered, and an image is
//! read only for a layer that is nowhere yet. What the engine itself has put into a layer is left out ([`clear`]).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc;

use super::commit::NO_COMMAND;
use super::entries::file_header;
use super::facts::{facts, inspect};
use super::import::load;
use super::keep::result_labels;
use super::records::{Facts, Record};
use super::rewrite::{Cut, extend, read_saved, resolve};
use super::{Shared, clear, names, snapshot};
use crate::engine::blocking::blocking;
use crate::engine::channel::{ChannelReader, ChannelWriter, PIECES};
use crate::engine::oci::{Configuration, Packed, Platform, Saved};
use crate::engine::{Arrival, Image, ImageConfig, LayerSink, LayerSource, Layers, unnamed};
use crate::home;
use crate::lock::lock;
use crate::model::{ContentDigest, Snapshot};
use crate::regular::DOCUMENT_AT_MOST;
use crate::sha256::Sha256;
use crate::{Error, Result};

/// How many layers are fetched at once, as in Docker.
const AT_ONCE: usize = 3;
/// The size of a read or write.
const PIECE: usize = 256 << 10;
const WHAT: &str = "store a result from elsewhere";

/// What a session has moved in or out.
#[derive(Default)]
pub(super) struct Moving {
    /// Results of one chain have the same layers: one at a time moves any.
    turn: tokio::sync::Mutex<()>,
    /// The layers of images that were made.
    made: Mutex<Vec<Vec<ContentDigest>>>,
}

/// Puts the layers of an image where they are not yet.
pub(super) async fn send(
    shared: &Arc<Shared>,
    files: &Snapshot,
    image: Option<&Image>,
    to: &dyn LayerSink,
) -> Result<Layers> {
    let found = facts(shared, &snapshot::image(shared, files).await?).await?;
    let ground = image.map(|image| &image.layers).filter(|below| found.layers.starts_with(below));
    let image = ground.cloned().unwrap_or_default();
    let own = found.layers.get(image.len()..).unwrap_or_default();
    let _turn = shared.layers.turn.lock().await;
    let (mut sent, mut missing) = (HashMap::new(), HashSet::new());
    for layer in own {
        match remembered(shared, layer) {
            Some(packed) if to.has(&packed).await? => drop(sent.insert(*layer, packed)),
            _ => drop(missing.insert(*layer)),
        }
    }
    if !missing.is_empty() {
        let all = found.layers.clone();
        let take = move |archive| take_out(archive, &all, &missing);
        let taken = read_saved(shared, &found.id, take).await;
        for (layer, packed, archive) in
            taken.map_err(|error| Error::engine("read what a step left", error))?
        {
            if !to.has(&packed).await? {
                to.put(&packed, archive).await?;
            }
            remember(shared, &layer, &packed);
            sent.insert(layer, packed);
        }
    }
    let gone = |layer: &ContentDigest| {
        Error::engine("read what a step left", format!("the engine's archive lacks the layer {layer}"))
    };
    let own = own.iter().map(|layer| sent.get(layer).cloned().ok_or_else(|| gone(layer)));
    Ok(Layers { image, own: own.collect::<Result<_>>()? })
}

fn note(shared: &Shared, layer: &ContentDigest) -> Option<PathBuf> {
    Some(shared.records_at()?.join(format!("{}.layer", layer.hash())))
}

/// What a layer of the engine is as an archive, if it was one before.
fn remembered(shared: &Shared, layer: &ContentDigest) -> Option<Packed> {
    home::notes::read(&note(shared, layer)?)
}

/// Nothing is lost but time if it cannot be.
fn remember(shared: &Shared, layer: &ContentDigest, packed: &Packed) {
    if let Some(path) = note(shared, layer) {
        let _ = home::notes::write(&path, packed);
    }
}

/// A file of the engine's archive.
struct Spooled {
    file: File,
    digest: ContentDigest,
    size: u64,
}

/// Reads some of an image's layers out of its archive, in files that nobody sees.
fn take_out(
    from: ChannelReader,
    all: &[ContentDigest],
    wanted: &HashSet<ContentDigest>,
) -> io::Result<Vec<(ContentDigest, Packed, File)>> {
    let (mut saved, mut links, mut files) = (Vec::new(), HashMap::new(), HashMap::new());
    let mut archive = tar::Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if path == Path::new("manifest.json") {
            let mut text = Vec::new();
            (&mut entry).take(DOCUMENT_AT_MOST).read_to_end(&mut text)?;
            saved = Saved::parse(&text).map_err(io::Error::other)?;
        } else if let Some(target) = entry.link_name()? {
            links.insert(path, target.into_owned());
        } else if path.ends_with("layer.tar") || path.starts_with("blobs") {
            let spooled = spool(&mut entry)?;
            // Where layers are not compressed, it is known what this is.
            if !all.contains(&spooled.digest) || wanted.contains(&spooled.digest) {
                files.insert(path, spooled);
            }
        }
    }
    let layers = saved.pop().map(|image| image.layers).unwrap_or_default();
    if layers.len() != all.len() {
        return Err(io::Error::other("the engine's archive has another number of layers than the image"));
    }
    let mut found = Vec::new();
    for (name, layer) in layers.iter().zip(all).filter(|(_, layer)| wanted.contains(layer)) {
        if let Some(spooled) = files.remove(&resolve(Path::new(name), &links)) {
            let (packed, file) = without_own(*layer, spooled)?;
            found.push((*layer, packed, file));
        }
    }
    Ok(found)
}

fn spool(from: &mut impl Read) -> io::Result<Spooled> {
    let (mut file, mut hash, mut size) = (unnamed()?, Sha256::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece)? {
            0 => break,
            length => {
                let piece = piece.get(..length).unwrap_or_default();
                hash.update(piece);
                file.write_all(piece)?;
                size += length as u64;
            }
        }
    }
    file.rewind()?;
    Ok(Spooled { file, digest: ContentDigest::hashed(hash), size })
}

/// A layer without what the engine has put into it. One that is compressed already stays as it is.
fn without_own(layer: ContentDigest, spooled: Spooled) -> io::Result<(Packed, File)> {
    let Spooled { mut file, digest, size } = spooled;
    if digest != layer {
        return Ok((Packed { unpacked: layer, digest, size }, file));
    }
    let cuts = clear::in_layer(io::BufReader::new(&file)).unwrap_or_default();
    file.rewind()?;
    let mut cut = Cut::new(io::BufReader::with_capacity(PIECE, &file), &cuts);
    let Spooled { file, digest, size } = compressed(&mut cut)?;
    Ok((Packed { unpacked: cut.digest(), digest, size }, file))
}

/// A layer as it is sent: compressed, if this build can do that.
#[cfg(native_engine)]
fn compressed(layer: &mut impl Read) -> io::Result<Spooled> {
    spool(&mut flate2::read::GzEncoder::new(layer, flate2::Compression::default()))
}

#[cfg(not(native_engine))]
fn compressed(layer: &mut impl Read) -> io::Result<Spooled> {
    spool(layer)
}

/// Stores a result from another machine: records it, and makes an image of its files if there are any.
pub(super) async fn receive(shared: &Arc<Shared>, result: Arrival, from: &dyn LayerSource) -> Result<()> {
    let Arrival { key, from: provenance, output, files, image } = result;
    let facts = Facts::new(key, provenance, Duration::ZERO, Duration::ZERO);
    let is_kept = files.is_some();
    if let Some(layers) = files {
        let labels = result_labels(shared, &facts, output.clone()).await?;
        make(shared, &facts, labels, layers, image.as_ref(), from).await?;
    }
    match shared.records_at().map(Path::to_owned) {
        Some(directory) => {
            let (shared, record) = (Arc::clone(shared), Record { facts, output });
            let put = blocking(move || shared.records.put(&directory, &record)).await;
            put.map_err(|error| Error::engine(WHAT, error))
        }
        None if is_kept => Ok(()),
        None => Err(Error::engine(WHAT, "nothing can be recorded of this engine")),
    }
}

/// Makes the image of a result, of layers that the engine has and of others that are fetched.
async fn make(
    shared: &Arc<Shared>,
    facts: &Facts,
    labels: HashMap<String, String>,
    layers: Layers,
    image: Option<&Image>,
    from: &dyn LayerSource,
) -> Result<()> {
    let Layers { image: below, own } = layers;
    if !below.is_empty() && image.is_none_or(|image| image.layers != below) {
        return Err(Error::engine(WHAT, "it is made from another image"));
    }
    let all: Vec<_> = below.iter().copied().chain(own.iter().map(|layer| layer.unpacked)).collect();
    let _turn = shared.layers.turn.lock().await;
    let present = present(shared, facts, &all, below.len()).await?;
    let platform = image.map_or(&shared.description.platform, |image| &image.platform);
    let command = vec![NO_COMMAND.to_owned()];
    let config = ImageConfig { command, labels: labels.into_iter().collect(), ..ImageConfig::default() };
    let config = Configuration::new(Platform::of(platform), &config, all.clone()).document();
    let config = config.map_err(|error| Error::engine(WHAT, error))?;
    let name = names::step_image(&facts.key);
    let above = own.get(present - below.len()..).unwrap_or_default();
    match (load_above(shared, &name, config.clone(), all.len(), above, from).await, image) {
        (Ok(()), _) => {}
        // Engines with an image store other than moby's classic one require the contents of all layers.
        (Err(Failed::Loading(_)), Some(image)) if present > 0 => {
            let archives: Vec<_> = fetch(&own, from).try_collect().await?;
            extend(shared, &image.snapshot.0, &name, archives, config).await?;
        }
        (Err(Failed::Fetching(error) | Failed::Loading(error)), _) => return Err(error),
    }
    lock(&shared.layers.made).push(all);
    Ok(())
}

/// Why an image was not loaded.
enum Failed {
    Fetching(Error),
    Loading(Error),
}

/// Fetches archives of layers, several at once, with their sizes.
fn fetch<'a>(layers: &'a [Packed], from: &'a dyn LayerSource) -> BoxStream<'a, Result<(u64, File)>> {
    let fetch = layers.iter().map(|layer| async move {
        let archive = from.get(layer).await?;
        Ok::<_, Error>((layer.size, archive))
    });
    let fetch: Vec<_> = fetch.map(FutureExt::boxed).collect();
    stream::iter(fetch).buffered(AT_ONCE).boxed()
}

/// Loads an image of so many layers, of which the engine has those below these. What has arrived is sent on while more is
/// fetched.
async fn load_above(
    shared: &Arc<Shared>,
    name: &str,
    config: Vec<u8>,
    count: usize,
    above: &[Packed],
    from: &dyn LayerSource,
) -> std::result::Result<(), Failed> {
    let (layers, without) = (Saved::layer_names(count), count - above.len());
    let (arrived, archives) = mpsc::channel(AT_ONCE);
    let mut fetching = fetch(above, from);
    let fetch = async move {
        while let Some(archive) = fetching.next().await {
            // Whoever does not want it has failed, and says why.
            if arrived.send(archive?).await.is_err() {
                break;
            }
        }
        Ok::<_, Error>(())
    };
    let (send, mut pieces) = mpsc::channel(PIECES);
    let (tag, failed) = (name.to_owned(), send.clone());
    let write = tokio::task::spawn_blocking(move || {
        let sink = ChannelWriter::fallible(send);
        if let Err(error) = archive(sink, &tag, &config, &layers, without, archives) {
            // An error, so that the engine does not take the part for the whole.
            let _ = failed.blocking_send(Err(error));
        }
    });
    let archive = stream::poll_fn(move |context| pieces.poll_recv(context));
    let (fetched, made) = tokio::join!(fetch, load(shared, name, archive));
    let _ = write.await;
    fetched.map_err(Failed::Fetching)?;
    made.map(drop).map_err(Failed::Loading)
}

/// How many of an image's layers, from the lowest, the engine certainly has.
async fn present(shared: &Arc<Shared>, record: &Facts, all: &[ContentDigest], below: usize) -> Result<usize> {
    let common = |other: &[ContentDigest]| all.iter().zip(other).take_while(|(a, b)| a == b).count();
    let made = lock(&shared.layers.made).iter().map(|made| common(made)).max().unwrap_or(0);
    let mut present = made.max(below);
    for part in &record.from.made_of {
        if let Some(found) = inspect(&shared.client, &names::step_image(&part.key)).await? {
            present = present.max(common(&shared.images.learn(&found)?.layers));
        }
    }
    Ok(present)
}

/// Writes an image without its lowest layers, in the format of `docker save`.
fn archive(
    sink: ChannelWriter<crate::engine::channel::Piece>,
    tag: &str,
    config: &[u8],
    layers: &[String],
    without: usize,
    mut archives: mpsc::Receiver<(u64, File)>,
) -> io::Result<()> {
    const CONFIG: &str = "config.json";
    let mut out = tar::Builder::new(io::BufWriter::with_capacity(PIECE, sink));
    let saved = Saved::named(tag, CONFIG, layers.to_vec()).document()?;
    for (name, text) in [(CONFIG, config), ("manifest.json", &saved)] {
        out.append_data(&mut file_header(text.len() as u64), name, text)?;
    }
    for name in layers.iter().skip(without) {
        let (size, file) = archives.blocking_recv().ok_or(io::ErrorKind::UnexpectedEof)?;
        out.append_data(&mut file_header(size), name, file.take(size))?;
    }
    out.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(names: &[&str]) -> Vec<u8> {
        let mut layer = tar::Builder::new(Vec::new());
        for name in names {
            layer.append_data(&mut file_header(0), name, io::empty()).unwrap();
        }
        layer.into_inner().unwrap()
    }

    /// As engines of the API 1.41 write it: what is there twice is a link, and what says which is which comes last.
    #[test]
    fn layers_are_taken_out_without_what_the_engine_put_there() {
        let [below, first, last] = [layer(&["below"]), layer(&["a", "sbin/docker-init"]), layer(&["b"])];
        let names = ["0", "1", "2", "3"].map(|directory| format!("{directory}/layer.tar"));
        let mut archive = tar::Builder::new(Vec::new());
        for (name, contents) in [(&names[1], &first), (&names[0], &below), (&names[2], &last)] {
            archive.append_data(&mut file_header(contents.len() as u64), name, &contents[..]).unwrap();
        }
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        archive.append_link(&mut link, &names[3], "../2/layer.tar").unwrap();
        let saved = Saved::named("x:1", "c.json", names.to_vec()).document().unwrap();
        archive.append_data(&mut file_header(saved.len() as u64), "manifest.json", &saved[..]).unwrap();
        let archive = archive.into_inner().unwrap();

        let read = |wanted: &[&Vec<u8>]| {
            let (send, pieces) = mpsc::channel(PIECES);
            send.try_send(Ok(archive.clone())).unwrap();
            drop(send);
            let all = [&below, &first, &last, &last].map(|layer| ContentDigest::of(layer));
            let wanted = wanted.iter().map(|layer| ContentDigest::of(layer)).collect();
            take_out(ChannelReader::new(pieces), &all, &wanted).unwrap()
        };
        let taken = read(&[&first, &last]);
        let taken: HashMap<_, _> =
            taken.into_iter().map(|(layer, packed, file)| (layer, (packed, file))).collect();
        assert_eq!(taken.len(), 2);
        let contents = |layer: &Vec<u8>| {
            let (packed, file) = &taken[&ContentDigest::of(layer)];
            let mut sent = Vec::new();
            io::Read::read_to_end(&mut &*file, &mut sent).unwrap();
            assert_eq!((packed.digest, packed.size), (ContentDigest::of(&sent), sent.len() as u64));
            #[cfg(native_engine)]
            let sent = {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut plain).unwrap();
                plain
            };
            assert_eq!(packed.unpacked, ContentDigest::of(&sent));
            sent
        };
        assert_eq!(contents(&first), layer(&["a"]));
        assert_eq!(contents(&last), last);
        assert!(read(&[]).is_empty());
    }
}
