//! Volumes that outlive a run.

use std::hash::{Hash, Hasher};

use crate::model::{Location, Sharing};

/// A volume that keeps its contents from run to run under a key: package caches, a database's files.
///
/// The contents are never part of an identity: a step's cached result is found whatever the volume holds.
///
/// ```
/// use bowline::{CacheVolume, Service};
/// let data = CacheVolume::new("redis-data");
/// let redis = Service::from_image("redis:7").mount("/data", &data).expose(6379);
/// # let _ = redis;
/// ```
#[derive(Debug, Clone)]
pub struct CacheVolume {
    key: String,
    sharing: Sharing,
    at: Location,
}

/// Equal by key: where a volume is written does not matter, and neither does how it is shared.
impl PartialEq for CacheVolume {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for CacheVolume {}

impl Hash for CacheVolume {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl CacheVolume {
    /// The volume with this key. It is created when it is first mounted, with what the container has at that path.
    #[track_caller]
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), sharing: Sharing::Shared, at: Location::caller() }
    }

    /// Like `new`, but located where this is called: `pipeline!` gives its item's location.
    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    pub fn written_here(self) -> Self {
        Self { at: Location::caller(), ..self }
    }

    /// One at a time: a step that mounts it waits until no other that mounts it `locked`, and no service, of this or
    /// another process, uses a volume with this key; then it holds the volume until its process has ended. A service holds
    /// it as long as it runs. For tools that break if two of them work in one directory.
    ///
    /// Whoever mounts the same key without `locked` does not wait. Of several locked caches a step waits for one after the
    /// other, in the order of their keys, so that no two steps wait for each other. A step whose own service holds what it
    /// locks could never run: that is an error before anything does.
    ///
    /// ```
    /// use bowline::{CacheVolume, Container};
    /// let apt = CacheVolume::new("apt").locked();
    /// let tools = Container::from_image("debian:12")
    ///     .mount("/var/cache/apt", &apt)
    ///     .exec(["apt-get", "update"]);
    /// # let _ = tools;
    /// ```
    #[must_use]
    pub fn locked(self) -> Self {
        Self { sharing: Sharing::Locked, ..self }
    }

    /// Each its own: who mounts it while another uses it has another volume, and nobody waits. The volumes are those with the
    /// keys `KEY`, `KEY.1`, `KEY.2` …: the first that nobody uses is taken, so that what one run leaves, a later one finds.
    /// A service that [processes share](crate::Service::shared) is one user, and has the first.
    ///
    /// ```
    /// use bowline::{CacheVolume, Container};
    /// let target = CacheVolume::new("target").private();
    /// let build = Container::from_image("rust:1.95").mount("/target", &target);
    /// # let _ = build;
    /// ```
    #[must_use]
    pub fn private(self) -> Self {
        Self { sharing: Sharing::Private, ..self }
    }

    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// The key that the volume is kept under.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn location(&self) -> Location {
        self.at
    }
}
