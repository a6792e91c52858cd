//! Images of steps without what the engine put into them: the file that its init process was mounted over.
//!
//! It is in the layer of the first step that ran on an image, and cannot be kept out of it: the engine makes it in the
//! container's own layer. Inside the engine it does no harm; images that leave the engine are rewritten without it.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::facts::Facts;
use super::import::load_config;
use super::rewrite::{Changed, Cuts, read_saved, rewrite};
use super::{Shared, scaffold, snapshot};
use crate::engine::ImageSpec;
use crate::engine::channel::ChannelReader;
use crate::{Error, Result};

/// The image under a name, in the form in which it may leave the engine.
pub(super) async fn dress(
    shared: &Arc<Shared>,
    image: &ImageSpec,
    facts: &Arc<Facts>,
    name: &str,
) -> Result<String> {
    let failed = |error: serde_json::Error| Error::engine(format!("make the image {name}"), error);
    let files = snapshot::files(shared, &image.snapshot).await?;
    let has_init = scaffold::has_init(shared, &files.look(shared).await?).await?;
    if has_init {
        // Reads it twice, as an archive has the length of a layer before the layer. A layer may be larger than memory.
        let what = format!("make the image {name}");
        let cuts = read_saved(shared, &facts.id, find).await.map_err(|error| Error::engine(what, error))?;
        if !cuts.is_empty() {
            let (image, layers) = (image.clone(), facts.layers.clone());
            let document = move |changed: &Changed| {
                let layers = layers.iter().enumerate();
                let layers = layers.map(|(number, layer)| *changed.get(&number).unwrap_or(layer));
                image.document(layers.collect())
            };
            return rewrite(shared, &facts.id, name, cuts, document).await;
        }
    }
    let document = image.document(facts.layers.clone()).map_err(failed)?;
    if let Ok(id) = load_config(shared, facts.layers.len(), name, &document).await {
        return Ok(id);
    }
    // Engines with an image store other than moby's classic one require the layers' contents too.
    rewrite(shared, &facts.id, name, Cuts::new(), move |_| Ok(document)).await
}

/// Finds the byte ranges to leave out of an archive of images. Compressed layers stay as they are.
fn find(from: ChannelReader) -> io::Result<Cuts> {
    let mut cuts = Cuts::new();
    for entry in tar::Archive::new(from).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        // An entry that is not a layer is not an archive either.
        if let Ok(found) = in_layer(&mut entry)
            && !found.is_empty()
        {
            cuts.insert(path, found);
        }
    }
    Ok(cuts)
}

pub(super) fn in_layer(layer: impl Read) -> io::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut begin = None;
    // Raw: with the headers that precede a file's own and belong to it.
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

#[cfg(test)]
mod tests {
    use super::super::rewrite::Cut;
    use super::*;
    use crate::model::ContentDigest;

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
        // This builder adds no padding but the archive's end.
        assert_eq!(seen, without);
        assert_eq!(
            cuts.iter().map(|cut| cut.end - cut.start).sum::<u64>(),
            (with.len() - without.len()) as u64
        );
        assert_eq!(cut.digest(), ContentDigest::of(&without));

        assert!(in_layer(without.as_slice()).unwrap().is_empty());
        assert!(in_layer(layer(&[("sbin/docker-init", "own")]).as_slice()).unwrap().is_empty());
        assert!(in_layer([7; 2048].as_slice()).is_err());
    }
}
