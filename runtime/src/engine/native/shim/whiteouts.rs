//! Whiteouts: how a layer marks what it deletes; by names in an archive, by overlayfs's own means on disk.

use super::user;
pub(super) use crate::paths::WHITEOUT;

/// The name of the marker in an opaque directory, which hides everything below it.
pub(super) const OPAQUE: &str = ".wh..wh..opq";

/// The attribute of an opaque directory.
pub(super) fn opaque() -> &'static str {
    if user::is_entered() { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

/// Whether an attribute belongs to overlayfs.
pub(super) fn is_overlays(name: &str) -> bool {
    ["trusted.overlay.", "user.overlay."].iter().any(|start| name.starts_with(start))
}
