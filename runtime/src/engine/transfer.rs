//! Results of steps on their way to other machines, and from them: what whoever keeps them elsewhere needs of an engine.

use std::fs::File;

use serde::{Deserialize, Serialize};

use super::oci::Packed;
use super::{Call, Image, Recording};
use crate::model::{ContentDigest, Digest, Provenance, Snapshot};

/// The layers of a file system, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layers {
    /// Those of the image that it began with, by the digests of their uncompressed archives. They are not taken along: the key
    /// of a result is made from its image, so whoever asks for the result has the image.
    pub(crate) image: Vec<ContentDigest>,
    /// Those above them.
    pub(crate) own: Vec<Packed>,
}

/// A place for archives of layers.
pub(crate) trait LayerSink: Send + Sync {
    fn has<'a>(&'a self, layer: &'a Packed) -> Call<'a, bool>;

    /// Takes an archive, from where the file is.
    fn put<'a>(&'a self, layer: &'a Packed, archive: File) -> Call<'a, ()>;
}

/// A place that archives of layers come from.
pub(crate) trait LayerSource: Send + Sync {
    /// An archive, at its beginning. It has its digest; whoever unpacks it compares that with [`Packed::unpacked`].
    fn get<'a>(&'a self, layer: &'a Packed) -> Call<'a, File>;
}

/// A result from another machine.
pub(crate) struct Arrival {
    pub(crate) key: Digest,
    pub(crate) from: Provenance,
    pub(crate) output: Recording,
    /// `None` if they are not needed, or nobody has them.
    pub(crate) files: Option<Layers>,
    /// The image that its file system began with, if it began with one.
    pub(crate) image: Option<Image>,
}

/// Takes results out of an engine's store as layers, and puts them in.
pub(crate) trait ResultTransfer: Send + Sync {
    /// Whether what is sent costs least at the end, the last result first: layers of all steps of a chain are then taken out of
    /// the engine at once.
    fn sends_at_the_end(&self) -> bool {
        false
    }

    /// Puts the layers of a file system where they are not yet, without those of the image that it began with. An archive that
    /// is known to be there is not made again.
    fn send<'a>(
        &'a self,
        files: &'a Snapshot,
        image: Option<&'a Image>,
        to: &'a dyn LayerSink,
    ) -> Call<'a, Layers>;

    /// Stores a result under its key, as if the step had run here. Only layers that the engine lacks are fetched. The error
    /// says what is wrong with it; then nothing is stored.
    fn receive<'a>(&'a self, result: Arrival, from: &'a dyn LayerSource) -> Call<'a, ()>;
}
