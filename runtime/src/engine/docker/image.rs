//! Images by their names: found in the engine, or pulled into it.

use std::sync::Arc;

use bollard::models::{ImageConfig as Found, ImageInspect};

use super::failure::{self, BRIEF, within};
use super::{Shared, load, names, pull};
use crate::engine::{Image, ImageConfig, Progress, oci};
use crate::model::ImageName;
use crate::model::{ContentDigest, Snapshot};
use crate::{Error, Result};

/// Finds an image, pulling it when it is absent.
pub(super) async fn resolve(shared: &Arc<Shared>, name: &ImageName, progress: &Progress) -> Result<Image> {
    if let Some(file) = name.file() {
        return load::load(shared, name, &file, progress).await;
    }
    let wanted = Wanted::new(shared, name);
    let found = match wanted.present(&shared.client).await? {
        Some(found) => found,
        None => pull::pull(shared, wanted, progress).await?,
    };
    image(shared, &found)
}

/// An image that is looked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: ImageName,
    /// The engine's own, as `os/architecture`.
    own: String,
}

impl Wanted {
    pub(super) fn new(shared: &Shared, name: &ImageName) -> Self {
        Self::on(name, &shared.description.platform)
    }

    /// For an engine of this platform.
    pub(super) fn on(name: &ImageName, platform: &str) -> Self {
        Self { name: name.clone(), own: platform.to_owned() }
    }

    /// The platform it has to be of: the engine's own unless another is asked for. That one has another where only that
    /// is to be had would be a surprise.
    pub(super) fn platform(&self) -> &str {
        self.name.platform.as_deref().unwrap_or(&self.own)
    }

    pub(super) fn is_for_own(&self) -> bool {
        self.platform() == self.own
    }

    /// What it is called beside another platform's image that has its reference.
    pub(super) fn aside(&self) -> String {
        names::platform_image(&self.name.reference, self.platform())
    }

    /// The engine's image, when it has it.
    pub(super) async fn present(&self, client: &bollard::Docker) -> Result<Option<ImageInspect>> {
        let by_reference = inspect(client, &self.name.reference).await?;
        match by_reference.filter(|found| self.is(found)) {
            Some(found) => Ok(Some(found)),
            None => Ok(inspect(client, &self.aside()).await?.filter(|found| self.is(found))),
        }
    }

    /// Whether an image is of the platform.
    pub(super) fn is(&self, found: &ImageInspect) -> bool {
        platform(found).fits(self.name.platform.as_deref(), &self.own)
    }

    /// What is to be said when there is only another platform's image.
    pub(super) fn only_for_another(&self, found: &ImageInspect, message: String) -> Error {
        Error::PlatformNotFound {
            reference: self.name.reference.to_string(),
            platform: self.platform().to_owned(),
            found: oci::Platform { variant: String::new(), ..platform(found) }.to_string(),
            message,
        }
    }
}

pub(super) fn platform(found: &ImageInspect) -> oci::Platform {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    oci::Platform {
        os: part(&found.os),
        architecture: part(&found.architecture),
        variant: part(&found.variant),
    }
}

pub(super) async fn inspect(client: &bollard::Docker, reference: &str) -> Result<Option<ImageInspect>> {
    match within(BRIEF, client.inspect_image(reference)).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if failure::is_absent(&error) => Ok(None),
        Err(error) => Err(failure::during(format!("look for the image `{reference}`"))(error)),
    }
}

pub(super) fn image(shared: &Shared, inspected: &ImageInspect) -> Result<Image> {
    let facts = shared.snapshots.learn(inspected)?;
    let config = inspected.config.clone().unwrap_or_default();
    Ok(Image {
        id: image_id(Some(&facts.id))?,
        snapshot: Snapshot(facts.id.clone()),
        config: image_config(config)?,
        platform: platform(inspected).or(&shared.description.platform),
    })
}

/// What an engine says that an image is.
pub(super) fn image_id(said: Option<&str>) -> Result<ContentDigest> {
    // Podman says some without the algorithm.
    let parse =
        |said: &str| said.parse().or_else(|error| format!("sha256:{said}").parse().map_err(|_| error));
    let id: std::result::Result<_, String> =
        said.ok_or_else(|| "the engine gave no id".to_owned()).and_then(parse);
    id.map_err(|error| Error::engine("inspect an image", error))
}

/// The Docker API has it in the form that the OCI image specification took over from it.
pub(super) fn image_config(config: Found) -> Result<ImageConfig> {
    let config = serde_json::to_value(config).and_then(serde_json::from_value::<oci::Config>);
    config.map(Into::into).map_err(|error| Error::engine("read an image's configuration", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(platform: Option<&str>) -> Wanted {
        let name = ImageName { platform: platform.map(Into::into), ..ImageName::new("a:1") };
        Wanted { name, own: "linux/amd64".to_owned() }
    }

    fn made_for(os: &str, architecture: &str, variant: &str) -> ImageInspect {
        let part = |text: &str| Some(text.to_owned());
        ImageInspect {
            os: part(os),
            architecture: part(architecture),
            variant: part(variant),
            ..Default::default()
        }
    }

    #[test]
    fn an_id_of_the_engine_is_a_digest_or_an_error() {
        let hex = "0123456789abcdef".repeat(4);
        for said in [format!("sha256:{hex}"), hex.clone()] {
            assert_eq!(image_id(Some(&said)).unwrap().to_string(), format!("sha256:{hex}"));
        }
        for said in [None, Some(""), Some("sha256:../../../x"), Some("sha256:\u{1b}[31m"), Some("redis:7")] {
            assert!(image_id(said).is_err(), "{said:?}");
        }
    }

    #[test]
    fn another_platform_is_said() {
        let found = made_for("linux", "arm64", "");
        let error = wanted(None).only_for_another(&found, "no route".to_owned()).to_string();
        assert_eq!(
            error,
            "image `docker.io/library/a:1` is there for linux/arm64, and not for linux/amd64: no route\n\nhelp: `platform \"linux/arm64\";` takes the one that is there"
        );
        let error = wanted(Some("linux/s390x")).only_for_another(&found, String::new()).to_string();
        assert!(error.contains("and not for linux/s390x\n\nhelp"), "{error}");
    }
}
