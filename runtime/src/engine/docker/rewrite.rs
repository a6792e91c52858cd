//! Images streamed out of the engine and back, and changed on the way.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;

use super::entries::file_header;
use super::import::load;
use super::{Shared, failure};
use crate::engine::channel::{ChannelReader, ChannelWriter, PIECES};
use crate::engine::oci::Saved;
use crate::engine::oci::archive::plain;
use crate::model::ContentDigest;
use crate::regular::DOCUMENT_AT_MOST;
use crate::sha256::Sha256;
use crate::{Error, Result};

/// Byte ranges to leave out, in order, by the name of a layer in an archive of images.
pub(super) type Cuts = HashMap<PathBuf, Vec<Range<u64>>>;

/// Streams a whole image out of the engine and back, without the ranges to be cut out of its layers. `document` makes the
/// configuration from the new digests of the layers, by their number.
pub(super) async fn rewrite(
    shared: &Arc<Shared>,
    image: &str,
    name: &str,
    cuts: Cuts,
    document: impl FnOnce(&Changed) -> serde_json::Result<Vec<u8>> + Send + 'static,
) -> Result<String> {
    let saved = shared.client.export_image(image);
    let tag = name.to_owned();
    let rewrite = move |from, to| rewritten(from, to, &tag, &cuts, Vec::new(), document);
    changed(name, saved, rewrite, |archive| load(shared, name, archive)).await
}

/// Streams a whole image out of the engine and back, with more layers on top.
pub(super) async fn extend(
    shared: &Arc<Shared>,
    image: &str,
    name: &str,
    layers: Vec<(u64, File)>,
    document: Vec<u8>,
) -> Result<String> {
    let saved = shared.client.export_image(image);
    let tag = name.to_owned();
    let extend = move |from, to| rewritten(from, to, &tag, &Cuts::new(), layers, |_| Ok(document));
    changed(name, saved, extend, |archive| load(shared, name, archive)).await
}

/// Reads an image's archive on a thread that may block.
pub(super) async fn read_saved<T: Send + 'static>(
    shared: &Shared,
    image: &str,
    read: impl FnOnce(ChannelReader) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (send, pieces) = mpsc::channel(PIECES);
    let reading = tokio::task::spawn_blocking(move || read(ChannelReader::new(pieces)));
    forward(shared.client.export_image(image), send).await;
    reading.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

async fn forward(
    from: impl Stream<Item = Result<bytes::Bytes, bollard::errors::Error>>,
    to: mpsc::Sender<io::Result<Vec<u8>>>,
) {
    let mut from = std::pin::pin!(from);
    while let Some(piece) = from.next().await {
        let piece = piece.map(|piece| piece.to_vec());
        if to.send(piece.map_err(|error| io::Error::other(failure::message(&error)))).await.is_err() {
            return;
        }
    }
}

/// Takes an archive out of the engine, changes it, and loads an image of this name made of it.
pub(super) async fn changed<F: Future<Output = Result<String>>>(
    name: &str,
    from: impl Stream<Item = Result<bytes::Bytes, bollard::errors::Error>>,
    change: impl FnOnce(ChannelReader, io::BufWriter<ChannelWriter<Vec<u8>>>) -> io::Result<()> + Send + 'static,
    make: impl FnOnce(futures_util::stream::BoxStream<'static, io::Result<Vec<u8>>>) -> F,
) -> Result<String> {
    let (send, pieces) = mpsc::channel(PIECES);
    let read = forward(from, send);
    let (send, mut written) = mpsc::channel::<Vec<u8>>(PIECES);
    let write = tokio::task::spawn_blocking(move || {
        let to = io::BufWriter::with_capacity(64 << 10, ChannelWriter::new(send));
        change(ChannelReader::new(pieces), to)
    });
    let body = stream::poll_fn(move |context| written.poll_recv(context));
    let ((), write, image) = tokio::join!(read, write, make(body.map(Ok).boxed()));
    // The writer's error explains a broken archive better than the engine's.
    let written = write.unwrap_or_else(|error| Err(io::Error::other(error)));
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::engine(format!("make the image {name}"), error))
        }
        _ => image,
    }
}

/// The digests of changed layers, by their number.
pub(super) type Changed = HashMap<usize, ContentDigest>;

