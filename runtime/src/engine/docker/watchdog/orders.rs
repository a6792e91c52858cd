//! What a pipeline and its watchdog say to each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::connection::Connection;

/// What the watchdog is told first, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Post {
    pub(super) connection: Connection,
    pub(super) session: String,
    /// The pipeline's process, for the log.
    pub(super) pipeline: u32,
    pub(super) log: Option<PathBuf>,
}

/// What it may be told later, each a line.
pub(super) const DONE: &str = "done";
pub(super) const HAND_OVER: &str = "hand over";

/// Its only answer, to [`HAND_OVER`].
pub(super) const TAKEN: u8 = b'!';
