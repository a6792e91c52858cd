//! Images by name: found in the engine, or pulled into it.

use std::sync::Arc;

use super::facts::{image, noted_digest};
use super::wanted::Wanted;
use super::{Shared, load, pull};
use crate::Result;
use crate::engine::{Image, Progress};
use crate::model::ImageName;

/// Finds an image, pulling it if it is absent.
pub(super) async fn resolve(shared: &Arc<Shared>, name: &ImageName, progress: &Progress) -> Result<Image> {
    if let Some(file) = name.file() {
        return load::load(shared, name, &file, progress).await;
    }
    let wanted = Wanted::new(shared, name);
    if name.platform.is_some() {
        shared.uses(&wanted.aside());
    }
    let found = match wanted.present(&shared.client).await? {
        Some(found) => found,
        None => pull::pull(shared, wanted, progress).await?,
    };
    Ok(Image { digest: noted_digest(&found, &name.reference), ..image(shared, &found)? })
}