/// Copies an archive of one image, with another name and configuration, without the ranges to be cut out, and with more
/// layers on top.
fn rewritten(
    from: impl Read,
    to: impl Write,
    name: &str,
    cuts: &Cuts,
    more: Vec<(u64, File)>,
    document: impl FnOnce(&Changed) -> serde_json::Result<Vec<u8>>,
) -> io::Result<()> {
    const CONFIG: &str = "config.json";
    let mut archive = tar::Archive::new(from);
    let mut out = tar::Builder::new(to);
    let (mut saved, mut links, mut digests) = (Vec::new(), HashMap::new(), HashMap::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut header = entry.header().clone();
        match (path.to_str(), entry.link_name()?, cuts.get(&path)) {
            (Some("manifest.json"), ..) => {
                let mut text = Vec::new();
                (&mut entry).take(DOCUMENT_AT_MOST).read_to_end(&mut text)?;
                saved = Saved::parse(&text).map_err(io::Error::other)?;
            }
            // Entries that describe the original image in other formats.
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
    let layers = saved.pop().map(|image| image.layers);
    let mut layers = layers.ok_or_else(|| io::Error::other("the engine's archive has no manifest.json"))?;
    let digest = |layer: &String| digests.get(&resolve(Path::new(layer), &links)).copied();
    let changed = layers.iter().enumerate().filter_map(|(number, layer)| Some((number, digest(layer)?)));
    let config = document(&changed.collect())?;
    for (number, (size, file)) in more.into_iter().enumerate() {
        let name = format!("more/{number}/layer.tar");
        out.append_data(&mut file_header(size), &name, file.take(size))?;
        layers.push(name);
    }
    let manifest = Saved::named(name, CONFIG, layers).document()?;
    for (name, contents) in [(CONFIG, &config), ("manifest.json", &manifest)] {
        out.append_data(&mut file_header(contents.len() as u64), name, &contents[..])?;
    }
    out.into_inner()?.flush()
}

/// Reads a layer without the ranges that are cut out, and hashes the rest.
pub(super) struct Cut<'a, R> {
    from: R,
    /// The position in the layer.
    at: u64,
    /// The ranges still to be left out, in order.
    cuts: &'a [Range<u64>],
    digest: Sha256,
}

impl<'a, R: Read> Cut<'a, R> {
    pub(super) fn new(from: R, cuts: &'a [Range<u64>]) -> Self {
        Self { from, at: 0, cuts, digest: Sha256::new() }
    }

    /// The digest of what was read, in the form that images use.
    pub(super) fn digest(self) -> ContentDigest {
        ContentDigest::hashed(self.digest)
    }
}

impl<R: Read> Read for Cut<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut most = into.len();
        while let Some((cut, rest)) = self.cuts.split_first() {
            if self.at < cut.start {
                most = most.min(usize::try_from(cut.start - self.at).unwrap_or(usize::MAX));
                break;
            }
            io::copy(&mut (&mut self.from).take(cut.end - self.at), &mut io::sink())?;
            (self.at, self.cuts) = (cut.end, rest);
        }
        let count = self.from.read(&mut into[..most])?;
        self.digest.update(&into[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

/// Resolves a path in an archive by the archive's links.
pub(super) fn resolve(path: &Path, links: &HashMap<PathBuf, PathBuf>) -> PathBuf {
    let Some(target) = links.get(path) else { return path.to_owned() };
    plain(&path.parent().unwrap_or(Path::new("")).join(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_an_archive_are_followed() {
        let links = [(PathBuf::from("b/layer.tar"), PathBuf::from("../a/layer.tar"))].into();
        assert_eq!(resolve(Path::new("b/layer.tar"), &links), Path::new("a/layer.tar"));
        assert_eq!(resolve(Path::new("a/layer.tar"), &links), Path::new("a/layer.tar"));
    }

    #[test]
    fn more_layers_go_on_top() {
        let add = |archive: &mut tar::Builder<Vec<u8>>, name: &str, contents: &[u8]| {
            archive.append_data(&mut file_header(contents.len() as u64), name, contents).unwrap();
        };
        let mut archive = tar::Builder::new(Vec::new());
        add(&mut archive, "0/layer.tar", b"below");
        let saved = Saved::named("old:1", "c.json", vec!["0/layer.tar".to_owned()]).document().unwrap();
        add(&mut archive, "manifest.json", &saved);
        let archive = archive.into_inner().unwrap();
        let mut top = tempfile::tempfile().unwrap();
        top.write_all(b"above").unwrap();
        io::Seek::rewind(&mut top).unwrap();
        let mut out = Vec::new();
        let document = |_: &Changed| Ok(b"{}".to_vec());
        rewritten(&archive[..], &mut out, "new:1", &Cuts::new(), vec![(5, top)], document).unwrap();
        let mut files = HashMap::new();
        for entry in tar::Archive::new(&out[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            files.insert(entry.path().unwrap().into_owned().to_str().unwrap().to_owned(), contents);
        }
        let saved = Saved::parse(&files["manifest.json"]).unwrap().remove(0);
        let layers: Vec<_> = saved.layers.iter().map(|name| &files[name][..]).collect();
        assert_eq!(
            (layers, saved.repo_tags),
            (vec![&b"below"[..], b"above"], Some(vec!["new:1".to_owned()]))
        );
    }
}
