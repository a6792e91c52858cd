//! Volumes that outlive a run.

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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheVolume {
    key: String,
}

impl CacheVolume {
    /// The volume of this key; it is made when it is first mounted, with what the container has there.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into() }
    }

    /// The key it is kept under.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}
