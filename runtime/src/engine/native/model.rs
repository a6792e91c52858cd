//! Data that the store, the shim and their messages share.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A file system: layers, the lowest first, and where changes go. All paths are relative to the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) layers: Vec<PathBuf>,
    /// The writable directories of an overlay; read-only without them.
    pub(super) changes: Option<Changes>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Changes {
    pub(super) upper: PathBuf,
    pub(super) work: PathBuf,
}

/// What to remove: everything not in use if neither field is set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// What nobody has used for this long.
    pub(crate) unused_for: Option<Duration>,
    /// The least recently used, until this many bytes are left.
    pub(crate) down_to: Option<u64>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// Step results and images.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// The bytes that are left.
    pub(crate) left: u64,
}
