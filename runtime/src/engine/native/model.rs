//! What the store, the host and what they say to each other all speak of.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::ContentDigest;

/// A file system: layers, the lowest first, and where changes go. All are paths in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) layers: Vec<PathBuf>,
    /// The directories of an overlay. Read-only without.
    pub(super) changes: Option<Changes>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Changes {
    pub(super) upper: PathBuf,
    pub(super) work: PathBuf,
}

/// A layer's archive, as images speak of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Packed {
    /// Of the archive before it was compressed.
    pub(super) unpacked: ContentDigest,
    pub(super) digest: ContentDigest,
    /// In bytes, compressed.
    pub(super) size: u64,
}

/// What is to be removed: all that is not in use where neither is said.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// What nobody has used for as long.
    pub(crate) unused_for: Option<Duration>,
    /// As much as it takes for this many bytes to be left, what was used last longest.
    pub(crate) down_to: Option<u64>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// Results of steps, and images.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// What is left.
    pub(crate) left: u64,
}
