//! Images out of registries (OCI distribution specification): several layers at once, each verified on arrival, and gone
//! on with where an earlier download broke off, whichever process it was of.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use oci_client::client::{AsLayerDescriptor, BlobResponse, LayerDescriptor};
use oci_client::errors::OciDistributionError as Refusal;
use sha2::Digest as _;

use super::super::store::lock;
use super::remote::{Remote, is_absence};
use super::routes::Host;
use super::{AT_ONCE, Shared, StoredImage, StoredReference, failed, remember, unpack};
use crate::engine::oci::{Configuration, Descriptor, Document, Manifest};
use crate::engine::{Image, Progress};
use crate::error::with_causes;
use crate::graph::ImageName;
use crate::{Digest, Error, Result};

/// At most this often is progress told.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// A registry that says nothing for as long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// As often is a download gone on with that brings nothing more.
const TRIES: u32 = 5;

const DOCUMENTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Pulls an image; `rest` is what follows the registry in its reference.
pub(super) async fn pull(
    shared: &Shared,
    name: &ImageName,
    host: &Host,
    rest: &str,
    progress: &Progress,
) -> Result<Image> {
    Pull::new(shared, name, host, rest).await?.run(progress).await
}

/// One image, of one registry.
struct Pull<'a> {
    shared: &'a Shared,
    name: &'a ImageName,
    remote: Remote,
    /// Bytes of this image's layers, so far and in all.
    done: AtomicU64,
    total: AtomicU64,
}

impl<'a> Pull<'a> {
    async fn new(shared: &'a Shared, name: &'a ImageName, host: &Host, rest: &str) -> Result<Self> {
        let remote = Remote::new("pull", host, rest, Some(SILENCE)).await?;
        let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { shared, name, remote, done, total })
    }

    async fn run(&self, progress: &Progress) -> Result<Image> {
        progress(&format!("pulling {}", self.name));
        let mut fetching = std::pin::pin!(self.fetch());
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.tick().await;
        loop {
            tokio::select! {
                image = &mut fetching => return image,
                _ = ticks.tick() => {
                    let megabytes = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed).div_ceil(1_000_000);
                    if let total @ 1.. = megabytes(&self.total) {
                        progress(&format!("pulling {}: {} of {total} MB", self.name, megabytes(&self.done)));
                    }
                }
            }
        }
    }

    async fn fetch(&self) -> Result<Image> {
        let what = format!("pull `{}`", self.name);
        let broken = |message: String| Error::engine(&what, message);
        let manifest = self.manifest().await?;
        let document = self.document(&manifest.config).await?;
        let configuration = Configuration::parse(&document).map_err(broken)?;
        let digests = configuration.layers().map_err(broken)?;
        if digests.len() != manifest.layers.len() {
            return Err(broken("its configuration is of another image".to_owned()));
        }
        let config = configuration.config();
        let id = manifest.config.digest().map_err(broken)?.to_string();
        let stored = if let Some(stored) = self.shared.store.image(&id) {
            stored
        } else {
            self.shared.ready().await?;
            let wanted = manifest.layers.iter().zip(&digests);
            let missing = wanted.clone().filter(|(_, digest)| !self.shared.store.layer(digest).1);
            self.total.store(missing.map(|(layer, _)| layer.size).sum(), Ordering::Relaxed);
            let layers: Vec<_> = wanted.map(|(layer, digest)| self.layer(layer, digest).boxed()).collect();
            let layers = stream::iter(layers).buffered(AT_ONCE).try_collect().await?;
            let stored = StoredImage { layers };
            self.shared.store.keep_image(&id, &stored).map_err(failed(what))?;
            stored
        };
        let platform = configuration.platform.or(&self.shared.platform);
        let found = StoredReference { id: format!("sha256:{id}"), config, platform };
        remember(self.shared, self.name, found, &stored)
    }

    /// The manifest for the platform, by way of an index where there is one.
    async fn manifest(&self) -> Result<Manifest> {
        let mut reference = self.remote.reference.clone();
        let broken = |message: String| Error::engine(format!("pull `{}`", self.name), message);
        for _ in 0..4 {
            let pulled =
                self.remote.client.pull_manifest_raw(&reference, &self.remote.auth, &DOCUMENTS).await;
            let (text, _) = pulled.map_err(|error| self.refusal(&error))?;
            if let Some(wanted) = reference.digest() {
                check(wanted, &text).map_err(broken)?;
            }
            match Document::parse(&text).map_err(broken)? {
                Document::Manifest(manifest) => return Ok(manifest),
                Document::Index(index) => {
                    let asked = self.name.platform.as_deref();
                    let own = &self.shared.platform;
                    let chosen = index.choose(asked, own).map_err(|found| Error::PlatformNotFound {
                        reference: self.name.reference.to_string(),
                        platform: asked.unwrap_or(own).to_owned(),
                        found,
                        message: String::new(),
                    })?;
                    reference = reference.clone_with_digest(chosen.digest.clone());
                }
            }
        }
        Err(broken("its indexes lead to indexes only".to_owned()))
    }

    /// A small blob.
    async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let pulled = self.remote.client.pull_blob(&self.remote.reference, Blob(descriptor), &mut text).await;
        pulled.map_err(|error| self.refusal(&error))?;
        check(&descriptor.digest, &text)
            .map_err(|error| Error::engine(format!("pull `{}`", self.name), error))?;
        Ok(text)
    }

    /// The name of a layer, which is fetched and unpacked where it is not there.
    async fn layer(&self, descriptor: &Descriptor, digest: &Digest) -> Result<String> {
        let what = || format!("pull `{}`", self.name);
        let store = &self.shared.store;
        let blob = descriptor.digest().map_err(|error| Error::engine(what(), error))?;
        let path = store.download(&blob);
        let (name, mut is_there) = store.layer(digest);
        if !is_there {
            // Whoever else fetches it, in this process or another, is waited for.
            let download = Download::open(path.clone()).await.map_err(failed(what()))?;
            is_there = store.layer(digest).1;
            if !is_there {
                self.download(download, descriptor, &blob, digest).await?;
            }
            let _ = std::fs::remove_file(path);
        }
        if is_there {
            self.done.fetch_add(descriptor.size, Ordering::Relaxed);
        }
        Ok(name)
    }

    async fn download(
        &self,
        mut download: Download,
        descriptor: &Descriptor,
        blob: &Digest,
        digest: &Digest,
    ) -> Result<()> {
        let what = || format!("pull `{}`", self.name);
        if download.length > descriptor.size {
            download.begin_anew().map_err(failed(what()))?;
        }
        self.done.fetch_add(download.length, Ordering::Relaxed);
        let mut tries = 0;
        while download.length < descriptor.size {
            let before = download.length;
            let result = self.go_on(&mut download, descriptor).await;
            tries = if download.length > before { 0 } else { tries + 1 };
            match result {
                Ok(()) if download.length >= descriptor.size => break,
                Err(Stop::Here(error)) => return Err(error),
                Err(Stop::Perhaps(error)) if tries >= TRIES => return Err(error),
                Ok(()) if tries >= TRIES => {
                    return Err(Error::engine(what(), format!("the registry sends no more of {blob}")));
                }
                _ => tokio::time::sleep(Duration::from_millis(100 << tries.min(5))).await,
            }
        }
        let found = Digest(download.hash.clone().finalize().into());
        if found != *blob {
            // Not to be gone on with.
            let _ = download.file.set_len(0);
            let message = format!("the registry sent something else: sha256:{blob} is sha256:{found}");
            return Err(Error::engine(what(), message));
        }
        download.file.rewind().map_err(failed(what()))?;
        unpack(self.shared, &download.file, download.length, digest).await.map_err(failed(what()))
    }

    /// Fetches what is missing, until the end or until the connection breaks.
    async fn go_on(&self, download: &mut Download, descriptor: &Descriptor) -> std::result::Result<(), Stop> {
        let what = || format!("pull `{}`", self.name);
        let from = download.length;
        let answer = self
            .remote
            .client
            .pull_blob_stream_partial(&self.remote.reference, Blob(descriptor), from, None)
            .await;
        let mut pieces = match answer {
            Ok(BlobResponse::Partial(pieces)) => pieces,
            Ok(BlobResponse::Full(pieces)) => {
                // A registry that knows no ranges begins anew.
                self.done.fetch_sub(from, Ordering::Relaxed);
                download.begin_anew().map_err(|error| Stop::Here(failed(what())(error)))?;
                pieces
            }
            Err(error @ Refusal::RequestError(_)) => return Err(Stop::Perhaps(self.refusal(&error))),
            Err(error) => return Err(Stop::Here(self.refusal(&error))),
        };
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| Stop::Perhaps(failed(what())(error)))?;
            download.add(&piece).map_err(|error| Stop::Here(failed(what())(error)))?;
            self.done.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if download.length > descriptor.size {
                let _ = download.file.set_len(0);
                let message = format!("the registry sends more of {} than there is", descriptor.digest);
                return Err(Stop::Here(Error::engine(what(), message)));
            }
        }
        Ok(())
    }

    fn refusal(&self, error: &Refusal) -> Error {
        if is_absence(error) {
            let reference = self.name.reference.to_string();
            return Error::ImageNotFound { reference, message: with_causes(error) };
        }
        self.remote.refusal(&self.name.reference, error)
    }
}

