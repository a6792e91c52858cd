//! Pushing images to registries (OCI distribution specification, "push"): only missing blobs, several at once, streamed
//! from files. A layer that was pushed before is not even packed, if the registry still has it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::blobs::{self, Documents, Layer, Packing, Text};
use super::{AT_ONCE, Shared, failed, parts};
use crate::engine::native::store::layers;
use crate::engine::oci::{self, Packed};
use crate::engine::registry::{self, Doing, Refusal, Remote, upload};
use crate::engine::{ImageSpec, Progress};
use crate::event::{EventKind, Verb};
use crate::model::{ContentDigest, ImageName};
use crate::{Error, Result};

/// The shortest interval between two progress events.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Makes an image and pushes it; returns the digest of its manifest.
pub(super) async fn push(
    shared: &Shared,
    image: &ImageSpec,
    name: &ImageName,
    progress: &Progress,
) -> Result<String> {
    let (host, rest) = parts(name);
    let endpoint = registry::own(host)?;
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
        let mut before = None;
        loop {
            tokio::select! {
                digest = &mut sending => return digest,
                _ = ticks.tick() => {}
            }
            let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
            let packed = self.packing.growing();
            let now = Some((packed, done));
            if now != before {
                before = now;
                tell(packed, done, total, progress);
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
        match self.remote.put_manifest(self.remote.reference(), &manifest.text, oci::MANIFEST).await {
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
        match upload(&self.remote, digest, *size, file, Arc::clone(&self.done)).await {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.refusal(&refusal).await),
        }
    }

    async fn configuration(&self, configuration: &Text) -> Result<()> {
        let Text { text, digest } = configuration;
        if self.has(digest).await? {
            return Ok(());
        }
        let (from, size) = (std::io::Cursor::new(text.clone()), text.len() as u64);
        match upload(&self.remote, digest, size, from, Arc::default()).await {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.refusal(&refusal).await),
        }
    }

    async fn refusal(&self, refusal: &Refusal) -> Error {
        self.remote.refusal(&self.name.reference, refusal).await
    }
}
