//! Where an engine takes images from that are elsewhere on this machine already.

use futures_util::stream::BoxStream;

use super::Call;
use crate::Result;
use crate::model::{ContentDigest, ImageName};

/// A place that has images, such as another engine's store. Whoever opens an engine hands it over.
pub(super) trait ImageSource: Send + Sync {
    /// Finds an image by its name. An error says that nothing answers there
    /// ([`Error::EngineUnreachable`](crate::Error::EngineUnreachable)), or that it does not have the image.
    fn find<'a>(&'a self, name: &'a ImageName) -> Call<'a, FoundImage>;
}

/// An image that is there.
pub(super) struct FoundImage {
    /// What the source says that it is: the digest of its configuration, or of its manifest.
    pub(super) id: ContentDigest,
    /// All of it, as `docker save` writes it. Nothing is sent before it is read.
    pub(super) archive: BoxStream<'static, Result<Vec<u8>>>,
}
