//! Small images of our own, put into an engine when they are first needed.
//!
//! They are identified by their contents, not by their names: anybody who may use the engine may give another image such
//! a name, and its contents would then be taken for ours.

use std::collections::HashMap;

use crate::sha256::Sha256;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt as _;
use tokio::sync::Mutex;

use super::failure::{self, BRIEF, during, within};
use crate::{Error, Result};

/// An image of one layer and no configuration.
pub(super) struct Own {
    repository: &'static str,
    /// What is being done, for errors.
    what: &'static str,
    layer: Vec<u8>,
}

impl Own {
    pub(super) fn new(repository: &'static str, what: &'static str, layer: Vec<u8>) -> Self {
        Self { repository, what, layer }
    }

    /// The engine's id of the image, once the engine has it.
    pub(super) async fn ready(self, client: &bollard::Docker) -> Result<String> {
        /// Two concurrent imports would leave an image without a name behind.
        static IMPORTING: Mutex<()> = Mutex::const_new(());

        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&self.layer));
        let tag = &digest[..12];
        let name = format!("{}:{tag}", self.repository);
        let _one = IMPORTING.lock().await;
        match within(BRIEF, client.inspect_image(&name)).await {
            Ok(found) if is(&found, &digest) => return id(found, self.what),
            Ok(_) => {}
            Err(error) if failure::is_absent(&error) => {}
            Err(error) => return Err(during(self.what)(error)),
        }
        let options =
            CreateImageOptionsBuilder::default().from_src("-").repo(self.repository).tag(tag).build();
        let layer = bollard::body_full(self.layer.into());
        let imported = client.create_image(Some(options), Some(layer), None);
        within(BRIEF, imported.try_for_each(|_| async { Ok(()) })).await.map_err(during(self.what))?;
        let made = within(BRIEF, client.inspect_image(&name)).await.map_err(during(self.what))?;
        if !is(&made, &digest) {
            return Err(Error::engine(self.what, format!("the engine has another image as `{name}`")));
        }
        id(made, self.what)
    }
}

/// Whether an image has only this layer, and no configuration that containers of it would get.
fn is(found: &ImageInspect, digest: &str) -> bool {
    let layers = found.root_fs.as_ref().and_then(|fs| fs.layers.as_deref()).unwrap_or_default();
    let is_plain = found.config.as_ref().is_none_or(|config| {
        config.volumes.as_ref().is_none_or(Vec::is_empty)
            && config.labels.as_ref().is_none_or(HashMap::is_empty)
            && config.entrypoint.as_ref().is_none_or(Vec::is_empty)
    });
    is_plain && layers.len() == 1 && layers[0].strip_prefix("sha256:") == Some(digest)
}

fn id(image: ImageInspect, what: &str) -> Result<String> {
    image.id.ok_or_else(|| Error::engine(what, "the engine gave no id"))
}
