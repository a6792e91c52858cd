//! Volumes that outlive a run.

use std::hash::{Hash, Hasher};

use crate::model::Location;

/// A volume that keeps its contents from run to run, under a key: package caches, a database's files.
///
/// Its contents are never part of an identity: two runs with different contents are the same to the cache.
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

/// By their keys: where they are written does not matter to them.
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
    /// The volume of this key; it is made when it is first mounted, with what the container has there.
    #[track_caller]
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), at: Location::caller() }
    }

    /// The same, written where this is called: what `pipeline!` says of its item.
    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    pub fn written_here(self) -> Self {
        Self { at: Location::caller(), ..self }
    }

    /// The key it is kept under.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn location(&self) -> Location {
        self.at
    }
}
