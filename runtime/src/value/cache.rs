//! Volumes that outlive a run.

use std::hash::{Hash, Hasher};

use crate::model::Location;

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
    at: Location,
}

/// Equal by key: the place where a volume is written does not matter.
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
        Self { key: key.into(), at: Location::caller() }
    }

    /// Like `new`, but located where this is called: `pipeline!` gives its item's location.
    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    pub fn written_here(self) -> Self {
        Self { at: Location::caller(), ..self }
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
