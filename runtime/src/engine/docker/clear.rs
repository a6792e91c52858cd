//! Images of steps without what the engine put into them: the file that its init process was mounted over.
//!
//! It is in the layer of the first step that ran on an image, and cannot be kept out of it: the engine makes it in the
//! container's own layer. Inside of the engine it does no harm; what leaves it is made anew without.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::sha256::Sha256;

use super::read::PieceReader;
use super::snapshot::Facts;
use super::{Shared, recast, scaffold};
use crate::engine::NewImage;
use crate::{Error, Result};

/// What is to be left out, by the name of a layer in an archive of images: ranges of its bytes, in their order.
pub(super) type Cuts = HashMap<PathBuf, Vec<Range<u64>>>;

/// The image under a name, for all that is to leave the engine.
pub(super) async fn dress(
    shared: &Arc<Shared>,
    image: &NewImage,
    facts: &Arc<Facts>,
    name: &str,
) -> Result<String> {
    let failed = |error: serde_json::Error| Error::engine(format!("make the image {name}"), error);
    if scaffold::has_init(shared, &image.snapshot).await? {
        // Twice, as the length of what is cut stands before what it is cut from. A layer may be larger than memory.
        let what = format!("make the image {name}");
        let cuts =
            recast::read_saved(shared, &facts.id, find).await.map_err(|error| Error::engine(what, error))?;
        if !cuts.is_empty() {
            let (image, layers) = (image.clone(), facts.layers.clone());
            let document = move |changed: &HashMap<usize, String>| {
                let layers = layers.iter().enumerate();
                let layers = layers.map(|(number, layer)| changed.get(&number).unwrap_or(layer).clone());
                image.document(&layers.collect::<Vec<_>>())
            };
            return recast::redress(shared, &facts.id, name, cuts, document).await;
        }
    }
    let document = image.document(&facts.layers).map_err(failed)?;
    if let Ok(id) = recast::dress(shared, facts.layers.len(), name, &document).await {
        return Ok(id);
    }
    // Engines whose image store is another than moby's classic one want the layers' contents too.
    recast::redress(shared, &facts.id, name, Cuts::new(), move |_| Ok(document)).await
}

/// Finds what is to be left out of an archive of images. Layers that are compressed stay as they are.
fn find(from: PieceReader) -> io::Result<Cuts> {
    let mut cuts = Cuts::new();
    for entry in tar::Archive::new(from).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        // What is no layer is no archive either.
        if let Ok(found) = in_layer(&mut entry)
            && !found.is_empty()
        {
            cuts.insert(path, found);
        }
    }
    Ok(cuts)
}

fn in_layer(layer: impl Read) -> io::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut begin = None;
    // Raw: with the headers that stand before the one of a file and belong to it.
    for entry in tar::Archive::new(layer).entries()?.raw(true) {
        let entry = entry?;
        let kind = entry.header().entry_type();
        let start = *begin.get_or_insert(entry.raw_header_position());
        if kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink() {
            continue;
        }
        begin = None;
        let end = entry.raw_file_position() + entry.size().next_multiple_of(512);
        if kind.is_file() && entry.size() == 0 && scaffold::is_init(&entry.path()?) {
            found.push(start..end);
        }
    }
    Ok(found)
}

/// The bytes of a layer without what is cut out of it, and their digest.
pub(super) struct Cut<'a, R> {
    from: R,
    at: u64,
    cuts: &'a [Range<u64>],
    digest: Sha256,
}

impl<'a, R: Read> Cut<'a, R> {
    pub(super) fn new(from: R, cuts: &'a [Range<u64>]) -> Self {
        Self { from, at: 0, cuts, digest: Sha256::new() }
    }

    /// Of what has been read, as images name it.
    pub(super) fn digest(self) -> String {
        format!("sha256:{}", data_encoding::HEXLOWER.encode(&self.digest.finalize()))
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

/// What a path in an archive means, by the links there are in it.
pub(super) fn resolve(path: &Path, links: &HashMap<PathBuf, PathBuf>) -> PathBuf {
    let Some(target) = links.get(path) else { return path.to_owned() };
    let mut resolved = path.parent().unwrap_or(Path::new("")).to_owned();
    for part in target.components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir => drop(resolved.pop()),
            _ => {}
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(files: &[(&str, &str)]) -> Vec<u8> {
        let mut layer = tar::Builder::new(Vec::new());
        for (name, contents) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(contents.len() as u64);
            header.set_mode(0o755);
            if name.ends_with("docker-init") {
                layer.append_pax_extensions([("mtime", b"1.5".as_slice())]).unwrap();
            }
            layer.append_data(&mut header, name, contents.as_bytes()).unwrap();
        }
        layer.into_inner().unwrap()
    }

    #[test]
    fn a_layer_is_what_it_was_without_the_engines_file() {
        let with = layer(&[("bin/a", "a"), ("sbin/docker-init", ""), ("z", "zzz")]);
        let without = layer(&[("bin/a", "a"), ("z", "zzz")]);
        let cuts = in_layer(with.as_slice()).unwrap();
        let mut cut = Cut::new(with.as_slice(), &cuts);
        let mut seen = Vec::new();
        cut.read_to_end(&mut seen).unwrap();
        // Archives of this builder are padded by nothing but their end.
        assert_eq!(seen, without);
        assert_eq!(
            cuts.iter().map(|cut| cut.end - cut.start).sum::<u64>(),
            (with.len() - without.len()) as u64
        );
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&without));
        assert_eq!(cut.digest(), format!("sha256:{digest}"));

        assert!(in_layer(without.as_slice()).unwrap().is_empty());
        assert!(in_layer(layer(&[("sbin/docker-init", "own")]).as_slice()).unwrap().is_empty());
        assert!(in_layer([7; 2048].as_slice()).is_err());
    }

    #[test]
    fn links_of_an_archive_are_followed() {
        let links = [(PathBuf::from("b/layer.tar"), PathBuf::from("../a/layer.tar"))].into();
        assert_eq!(resolve(Path::new("b/layer.tar"), &links), Path::new("a/layer.tar"));
        assert_eq!(resolve(Path::new("a/layer.tar"), &links), Path::new("a/layer.tar"));
    }
}
