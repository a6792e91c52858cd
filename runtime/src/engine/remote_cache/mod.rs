//! Results of steps on other machines: in a directory, which whoever runs the pipeline carries from one machine to the next,
//! or in a repository of a registry.
//!
//! A result is an artifact of the OCI image specification: a manifest, whose configuration is what is known of the result
//! ([`entry`]), and whose blobs are what it wrote and the layers of its files. Blobs have their digests for names, so each
//! is sent once, however many results have it. The manifest has the result's key for a name and is sent last, so what
//! is found is complete. Nothing that comes back is trusted to be what it was: whatever is missing, truncated or altered
//! is as good as not there.

mod directory;
mod entry;
mod place;
#[cfg(feature = "registry")]
mod repository;

use std::fs::File;
use std::sync::atomic::AtomicU64;

use futures_util::future::{BoxFuture, try_join};

pub(crate) use self::entry::{Entry, Facts};
pub(crate) use self::place::Place;
use super::oci::{Descriptor, Packed};
use super::{Call, Recording, Written};
use crate::model::Digest;
use crate::{Error, Result};

/// Why something could not be read.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// It is not what it was, or not all of it is there; in words.
    Damaged(String),
    /// The place cannot be read.
    Unreadable(Error),
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Damaged(why) => Error::engine("read a result", why),
            Trouble::Unreadable(error) => error,
        }
    }
}

/// The result of reading.
type Reading<'a, T> = BoxFuture<'a, std::result::Result<T, Trouble>>;

/// A place that has blobs by their digests, and manifests by keys.
trait Storage: Send + Sync {
    /// The manifest under a key.
    fn manifest<'a>(&'a self, key: &'a Digest) -> Reading<'a, Option<Vec<u8>>>;

    /// Puts a manifest under a key, in the place of another one.
    fn put_manifest<'a>(&'a self, key: &'a Digest, text: &'a [u8]) -> Call<'a, ()>;

    /// A blob that was verified, at its beginning; `done` counts the bytes that have arrived.
    fn blob<'a>(&'a self, blob: &'a Descriptor, done: &'a AtomicU64) -> Reading<'a, File>;

    fn has<'a>(&'a self, blob: &'a Descriptor) -> Call<'a, bool>;

    fn put<'a>(&'a self, blob: &'a Descriptor, contents: Written) -> Call<'a, ()>;
}

/// A cache elsewhere.
pub(crate) struct RemoteCache {
    place: Place,
    storage: Box<dyn Storage>,
}

impl RemoteCache {
    /// Does no I/O.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a place that this build cannot reach.
    #[cfg_attr(
        feature = "registry",
        expect(clippy::unnecessary_wraps, reason = "without the feature it may fail")
    )]
    pub(crate) fn new(place: &Place) -> Result<Self> {
        let storage: Box<dyn Storage> = match place {
            Place::Directory(path) => Box::new(directory::Directory::new(path.clone())),
            #[cfg(feature = "registry")]
            Place::Repository(name) => Box::new(repository::Repository::new(name.clone())),
            #[cfg(not(feature = "registry"))]
            Place::Repository(_) => return Err(place::without_registries(place)),
        };
        Ok(Self { place: place.clone(), storage })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The result under a key.
    pub(crate) async fn find(&self, key: &Digest) -> std::result::Result<Option<Entry>, Trouble> {
        let Some(text) = self.storage.manifest(key).await? else { return Ok(None) };
        let manifest = entry::manifest(&text)?;
        let facts = match manifest.config.data() {
            Some(facts) => facts,
            None => self.small(&manifest.config).await?,
        };
        Entry::read(&facts, manifest.layers, key).map(Some)
    }

    /// A blob in memory, which must be no larger than a document.
    async fn small(&self, blob: &Descriptor) -> std::result::Result<Vec<u8>, Trouble> {
        if blob.size > crate::regular::DOCUMENT_AT_MOST {
            return Err(Trouble::Damaged("what is said of it is larger than any such document".to_owned()));
        }
        let mut contents = Vec::new();
        let mut file = self.storage.blob(blob, &AtomicU64::new(0)).await?;
        std::io::Read::read_to_end(&mut file, &mut contents)
            .map_err(|error| Trouble::Damaged(error.to_string()))?;
        Ok(contents)
    }

    /// What the step wrote.
    pub(crate) async fn output(&self, entry: &Entry) -> std::result::Result<Recording, Trouble> {
        let stream = |stream: Option<Descriptor>| async move {
            let Some(blob) = stream else { return Ok(Written::default()) };
            if let Some(bytes) = blob.data() {
                return Ok(bytes.into());
            }
            let file = self.storage.blob(&blob, &AtomicU64::new(0)).await?;
            Ok(Written::whole(file, blob.size))
        };
        let (stdout, stderr) = try_join(stream(entry.stdout()), stream(entry.stderr())).await?;
        Ok(Recording { stdout, stderr, exit_code: entry.facts.exit_code })
    }

    /// Puts a result here, whose layers are here already. What seems to be here is written again if `is_anew`.
    pub(crate) async fn write(&self, facts: Facts, output: &Recording, is_anew: bool) -> Result<()> {
        let key = facts.key;
        let made = Entry::make(facts, output).await?;
        for (blob, contents) in made.blobs {
            if is_anew || !self.storage.has(&blob).await? {
                self.storage.put(&blob, contents).await?;
            }
        }
        self.storage.put_manifest(&key, &made.manifest).await
    }

    /// A layer's archive, at its beginning. `done` counts the bytes that have arrived.
    pub(crate) async fn layer(&self, layer: &Packed, done: &AtomicU64) -> std::result::Result<File, Trouble> {
        self.storage.blob(&layer.describe(), done).await
    }

    pub(crate) async fn has(&self, layer: &Packed) -> Result<bool> {
        self.storage.has(&layer.describe()).await
    }

    /// Takes a layer's archive, from where the file is.
    pub(crate) async fn put(&self, layer: &Packed, archive: File) -> Result<()> {
        self.storage.put(&layer.describe(), Written::whole(archive, layer.size)).await
    }
}