/// Why a download stops.
enum Stop {
    /// It may go on later.
    Perhaps(Error),
    Here(Error),
}

/// A file that grows, locked.
struct Download {
    file: File,
    length: u64,
    hash: sha2::Sha256,
}

impl Download {
    async fn open(path: PathBuf) -> io::Result<Self> {
        let open = tokio::task::spawn_blocking(move || Self::open_now(&path));
        open.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn open_now(path: &Path) -> io::Result<Self> {
        let mut file = lock::open(path)?;
        let mut hash = sha2::Sha256::new();
        let mut length = 0;
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(Self { file, length, hash }),
                read => {
                    hash.update(piece.get(..read).unwrap_or_default());
                    length += read as u64;
                }
            }
        }
    }

    fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hash.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.hash = sha2::Sha256::new();
        self.length = 0;
        Ok(())
    }
}

/// Of these only what it is counts, and never another address that a manifest has for it.
struct Blob<'a>(&'a Descriptor);

impl AsLayerDescriptor for Blob<'_> {
    fn as_layer_descriptor(&self) -> LayerDescriptor<'_> {
        LayerDescriptor { digest: &self.0.digest, urls: &None }
    }
}

fn check(wanted: &str, text: &[u8]) -> std::result::Result<(), String> {
    let found = format!("sha256:{}", Digest(sha2::Sha256::digest(text).into()));
    if found == wanted {
        Ok(())
    } else {
        Err(format!("the registry sent something else: {wanted} is {found}"))
    }
}
