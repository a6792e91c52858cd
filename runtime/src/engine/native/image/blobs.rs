//! What an image that is made here consists of: layers in files, its configuration and its manifest; and all of that in one
//! archive (OCI image layout specification).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use sha2::Digest as _;

use super::{AT_ONCE, Answer, Files, Request, Shared, failed};
use crate::engine::NewImage;
use crate::engine::native::store::{Scratch, layers};
use crate::engine::native::wire::Packed;
use crate::{Digest, Error, Result};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image, whole.
pub(super) struct Blobs {
    /// The lowest first.
    pub(super) layers: Vec<Layer>,
    pub(super) configuration: Text,
    pub(super) manifest: Text,
}

/// A layer's archive, as long as this is there.
pub(super) struct Layer {
    pub(super) path: PathBuf,
    pub(super) packed: Packed,
    _scratch: Scratch,
}

/// A document, and what it is called.
pub(super) struct Text {
    pub(super) text: Vec<u8>,
    /// As `sha256:…`.
    pub(super) digest: String,
}

impl Text {
    fn new(text: Vec<u8>) -> Self {
        let digest = format!("sha256:{}", Digest(sha2::Sha256::digest(&text).into()));
        Self { text, digest }
    }

    fn describe(&self, media_type: &'static str) -> Descriptor<'_> {
        Descriptor { media_type, digest: &self.digest, size: self.text.len() as u64 }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'static str,
    digest: &'a str,
    size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor<'a>,
    layers: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: [Descriptor<'a>; 1],
}

/// `manifest.json`, as `docker save` writes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Packs every layer of an image, and writes its documents.
pub(super) async fn make(shared: &Shared, what: &str, image: &NewImage) -> Result<Blobs> {
    shared.ready().await?;
    let paths = layers(&image.snapshot);
    let packed: Vec<_> = paths.into_iter().map(|layer| pack(shared, layer).boxed()).collect();
    let packed = stream::iter(packed).buffered(AT_ONCE).try_collect::<Vec<_>>().await;
    let layers = packed.map_err(failed(what))?;
    let unpacked: Vec<String> = layers.iter().map(|layer| layer.packed.unpacked.clone()).collect();
    let broken = |error: serde_json::Error| Error::engine(what, error);
    let configuration = Text::new(image.document(&unpacked).map_err(broken)?);
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: configuration.describe(CONFIGURATION),
        layers: layers.iter().map(Layer::describe).collect(),
    });
    let manifest = Text::new(manifest.map_err(broken)?);
    Ok(Blobs { layers, configuration, manifest })
}

impl Layer {
    fn describe(&self) -> Descriptor<'_> {
        Descriptor { media_type: LAYER, digest: &self.packed.digest, size: self.packed.size }
    }
}

async fn pack(shared: &Shared, layer: PathBuf) -> io::Result<Layer> {
    let scratch = shared.store.scratch()?;
    let path = scratch.file("layer.tar.gz");
    let file = File::create(&path)?;
    match shared.host.ask_once(&Request::Files(Files::Pack { layer }), &[file.as_fd()]).await? {
        Answer::Packed(packed) => Ok(Layer { path, packed, _scratch: scratch }),
        Answer::Failed(text) => Err(io::Error::other(text)),
        other => Err(super::super::client::unexpected(&other)),
    }
}

/// Writes an image as one archive: an OCI image layout, with what `docker load` reads beside it.
pub(crate) async fn export(shared: &Shared, image: &NewImage, to: File) -> Result<()> {
    let what = "export an image";
    let blobs = make(shared, what, image).await?;
    let write = tokio::task::spawn_blocking(move || blobs.write(to)).await;
    write.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed(what))
}

/// What an entry of the archive has in it.
enum Contents<'a> {
    Text(&'a [u8]),
    File(&'a Layer),
}

impl Blobs {
    fn write(&self, to: File) -> io::Result<()> {
        let index = serde_json::to_vec(&Index {
            schema_version: 2,
            media_type: INDEX,
            manifests: [self.manifest.describe(MANIFEST)],
        })?;
        let saved = serde_json::to_vec(&[Saved {
            config: entry_name(&self.configuration.digest),
            repo_tags: None,
            layers: self.layers.iter().map(|layer| entry_name(&layer.packed.digest)).collect(),
        }])?;
        // By name, so that equal images are equal archives; and two layers may be the same.
        let mut entries = BTreeMap::from([
            ("index.json".to_owned(), Contents::Text(&index)),
            ("manifest.json".to_owned(), Contents::Text(&saved)),
            ("oci-layout".to_owned(), Contents::Text(br#"{"imageLayoutVersion":"1.0.0"}"#)),
        ]);
        for document in [&self.configuration, &self.manifest] {
            entries.insert(entry_name(&document.digest), Contents::Text(&document.text));
        }
        for layer in &self.layers {
            entries.insert(entry_name(&layer.packed.digest), Contents::File(layer));
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

fn entry_name(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
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
