//! Facts about the engine's images.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bollard::models::{ImageConfig as Found, ImageInspect};

use super::Shared;
use super::failure::{self, BRIEF, within};
use crate::engine::{Image, ImageConfig, oci};
use crate::lock::lock;
use crate::model::{ContentDigest, ImageName, Snapshot};
use crate::{Error, Result};

pub(super) async fn inspect(client: &bollard::Docker, reference: &str) -> Result<Option<ImageInspect>> {
    match within(BRIEF, client.inspect_image(reference)).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if failure::is_absent(&error) => Ok(None),
        Err(error) => Err(failure::during(format!("look for the image `{reference}`"))(error)),
    }
}

/// Parses an engine's id of an image.
pub(super) fn image_id(said: Option<&str>) -> Result<ContentDigest> {
    // Podman reports some without the algorithm.
    let parse =
        |said: &str| said.parse().or_else(|error| format!("sha256:{said}").parse().map_err(|_| error));
    let id: std::result::Result<_, String> =
        said.ok_or_else(|| "the engine gave no id".to_owned()).and_then(parse);
    id.map_err(|error| Error::engine("inspect an image", error))
}

pub(super) fn platform(found: &ImageInspect) -> oci::Platform {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    oci::Platform {
        os: part(&found.os),
        architecture: part(&found.architecture),
        variant: part(&found.variant),
    }
}

/// The Docker API uses the format that the OCI image specification took over from it.
pub(super) fn image_config(config: Found) -> Result<ImageConfig> {
    let config = serde_json::to_value(config).and_then(serde_json::from_value::<oci::Config>);
    config.map(Into::into).map_err(|error| Error::engine("read an image's configuration", error))
}

/// The facts about an image that matter for containers made from it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) id: String,
    /// The names of the variables that containers of this image get by default.
    pub(super) env: Vec<String>,
    /// The digests of its uncompressed layers, lowest first.
    pub(super) layers: Vec<ContentDigest>,
    pub(super) platform: oci::Platform,
    /// Whether containers of this image get anonymous volumes.
    pub(super) has_volumes: bool,
}

impl Facts {
    pub(super) fn of(image: &ImageInspect) -> Result<Self> {
        let id = image_id(image.id.as_deref())?.to_string();
        let layers = image.root_fs.as_ref().and_then(|fs| fs.layers.as_deref()).unwrap_or_default();
        let layers = layers.iter().map(|layer| image_id(Some(layer)));
        let config = image.config.as_ref();
        let env = config.and_then(|config| config.env.as_ref()).into_iter().flatten();
        Ok(Self {
            id,
            env: env
                .filter_map(|variable| variable.split_once('='))
                .map(|(name, _)| name.to_owned())
                .collect(),
            layers: layers.collect::<Result<_>>()?,
            platform: platform(image),
            has_volumes: config
                .and_then(|config| config.volumes.as_ref())
                .is_some_and(|paths| !paths.is_empty()),
        })
    }
}

/// The images that were inspected, by id.
#[derive(Default)]
pub(super) struct Images {
    facts: Mutex<HashMap<String, Arc<Facts>>>,
}

impl Images {
    /// Caches the facts of an image that was just inspected.
    pub(super) fn learn(&self, image: &ImageInspect) -> Result<Arc<Facts>> {
        let facts = Arc::new(Facts::of(image)?);
        lock(&self.facts).insert(facts.id.clone(), Arc::clone(&facts));
        Ok(facts)
    }
}

/// The facts about an image; one call of 1 ms if they are not cached.
pub(super) async fn facts(shared: &Shared, image: &str) -> Result<Arc<Facts>> {
    let known = lock(&shared.images.facts).get(image).cloned();
    if let Some(facts) = known {
        return Ok(facts);
    }
    let inspected = within(BRIEF, shared.client.inspect_image(image))
        .await
        .map_err(failure::during(format!("find the file system {image}")))?;
    shared.images.learn(&inspected)
}

fn identity(facts: &Facts, config: &ImageConfig, platform: &str) -> Result<ContentDigest> {
    // An engine that reports no layers may have some all the same.
    if facts.layers.is_empty() {
        return image_id(Some(&facts.id));
    }
    oci::Configuration::identity(platform, config, facts.layers.clone())
}

/// An image as the session knows it.
pub(super) fn image(shared: &Shared, inspected: &ImageInspect) -> Result<Image> {
    let facts = shared.images.learn(inspected)?;
    let config = image_config(inspected.config.clone().unwrap_or_default())?;
    let platform = facts.platform.or(&shared.description.platform);
    let id = identity(&facts, &config, &platform)?;
    let (snapshot, layers) = (Snapshot(facts.id.clone()), facts.layers.clone());
    Ok(Image { id, snapshot, config, platform, layers, digest: None })
}

/// The digest that the engine recorded for a reference: that of what it pulled or pushed.
pub(super) fn noted_digest(image: &ImageInspect, reference: &str) -> Option<ContentDigest> {
    let repository = |reference: &str| {
        let full = ImageName::new(reference).reference;
        let end = full.find('@').or_else(|| full.rfind(':')).unwrap_or(full.len());
        full.get(..end).map(str::to_owned)
    };
    let wanted = repository(reference);
    let names = image.repo_digests.iter().flatten().filter_map(|name| name.split_once('@'));
    let mut own = names.filter(|(name, _)| repository(name) == wanted);
    own.next()?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_repository_that_was_asked_for() {
        let digest = format!("sha256:{:064}", 1);
        let image = ImageInspect {
            repo_digests: Some(vec!["other@sha256:2".to_owned(), format!("acme/app@{digest}")]),
            ..Default::default()
        };
        let noted = |reference: &str| noted_digest(&image, reference).map(|digest| digest.to_string());
        for own in ["docker.io/acme/app:1", "acme/app", &format!("acme/app@{digest}")] {
            assert_eq!(noted(own).as_ref(), Some(&digest), "{own}");
        }
        for other in ["r.test/acme/app:1", "localhost:5000/acme/app", "other:1"] {
            assert_eq!(noted(other), None, "{other}");
        }
    }

    /// Ids as Docker's image store reports them, and as containerd's does, which identifies the image by its manifest.
    #[test]
    fn an_image_is_the_same_in_every_image_store() {
        let said = |id: char, config: &str| {
            let text = format!(
                r#"{{"Id": "sha256:{}", "Os": "linux", "Architecture": "amd64", "Config": {config},
                    "RootFS": {{"Type": "layers", "Layers": ["sha256:{:064}"]}}}}"#,
                id.to_string().repeat(64),
                1,
            );
            let inspected: ImageInspect = serde_json::from_str(&text).unwrap();
            let config = image_config(inspected.config.clone().unwrap()).unwrap();
            identity(&Facts::of(&inspected).unwrap(), &config, "linux/amd64").unwrap()
        };
        let own = said('a', r#"{"Env": ["A=1"], "Cmd": ["x"], "Volumes": null, "Labels": null}"#);
        assert_eq!(own, said('b', r#"{"Env": ["A=1"], "Cmd": ["x"]}"#));
        assert_ne!(own, said('a', r#"{"Env": ["A=1"], "Cmd": ["y"]}"#));
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
}
