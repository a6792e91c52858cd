//! Images by their names: found in the engine, or pulled into it.

use std::sync::Arc;
use std::time::Duration;

use bollard::models::{HealthConfig, ImageConfig as Found, ImageInspect};

use super::failure::{self, BRIEF, within};
use super::{Shared, names, pull};
use crate::engine::{Healthcheck, Image, ImageConfig, Progress, Snapshot};
use crate::graph::ImageName;
use crate::{Error, Result};

/// Finds an image, pulling it when it is absent.
pub(super) async fn resolve(shared: &Arc<Shared>, name: &ImageName, progress: &Progress) -> Result<Image> {
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

    /// Whether an image is of the platform. Many images for ARM say no variant; imported ones may say nothing, and are
    /// then taken for what every engine takes them for: its own.
    pub(super) fn is(&self, found: &ImageInspect) -> bool {
        let [os, architecture, variant] = [&found.os, &found.architecture, &found.variant]
            .map(|part| part.as_deref().filter(|part| !part.is_empty()));
        let mut parts = self.platform().split('/');
        let [wanted_os, wanted_architecture, wanted_variant] = [parts.next(), parts.next(), parts.next()];
        if self.name.platform.is_none() {
            let runs =
                |architecture| RUN_BY.contains(&(wanted_architecture.unwrap_or_default(), architecture));
            return os.is_none_or(|os| wanted_os == Some(os))
                && architecture.is_none_or(|found| wanted_architecture == Some(found) || runs(found));
        }
        os == wanted_os
            && architecture == wanted_architecture
            && (variant.is_none() || wanted_variant.is_none() || variant == wanted_variant)
    }

    /// What is to be said when there is only another platform's image.
    pub(super) fn only_for_another(&self, found: &ImageInspect, message: String) -> Error {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        Error::PlatformNotFound {
            reference: self.name.reference.to_string(),
            platform: self.platform().to_owned(),
            found: format!("{}/{}", part(&found.os), part(&found.architecture)),
            message,
        }
    }
}

/// Which processors run programs of which other ones, as they are.
const RUN_BY: [(&str, &str); 2] = [("amd64", "386"), ("arm64", "arm")];

pub(super) async fn inspect(client: &bollard::Docker, reference: &str) -> Result<Option<ImageInspect>> {
    match within(BRIEF, client.inspect_image(reference)).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if failure::is_absent(&error) => Ok(None),
        Err(error) => Err(failure::during(format!("look for the image `{reference}`"))(error)),
    }
}

fn image(shared: &Shared, inspected: &ImageInspect) -> Result<Image> {
    let facts = shared.snapshots.learn(inspected)?;
    let config = inspected.config.clone().unwrap_or_default();
    Ok(Image { id: facts.id.clone(), snapshot: Snapshot(facts.id.clone()), config: image_config(config) })
}

pub(super) fn image_config(config: Found) -> ImageConfig {
    let variable =
        |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    ImageConfig {
        env: config.env.iter().flatten().filter_map(variable).collect(),
        workdir: config.working_dir.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
        healthcheck: config.healthcheck.and_then(healthcheck),
        shell: config.shell.unwrap_or_default(),
    }
}

fn healthcheck(check: HealthConfig) -> Option<Healthcheck> {
    let test = check.test.filter(|test| !test.is_empty())?;
    let duration =
        |nanoseconds: Option<i64>| Duration::from_nanos(u64::try_from(nanoseconds.unwrap_or(0)).unwrap_or(0));
    Some(Healthcheck {
        test,
        interval: duration(check.interval),
        timeout: duration(check.timeout),
        start_period: duration(check.start_period),
        retries: u32::try_from(check.retries.unwrap_or(0)).unwrap_or(0),
    })
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
    fn platforms_are_told_apart() {
        let fits =
            |platform, os, architecture, variant| wanted(platform).is(&made_for(os, architecture, variant));
        assert!(fits(None, "linux", "amd64", ""));
        assert!(fits(None, "linux", "386", ""), "an amd64 runs it");
        assert!(!fits(Some("linux/amd64"), "linux", "386", ""), "but is not what was asked for");
        assert!(!fits(None, "linux", "arm64", "v8") && !fits(None, "windows", "amd64", ""));
        assert!(fits(Some("linux/arm64"), "linux", "arm64", "v8"));
        assert!(fits(Some("linux/arm/v7"), "linux", "arm", "v7"));
        assert!(fits(Some("linux/arm/v7"), "linux", "arm", ""));
        assert!(!fits(Some("linux/arm/v7"), "linux", "arm", "v6"));
        assert!(fits(None, "linux", "", "") && !fits(Some("linux/amd64"), "linux", "", ""));
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
