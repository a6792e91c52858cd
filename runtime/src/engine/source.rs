//! Places on this machine that an engine can take images from.

use futures_util::stream::BoxStream;

use super::Call;
use crate::Result;
use crate::model::{ContentDigest, ImageName};

/// A source of images, such as another engine's store. Whoever opens an engine provides it.
pub(super) trait ImageSource: Send + Sync {
    /// Finds an image by name. The error says that the source does not answer
    /// ([`Error::EngineUnreachable`](crate::Error::EngineUnreachable)), or that it does not have the image.
    fn find<'a>(&'a self, name: &'a ImageName) -> Call<'a, FoundImage>;
}

/// An image that a source has.
pub(super) struct FoundImage {
    /// The image's id in the source: the digest of its configuration, or of its manifest.
    pub(super) id: ContentDigest,
    /// The digest that the source took it from a registry by.
    pub(super) digest: Option<ContentDigest>,
    /// The whole image, in the format of `docker save`. Nothing is sent before it is read.
    pub(super) archive: BoxStream<'static, Result<Vec<u8>>>,
}
