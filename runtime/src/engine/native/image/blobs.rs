//! The parts of an image that is made here: layers in files, its configuration and its manifest; and all of them in one
//! archive (OCI image layout specification).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::{AT_ONCE, Answer, Files, Request, Shared, failed};
use crate::engine::ImageSpec;
use crate::engine::native::store::{Scratch, layers};
use crate::engine::oci::archive::blob_name;
use crate::engine::oci::{CONFIGURATION, Descriptor, Index, MANIFEST, Manifest, Packed, Saved};
use crate::lock::lock;
use crate::model::ContentDigest;
use crate::{Error, Result};

/// An image without its layers.
pub(super) struct Documents {
    pub(super) configuration: Text,
    pub(super) manifest: Text,
}

/// A layer's archive, which is removed when this is dropped.
pub(in crate::engine::native) struct Layer {
    pub(in crate::engine::native) path: PathBuf,
    pub(in crate::engine::native) packed: Packed,
    /// Keeps the archive's file.
    _scratch: Scratch,
}

/// A document with its descriptor.
pub(super) struct Text {
    pub(super) text: Vec<u8>,
    pub(super) digest: ContentDigest,
}

impl Text {
    fn new(text: Vec<u8>) -> Self {
        let digest = ContentDigest::of(&text);
        Self { text, digest }
    }

    fn describe(&self, media_type: &str) -> Descriptor {
        Descriptor::new(media_type, self.digest, self.text.len() as u64)
    }
}

impl Documents {
    /// The documents of an image of these layers, the lowest first.
    pub(super) fn of(what: &str, image: &ImageSpec, layers: &[Packed]) -> Result<Self> {
        let unpacked = layers.iter().map(|layer| layer.unpacked).collect();
        let broken = |error: serde_json::Error| Error::engine(what, error);
        let configuration = Text::new(image.document(unpacked).map_err(broken)?);
        let manifest = Manifest {
            config: configuration.describe(CONFIGURATION),
            layers: layers.iter().map(Packed::describe).collect(),
        };
        Ok(Self { configuration, manifest: Text::new(manifest.document().map_err(broken)?) })
    }
}

/// Bytes of the archives that are being made: those of finished ones, and of unfinished ones.
#[derive(Debug, Default)]
pub(in crate::engine::native) struct Packing {
    /// The bytes of finished archives.
    whole: AtomicU64,
    /// The files of unfinished archives.
    growing: Mutex<BTreeSet<PathBuf>>,
}

impl Packing {
    /// How many bytes there are by now, if any archive is unfinished.
    pub(super) fn growing(&self) -> Option<u64> {
        let growing = lock(&self.growing);
        let lengths = growing.iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len()));
        (!growing.is_empty()).then(|| lengths.sum::<u64>() + self.whole.load(Ordering::Relaxed))
    }
}

/// Makes a layer's archive, and records its digests and size.
pub(in crate::engine::native) async fn pack(
    shared: &Shared,
    layer: PathBuf,
    packing: &Packing,
) -> io::Result<Layer> {
    let scratch = shared.store.scratch()?;
    let path = scratch.file("layer.tar.gz");
    let file = File::create(&path)?;
    lock(&packing.growing).insert(path.clone());
    let request = Request::Files(Files::Pack { layer: layer.clone() });
    let answer = shared.shim.ask_once(&request, &[file.as_fd()]).await;
    lock(&packing.growing).remove(&path);
    match answer? {
        Answer::Packed(packed) => {
            packing.whole.fetch_add(packed.size, Ordering::Relaxed);
            shared.store.keep_packed(&layer, &packed)?;
            Ok(Layer { path, packed, _scratch: scratch })
        }
        Answer::Failed(text) => Err(io::Error::other(text)),
        other => Err(super::super::client::unexpected(&other)),
    }
}

/// Writes an image as one archive: an OCI image layout that also has what `docker load` reads.
pub(crate) async fn write(shared: &Shared, image: &ImageSpec, to: File) -> Result<()> {
    let what = "export an image";
    shared.ready().await?;
    let packing = Packing::default();
    let packed = layers(&image.snapshot).into_iter().map(|layer| pack(shared, layer, &packing).boxed());
    let packed = stream::iter(packed.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect::<Vec<_>>().await;
    let layers = packed.map_err(failed(what))?;
    let packed: Vec<Packed> = layers.iter().map(|layer| layer.packed.clone()).collect();
    let documents = Documents::of(what, image, &packed)?;
    let write = tokio::task::spawn_blocking(move || documents.write(&layers, to)).await;
    write.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed(what))
}

/// The contents of an entry of the archive.
enum Contents<'a> {
    Text(&'a [u8]),
    File(&'a Layer),
}

impl Documents {
    fn write(&self, layers: &[Layer], to: File) -> io::Result<()> {
        let index = Index { manifests: vec![self.manifest.describe(MANIFEST)] }.document()?;
        let saved = Saved {
            config: blob_name(&self.configuration.digest),
            repo_tags: None,
            layers: layers.iter().map(|layer| blob_name(&layer.packed.digest)).collect(),
        };
        let saved = saved.document()?;
        // Sorted by name, so that equal images are equal archives; and without duplicates, as two layers may be the same.
        let mut entries = BTreeMap::from([
            ("index.json".to_owned(), Contents::Text(&index)),
            ("manifest.json".to_owned(), Contents::Text(&saved)),
            ("oci-layout".to_owned(), Contents::Text(br#"{"imageLayoutVersion":"1.0.0"}"#)),
        ]);
        for document in [&self.configuration, &self.manifest] {
            entries.insert(blob_name(&document.digest), Contents::Text(&document.text));
        }
        for layer in layers {
            entries.insert(blob_name(&layer.packed.digest), Contents::File(layer));
        }
        let mut archive = tar::Builder::new(io::BufWriter::with_capacity(1 << 17, to));
        for (name, contents) in &entries {
            match contents {
                Contents::Text(text) => add(&mut archive, name, text.len() as u64, *text)?,
                Contents::File(layer) => {
                    add(&mut archive, name, layer.packed.size, File::open(&layer.path)?)?;
                }
            }
        }
        archive.into_inner()?.flush()
    }
}

fn add(
    archive: &mut tar::Builder<impl io::Write>,
    name: &str,
    size: u64,
    contents: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, contents)
}
