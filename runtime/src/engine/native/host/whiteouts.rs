//! How a layer says that what is below it is gone: in an archive by names, on disk by what overlayfs keeps for itself.

use super::user;
pub(super) use crate::paths::WHITEOUT;

/// In a directory of which nothing below is seen.
pub(super) const OPAQUE: &str = ".wh..wh..opq";

/// On a directory of which nothing below is seen.
pub(super) fn opaque() -> &'static str {
    if user::is_entered() { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

/// Whether an attribute is one that overlayfs keeps for itself.
pub(super) fn is_overlays(name: &str) -> bool {
    ["trusted.overlay.", "user.overlay."].iter().any(|start| name.starts_with(start))
}
