//! The messages between a pipeline and its watchdog.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::connection::Connection;
use super::super::spares::Spares;

/// The first message to the watchdog, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Post {
    pub(super) connection: Connection,
    pub(super) session: String,
    /// Where that the session has a network of an earlier one is noted.
    pub(super) spares: Option<Spares>,
    /// The pipeline's process number, for the log.
    pub(super) pipeline: u32,
    pub(super) log: Option<PathBuf>,
}

/// Later messages, one a line.
pub(super) const DONE: &str = "done";
pub(super) const HAND_OVER: &str = "hand over";

/// The watchdog's only answer, to [`HAND_OVER`].
pub(super) const TAKEN: u8 = b'!';
