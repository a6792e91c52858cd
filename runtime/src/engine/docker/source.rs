//! Images for another engine, out of this one's store.

use futures_util::StreamExt as _;
use tokio::sync::OnceCell;

use super::connect::connect;
use super::facts::{image_id, inspect, noted_digest};
use super::failure;
use super::wanted::Wanted;
use crate::engine::Call;
use crate::engine::source::{FoundImage, ImageSource};
use crate::model::ImageName;
use crate::{Error, Result};

/// The engine that answers, as a source of images; connected to when the first image is wanted.
#[derive(Default)]
pub(crate) struct DockerImages {
    engine: OnceCell<Answering>,
}

struct Answering {
    client: bollard::Docker,
    /// As `os/architecture`.
    platform: String,
}

impl DockerImages {
    /// The source for a socket, without looking for other engines.
    #[cfg(test)]
    pub(crate) fn at(socket: &std::path::Path, platform: &str) -> Self {
        let place = super::transport::Place::Socket(socket.to_owned());
        let client = super::transport::client(place, "", 10, bollard::API_DEFAULT_VERSION).unwrap();
        Self { engine: OnceCell::from(Answering { client, platform: platform.to_owned() }) }
    }
}

impl Answering {
    async fn find() -> Result<Self> {
        let connection = connect().await?;
        let client = connection.client().await.map_err(|error| Error::engine("find images", error))?;
        Ok(Self { client, platform: connection.describe().platform })
    }

    async fn image(&self, name: &ImageName) -> Result<FoundImage> {
        let wanted = Wanted::on(name, &self.platform);
        let Some(found) = wanted.present(&self.client).await? else {
            return Err(match inspect(&self.client, &name.reference).await? {
                Some(found) => wanted.only_for_another(&found, String::new()),
                None => Error::ImageNotFound {
                    reference: name.reference.to_string(),
                    message: "the Docker engine that the native engine takes images from does not have it; \
                              `docker pull` it there"
                        .to_owned(),
                    locations: Vec::new(),
                },
            });
        };
        let id = image_id(found.id.as_deref())?;
        let what = format!("read the image {id}");
        let pieces = self.client.export_image(&id.to_string());
        let archive = pieces.map(move |piece| match piece {
            Ok(piece) => Ok(piece.into()),
            Err(error) => Err(failure::during(what.clone())(error)),
        });
        Ok(FoundImage { id, digest: noted_digest(&found, &name.reference), archive: archive.boxed() })
    }
}

impl ImageSource for DockerImages {
    fn find<'a>(&'a self, name: &'a ImageName) -> Call<'a, FoundImage> {
        Box::pin(async move { self.engine.get_or_try_init(Answering::find).await?.image(name).await })
    }
}
