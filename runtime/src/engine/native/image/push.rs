//! Images pushed to registries (OCI distribution specification, "push"): what is missing there, several blobs at once,
//! streamed from files.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use oci_client::RegistryOperation;
use oci_client::errors::OciDistributionError as Refusal;
use tokio::time::Instant;

use super::blobs::{self, Blobs, Layer, Text};
use super::remote::Remote;
use super::{AT_ONCE, Shared, failed, parts, routes};
use crate::engine::{NewImage, Progress};
use crate::graph::ImageName;
use crate::{Error, Result};

/// At most this often is progress told.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// A registry that takes nothing and says nothing for as long is given up. To put a large blob where it belongs takes
/// some a while.
const SILENCE: Duration = Duration::from_mins(2);
/// What is read of a file at once.
const PIECE: usize = 1 << 18;

/// Makes an image and pushes it; gives the digest of its manifest.
pub(super) async fn push(
    shared: &Shared,
    image: &NewImage,
    name: &ImageName,
    progress: &Progress,
) -> Result<String> {
    let (registry, rest) = parts(name);
    let host = routes::own(registry)?;
    let remote = Remote::new("push", &host, rest, None).await?;
    let push = Push { name, remote, done: Arc::default(), total: AtomicU64::new(0) };
    progress(&format!("packing {name}"));
    let blobs = blobs::make(shared, &format!("push `{name}`"), image).await?;
    push.run(&blobs, progress).await
}

/// One image, to one registry.
struct Push<'a> {
    name: &'a ImageName,
    remote: Remote,
    /// Bytes of layers, so far and in all.
    done: Arc<AtomicU64>,
    total: AtomicU64,
}

impl Push<'_> {
    async fn run(&self, blobs: &Blobs, progress: &Progress) -> Result<String> {
        progress(&format!("pushing {}", self.name));
        let mut sending = std::pin::pin!(self.send(blobs));
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.tick().await;
        let (mut before, mut since) = (0, Instant::now());
        loop {
            tokio::select! {
                digest = &mut sending => return digest,
                _ = ticks.tick() => {}
            }
            let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
            if done != before {
                (before, since) = (done, Instant::now());
                let [done, total] = [done, total].map(|bytes| bytes.div_ceil(1_000_000));
                progress(&format!("pushing {}: {done} of {total} MB", self.name));
            } else if since.elapsed() > SILENCE {
                let message = format!("the registry says nothing for {} s", SILENCE.as_secs());
                return Err(Error::engine(format!("push `{}`", self.name), message));
            }
        }
    }

    /// The manifest goes last: what it names has to be there.
    async fn send(&self, blobs: &Blobs) -> Result<String> {
        let Remote { client, reference, auth, .. } = &self.remote;
        let operation = RegistryOperation::Push;
        client.auth(reference, auth, operation).await.map_err(|error| self.refusal(&error))?;
        let layers: Vec<_> = blobs.layers.iter().map(|layer| self.layer(layer).boxed()).collect();
        stream::iter(layers).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.configuration(&blobs.configuration).await?;
        let text = blobs.manifest.text.clone();
        let kind = blobs::MANIFEST.parse().map_err(|error| Error::engine("push a manifest", error))?;
        let pushed = client.push_manifest_raw(reference, text, kind).await;
        pushed.map_err(|error| self.refusal(&error))?;
        Ok(blobs.manifest.digest.clone())
    }

    async fn has(&self, digest: &str) -> Result<bool> {
        let found = self.remote.client.blob_exists(&self.remote.reference, digest).await;
        found.map_err(|error| self.refusal(&error))
    }

    async fn layer(&self, layer: &Layer) -> Result<()> {
        if self.has(&layer.packed.digest).await? {
            return Ok(());
        }
        self.total.fetch_add(layer.packed.size, Ordering::Relaxed);
        let file = File::open(&layer.path).map_err(failed(format!("push `{}`", self.name)))?;
        let pieces = pieces(file, Arc::clone(&self.done));
        let (digest, size) = (&layer.packed.digest, Some(layer.packed.size));
        let Remote { client, reference, .. } = &self.remote;
        let sent = client.push_blob_stream(reference, pieces, digest, size).await;
        sent.map(drop).map_err(|error| self.refusal(&error))
    }

    async fn configuration(&self, configuration: &Text) -> Result<()> {
        if self.has(&configuration.digest).await? {
            return Ok(());
        }
        let Remote { client, reference, .. } = &self.remote;
        let sent = client.push_blob(reference, configuration.text.clone(), &configuration.digest).await;
        sent.map(drop).map_err(|error| self.refusal(&error))
    }

    fn refusal(&self, error: &Refusal) -> Error {
        self.remote.refusal(&self.name.reference, error)
    }
}

/// A file as a stream, counted.
fn pieces(file: File, done: Arc<AtomicU64>) -> impl Stream<Item = Result<Bytes, Refusal>> + Send + 'static {
    stream::try_unfold((file, done), |(mut file, done)| async move {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece)?;
        piece.truncate(length);
        done.fetch_add(length as u64, Ordering::Relaxed);
        Ok((length > 0).then(|| (Bytes::from(piece), (file, done))))
    })
}
