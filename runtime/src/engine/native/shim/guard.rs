//! Whether the bridges are guarded, so that no container can send in another's name.

use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use rustix::thread::CapabilitySet;

use super::error::{Context as _, ShimError};
use super::ports;
use crate::engine::native::wire::{self, Answer};

const NO_GUARD: &str = "a filter of who says what on a bridge (nf_tables_bridge)";

/// Whether the bridges are guarded, or why not: found by the shim, and inherited by all its children.
static IS_GUARDED: OnceLock<Result<(), String>> = OnceLock::new();

/// Closes all ports of the bridges, if the kernel has the filter.
pub(super) fn set_up() {
    let closed = ports::close().context(NO_GUARD).map_err(|fault| fault.to_string());
    let _ = IS_GUARDED.set(closed);
}

pub(super) fn check() -> Result<(), ShimError> {
    let guarded = IS_GUARDED.get().cloned();
    guarded.unwrap_or_else(|| Err(NO_GUARD.to_owned())).map_err(ShimError::new)
}

/// Without the guard, containers may not send raw packets, as forged ones would not be noticed.
pub(super) fn permitted(rights: CapabilitySet) -> CapabilitySet {
    if check().is_ok() { rights } else { rights.difference(CapabilitySet::NET_RAW) }
}

/// Reports whether the bridges are guarded.
pub(super) fn tell(answers: &UnixStream) -> Result<(), ShimError> {
    check()?;
    wire::say(answers, &Answer::Done).context("the pipeline")
}
