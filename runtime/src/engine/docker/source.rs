//! What another engine takes from this one's store: images.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::connect::connect;
use super::facts::{image_id, inspect};
use super::failure;
use super::wanted::Wanted;
use crate::model::ContentDigest;
use crate::model::ImageName;
use crate::{Error, Result};

/// An engine that was found, as a place where images are.
#[derive(Debug)]
pub(crate) struct Source {
    client: bollard::Docker,
    /// As `os/architecture`.
    platform: String,
}

/// An image that is there.
#[derive(Debug)]
pub(crate) struct Found {
    /// What the engine says that it is: the digest of its configuration, or of its manifest.
    pub(crate) id: ContentDigest,
}

impl Source {
    pub(crate) async fn open() -> Result<Self> {
        let connection = connect().await?;
        let client = connection.client().await.map_err(|error| Error::engine("find images", error))?;
        Ok(Self { client, platform: connection.describe().platform })
    }

    /// That of a socket, without asking who is there.
    #[cfg(test)]
    pub(crate) fn at(socket: &std::path::Path, platform: &str) -> Self {
        let client = bollard::Docker::connect_with_socket(
            socket.to_str().unwrap_or_default(),
            10,
            bollard::API_DEFAULT_VERSION,
        );
        Self { client: client.unwrap(), platform: platform.to_owned() }
    }

    pub(crate) async fn find(&self, name: &ImageName) -> Result<Found> {
        let wanted = Wanted::on(name, &self.platform);
        match wanted.present(&self.client).await? {
            Some(found) => Ok(Found { id: image_id(found.id.as_deref())? }),
            None => match inspect(&self.client, &name.reference).await? {
                Some(found) => Err(wanted.only_for_another(&found, String::new())),
                None => Err(Error::ImageNotFound {
                    reference: name.reference.to_string(),
                    message: "the Docker engine that the native engine takes images from does not have it; \
                              `docker pull` it there"
                        .to_owned(),
                }),
            },
        }
    }

    /// As one archive, of the form that `docker save` writes.
    pub(crate) fn export(&self, id: &ContentDigest) -> impl Stream<Item = Result<Bytes>> + use<> {
        let what = format!("read the image {id}");
        let pieces = self.client.export_image(&id.to_string()).boxed();
        pieces.map(move |piece| piece.map_err(failure::during(what.clone())))
    }
}
