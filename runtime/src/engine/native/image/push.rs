//! Pushing images to registries (OCI distribution specification, "push"): only missing blobs, several at once, streamed
//! from files. A layer that was pushed before is not even packed, if the registry still has it.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::blobs::{self, Documents, Layer, Packing, Text};
use super::remote::{Doing, Refusal, Remote};
use super::{AT_ONCE, Shared, failed, parts, routes};
use crate::engine::native::model::Packed;
use crate::engine::native::store::layers;
use crate::engine::{ImageSpec, Progress, oci};
use crate::event::{EventKind, Verb};
use crate::model::{ContentDigest, ImageName};
use crate::{Error, Result};

/// The shortest interval between two progress events.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Timeout of a registry that neither reads nor answers. Some take a while to store a large blob.
const SILENCE: Duration = Duration::from_secs(2 * 60);
/// The size of a read.
const PIECE: usize = 1 << 18;

/// Makes an image and pushes it; returns the digest of its manifest.
pub(super) async fn push(
    shared: &Shared,
    image: &ImageSpec,
    name: &ImageName,
    progress: &Progress,
) -> Result<String> {
    let (registry, rest) = parts(name);
    let endpoint = routes::own(registry)?;
    shared.ready().await?;
    let remote = Remote::new(Doing::Push, &endpoint, rest, None).await?;
    let (packing, done, total) = (Packing::default(), Arc::default(), AtomicU64::new(0));
    Push { shared, name, remote, packing, done, total }.run(image, progress).await
}

/// Reports the progress of packing and of sending, which may go on at the same time.
fn tell(packed: Option<u64>, done: u64, total: u64, progress: &Progress) {
    if let Some(packed) = packed {
        progress(EventKind::transfer(Verb::Packing, packed, None));
    }
    if total > 0 || packed.is_none() {
        progress(EventKind::transfer(Verb::Pushing, done, (total > 0).then_some(total)));
    }
}

/// The push of one image to one registry.
struct Push<'a> {
    shared: &'a Shared,
    name: &'a ImageName,
    remote: Remote,
    packing: Packing,
    /// Bytes of layers, so far and in total.
    done: Arc<AtomicU64>,
    total: AtomicU64,
}

impl Push<'_> {
    async fn run(&self, image: &ImageSpec, progress: &Progress) -> Result<String> {
        progress(EventKind::begins(Verb::Pushing));
        let mut sending = std::pin::pin!(self.send(image));
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.tick().await;
        let (mut before, mut since) = (None, Instant::now());
        loop {
            tokio::select! {
                digest = &mut sending => return digest,
                _ = ticks.tick() => {}
            }
            let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
            let packed = self.packing.growing();
            let now = Some((packed, done));
            if now != before {
                (before, since) = (now, Instant::now());
                tell(packed, done, total, progress);
            } else if since.elapsed() > SILENCE {
                let message = format!("the registry says nothing for {} s", SILENCE.as_secs());
                return Err(Error::engine(self.what(), message));
            }
        }
    }

    fn what(&self) -> String {
        format!("push `{}`", self.name)
    }

    /// The manifest goes last: the blobs that it names must exist.
    async fn send(&self, image: &ImageSpec) -> Result<String> {
        let layers: Vec<_> =
            layers(&image.snapshot).into_iter().map(|layer| self.layer(layer).boxed()).collect();
        let layers = stream::iter(layers).buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let Documents { configuration, manifest } = Documents::of(&self.what(), image, &layers)?;
        self.configuration(&configuration).await?;
        match self.remote.put_manifest(&manifest.text, oci::MANIFEST).await {
            Ok(()) => Ok(manifest.digest.to_string()),
            Err(refusal) => Err(self.refusal(&refusal).await),
        }
    }

    async fn has(&self, digest: &ContentDigest) -> Result<bool> {
        match self.remote.has(digest).await {
            Ok(has) => Ok(has),
            Err(refusal) => Err(self.refusal(&refusal).await),
        }
    }

    async fn layer(&self, layer: PathBuf) -> Result<Packed> {
        if let Some(packed) = self.shared.store.packed(&layer)
            && self.has(&packed.digest).await?
        {
            return Ok(packed);
        }
        let layer = blobs::pack(self.shared, layer, &self.packing).await.map_err(failed(self.what()))?;
        if !self.has(&layer.packed.digest).await? {
            self.upload(&layer).await?;
        }
        Ok(layer.packed)
    }

    async fn upload(&self, layer: &Layer) -> Result<()> {
        let Packed { digest, size, .. } = &layer.packed;
        self.total.fetch_add(*size, Ordering::Relaxed);
        let file = File::open(&layer.path).map_err(failed(self.what()))?;
        let body = reqwest::Body::wrap_stream(pieces(file, Arc::clone(&self.done)));
        match self.remote.put_blob(digest, *size, body).await {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.refusal(&refusal).await),
        }
    }

    async fn configuration(&self, configuration: &Text) -> Result<()> {
        let Text { text, digest } = configuration;
        if self.has(digest).await? {
            return Ok(());
        }
        match self.remote.put_blob(digest, text.len() as u64, text.clone().into()).await {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.refusal(&refusal).await),
        }
    }

    async fn refusal(&self, refusal: &Refusal) -> Error {
        self.remote.refusal(&self.name.reference, refusal).await
    }
}

/// A file as a stream that counts its bytes.
fn pieces(file: File, done: Arc<AtomicU64>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, done), |(mut file, done)| async move {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece)?;
        piece.truncate(length);
        done.fetch_add(length as u64, Ordering::Relaxed);
        Ok((length > 0).then(|| (Bytes::from(piece), (file, done))))
    })
}
