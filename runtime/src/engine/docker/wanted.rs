//! Images to look for, by name and platform.

use bollard::models::ImageInspect;

use super::facts::{inspect, platform};
use super::{Shared, names};
use crate::engine::oci;
use crate::model::ImageName;
use crate::{Error, Result};

/// An image to look for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: ImageName,
    /// The engine's own platform, as `os/architecture`.
    own: String,
}

impl Wanted {
    pub(super) fn new(shared: &Shared, name: &ImageName) -> Self {
        Self::on(name, &shared.description.platform)
    }

    /// The image for an engine of this platform.
    pub(super) fn on(name: &ImageName, platform: &str) -> Self {
        Self { name: name.clone(), own: platform.to_owned() }
    }

    /// The platform that the image must have: the engine's own unless another is asked for. Falling back to another
    /// platform's image would be a surprise.
    pub(super) fn platform(&self) -> &str {
        self.name.platform.as_deref().unwrap_or(&self.own)
    }

    pub(super) fn is_for_own(&self) -> bool {
        self.platform() == self.own
    }

    /// The name of the image beside another platform's image that has its reference.
    pub(super) fn aside(&self) -> String {
        names::platform_image(&self.name.reference, self.platform())
    }

    /// The engine's image, if it has it.
    pub(super) async fn present(&self, client: &bollard::Docker) -> Result<Option<ImageInspect>> {
        let by_reference = inspect(client, &self.name.reference).await?;
        match by_reference.filter(|found| self.is(found)) {
            Some(found) => Ok(Some(found)),
            None => Ok(inspect(client, &self.aside()).await?.filter(|found| self.is(found))),
        }
    }

    /// Whether an image is of the wanted platform.
    pub(super) fn is(&self, found: &ImageInspect) -> bool {
        platform(found).fits(self.name.platform.as_deref(), &self.own)
    }

    /// The error if there is only another platform's image.
    pub(super) fn only_for_another(&self, found: &ImageInspect, message: String) -> Error {
        Error::PlatformNotFound {
            reference: self.name.reference.to_string(),
            platform: self.platform().to_owned(),
            found: oci::Platform { variant: String::new(), ..platform(found) }.to_string(),
            message,
            locations: Vec::new(),
        }
    }
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
