//! Images from registries (OCI distribution specification): several layers at once, each verified on arrival. Interrupted
//! downloads are resumed, whichever process they were of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::{AT_ONCE, Shared, StoredImage, failed, remember, unpack};
use crate::engine::oci::{Configuration, Descriptor, Document, Manifest};
use crate::engine::registry::{
    DOWNLOAD_SILENCE, Doing, Download, Endpoint, Refusal, Remote, Said, Trouble, fetch,
};
use crate::engine::{Image, Progress};
use crate::event::{EventKind, Verb};
use crate::model::{ContentDigest, ImageName};
use crate::{Error, Result};

/// The shortest interval between two progress events.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Pulls an image; `rest` is the part of its reference after the registry.
pub(super) async fn pull(
    shared: &Shared,
    name: &ImageName,
    endpoint: &Endpoint,
    rest: &str,
    progress: &Progress,
) -> Result<Image> {
    Pull::new(shared, name, endpoint, rest).await?.run(progress).await
}

/// The pull of one image from one registry.
struct Pull<'a> {
    shared: &'a Shared,
    name: &'a ImageName,
    remote: Remote,
    /// Bytes of this image's layers, so far and in total.
    done: AtomicU64,
    total: AtomicU64,
}

impl<'a> Pull<'a> {
    async fn new(shared: &'a Shared, name: &'a ImageName, endpoint: &Endpoint, rest: &str) -> Result<Self> {
        let remote = Remote::new(Doing::Pull, endpoint, rest, Some(DOWNLOAD_SILENCE)).await?;
        let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { shared, name, remote, done, total })
    }

    async fn run(&self, progress: &Progress) -> Result<Image> {
        progress(EventKind::begins(Verb::Pulling));
        let mut fetching = std::pin::pin!(self.fetch());
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.tick().await;
        loop {
            tokio::select! {
                image = &mut fetching => return image,
                _ = ticks.tick() => {
                    if let total @ 1.. = self.total.load(Ordering::Relaxed) {
                        let done = self.done.load(Ordering::Relaxed);
                        progress(EventKind::transfer(Verb::Pulling, done, Some(total)));
                    }
                }
            }
        }
    }

    async fn fetch(&self) -> Result<Image> {
        let what = format!("pull `{}`", self.name);
        let broken = |message: String| Error::engine(&what, message);
        let (manifest, named) = self.manifest().await?;
        let document = self.document(&manifest.config).await?;
        let configuration = Configuration::parse(&document).map_err(broken)?;
        let digests = configuration.layers().map_err(broken)?;
        if digests.len() != manifest.layers.len() {
            return Err(broken("its configuration is of another image".to_owned()));
        }
        let id = manifest.config.digest;
        let stored = if let Some(stored) = self.shared.store.image(&id) {
            stored
        } else {
            self.shared.ready().await?;
            let wanted = manifest.layers.iter().zip(digests);
            let missing = wanted.clone().filter(|(_, digest)| !self.shared.store.layer(digest.hash()).1);
            self.total.store(missing.map(|(layer, _)| layer.size).sum(), Ordering::Relaxed);
            let layers: Vec<_> = wanted.map(|(layer, digest)| self.layer(layer, digest).boxed()).collect();
            let layers = stream::iter(layers).buffered(AT_ONCE).try_collect().await?;
            let platform = configuration.platform.or(&self.shared.platform);
            let config = configuration.config();
            let unpacked = digests.to_vec();
            let identity = Configuration::identity(&platform, &config, unpacked.clone())?;
            let stored = StoredImage { id, identity, layers, unpacked, config, platform };
            self.shared.store.keep_image(&stored).map_err(failed(what))?;
            stored
        };
        remember(self.shared, self.name, &stored, Some(named))
    }

    /// The manifest for the platform, through an index if there is one, and the digest of what the reference names.
    async fn manifest(&self) -> Result<(Manifest, ContentDigest)> {
        let broken = |message: String| Error::engine(format!("pull `{}`", self.name), message);
        let mut wanted = self.remote.reference().to_owned();
        let mut promised: Option<String> = None;
        let mut named: Option<ContentDigest> = None;
        for _ in 0..4 {
            let Said { text, media_type } = match self.remote.manifest(&wanted).await {
                Ok(said) => said,
                Err(refusal) => return Err(self.refusal(&refusal).await),
            };
            if let Ok(digest) = wanted.parse() {
                check(&digest, &text).map_err(broken)?;
            }
            let named = *named.get_or_insert_with(|| ContentDigest::of(&text));
            let document = Document::parse(&text, media_type.as_deref());
            if let Some(promised) = &promised {
                Document::parse(&text, Some(promised)).map_err(broken)?;
            }
            match document.map_err(broken)? {
                Document::Manifest(manifest) => return Ok((manifest, named)),
                Document::Index(index) => {
                    let asked = self.name.platform.as_deref();
                    let own = &self.shared.platform;
                    let chosen = index.choose(asked, own).map_err(|found| Error::PlatformNotFound {
                        reference: self.name.reference.to_string(),
                        platform: asked.unwrap_or(own).to_owned(),
                        found,
                        message: String::new(),
                        locations: Vec::new(),
                    })?;
                    wanted = chosen.digest.to_string();
                    promised.clone_from(&chosen.media_type);
                }
            }
        }
        Err(broken("its indexes lead to indexes only".to_owned()))
    }

    /// A small blob.
    async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let text = match self.remote.document(&descriptor.digest).await {
            Ok(text) => text,
            Err(refusal) => return Err(self.refusal(&refusal).await),
        };
        check(&descriptor.digest, &text)
            .map_err(|error| Error::engine(format!("pull `{}`", self.name), error))?;
        Ok(text)
    }

    /// The name of a layer, which is fetched and unpacked if the store does not have it.
    async fn layer(&self, descriptor: &Descriptor, digest: &ContentDigest) -> Result<String> {
        let what = || format!("pull `{}`", self.name);
        let store = &self.shared.store;
        let path = store.download(descriptor.digest.hash());
        let (name, mut is_there) = store.layer(digest.hash());
        if !is_there {
            // Waits for any other download of it, in this process or another.
            let download = Download::open(path.clone()).await.map_err(failed(what()))?;
            is_there = store.layer(digest.hash()).1;
            if !is_there {
                self.download(download, descriptor, digest).await?;
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
        digest: &ContentDigest,
    ) -> Result<()> {
        let what = || format!("pull `{}`", self.name);
        match fetch(&self.remote, descriptor, &mut download, &self.done).await {
            Ok(()) => {}
            Err(Trouble::Refused(refusal)) => return Err(self.refusal(&refusal).await),
            Err(Trouble::Wrong(message)) => return Err(Error::engine(what(), message)),
            Err(Trouble::Here(error)) => return Err(failed(what())(error)),
        }
        unpack(self.shared, &download.file, download.length, digest).await.map_err(failed(what()))
    }

    async fn refusal(&self, refusal: &Refusal) -> Error {
        let error = self.remote.refusal(&self.name.reference, refusal).await;
        match error {
            Error::Engine { message, locations, .. } if refusal.is_absence() => {
                Error::ImageNotFound { reference: self.name.reference.to_string(), message, locations }
            }
            other => other,
        }
    }
}

fn check(wanted: &ContentDigest, text: &[u8]) -> std::result::Result<(), String> {
    let found = ContentDigest::of(text);
    if found == *wanted {
        Ok(())
    } else {
        Err(format!("the registry sent something else: {wanted} is {found}"))
    }
}
