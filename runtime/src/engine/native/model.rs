//! Data that the store, the shim and their messages share.

use std::path::PathBuf;

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
