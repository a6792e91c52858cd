//! The mount options of an overlay.

use std::fmt::Write as _;
use std::path::Path;

use super::super::user;
use crate::engine::native::model::Changes;

/// Paths are relative to the store, which is the working directory: one page has to hold all of them.
pub(super) fn options(lower: &[&Path], changes: Option<&Changes>) -> String {
    let names: Vec<String> = lower.iter().map(|layer| layer.display().to_string()).collect();
    // Other settings leave marks in layers that mean nothing once layers are merged; an image could contain such marks,
    // too.
    let mut options = format!("redirect_dir=nofollow,metacopy=off,index=off,lowerdir={}", names.join(":"));
    if user::is_entered() {
        // Other attributes need root on the machine.
        options.push_str(",userxattr");
    }
    if let Some(Changes { upper, work, .. }) = changes {
        // Volatile: a layer is synced when it is stored, and other changes never have to be.
        let _ = write!(options, ",upperdir={},workdir={},volatile", upper.display(), work.display());
    }
    options
}
