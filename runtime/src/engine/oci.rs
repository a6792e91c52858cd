//! Documents of images: configurations, manifests and indexes (OCI image specification), as registries, layouts and
//! archives have them. None of them is trusted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Healthcheck, ImageConfig};
use crate::model::ContentDigest;

/// More than any tool makes: Docker itself has 127 at most. An overlay of more than 500 there is not.
const LAYERS_AT_MOST: usize = 480;

/// An image's configuration.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Configuration {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    config: Option<Config>,
    rootfs: RootFs,
}

impl Configuration {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| format!("its configuration: {error}"))
    }

    /// The digests of the unpacked layers, the lowest first.
    pub(crate) fn layers(&self) -> Result<&[ContentDigest], String> {
        let layers = &self.rootfs.diff_ids;
        if layers.len() > LAYERS_AT_MOST {
            return Err(format!("it has {} layers, and {LAYERS_AT_MOST} are the most", layers.len()));
        }
        Ok(layers)
    }

    pub(crate) fn config(&self) -> ImageConfig {
        self.config.clone().unwrap_or_default().into()
    }
}

#[derive(Debug, Clone, Deserialize)]
struct RootFs {
    diff_ids: Vec<ContentDigest>,
}

/// What a process of an image is like where nothing else is said. The Docker API writes it in the same way.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::zero_sized_map_values, reason = "sets are written as maps of what is empty")]
pub(crate) struct Config {
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    stop_signal: Option<String>,
    healthcheck: Option<Check>,
    shell: Option<Vec<String>>,
    exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    volumes: Option<BTreeMap<String, IgnoredAny>>,
    labels: Option<BTreeMap<String, String>>,
}

/// Durations are nanoseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    test: Option<Vec<String>>,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    retries: Option<i64>,
}

impl From<Config> for ImageConfig {
    fn from(config: Config) -> Self {
        let variable =
            |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            env: config.env.iter().flatten().filter_map(variable).collect(),
            workdir: config.working_dir.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
            healthcheck: config.healthcheck.and_then(healthcheck),
            shell: config.shell.unwrap_or_default(),
            exposed_ports: config.exposed_ports.unwrap_or_default().into_keys().collect(),
            volumes: config.volumes.unwrap_or_default().into_keys().collect(),
            labels: config.labels.unwrap_or_default(),
        }
    }
}

fn healthcheck(check: Check) -> Option<Healthcheck> {
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

/// What an image is made for. Imported images may say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) variant: String,
}

/// Which processors run programs of which other ones, as they are.
const RUN_BY: [(&str, &str); 2] = [("amd64", "386"), ("arm64", "arm")];

impl Platform {
    /// Whether an image is of the platform that was asked for, or else runs on the engine's own, `os/architecture`.
    /// Many images for ARM say no variant; those that say nothing at all are taken for what every engine takes them
    /// for: its own.
    pub(crate) fn fits(&self, asked: Option<&str>, own: &str) -> bool {
        let part = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
        let [os, architecture, variant] =
            [&self.os, &self.architecture, &self.variant].map(|text| part(text));
        let mut wanted = asked.unwrap_or(own).split('/').map(str::to_owned);
        let [wanted_os, wanted_architecture, wanted_variant] = [wanted.next(), wanted.next(), wanted.next()];
        if asked.is_some() {
            return os == wanted_os
                && architecture == wanted_architecture
                && (variant.is_none() || wanted_variant.is_none() || variant == wanted_variant);
        }
        let runs = |found: &str| {
            let wanted = wanted_architecture.as_deref().unwrap_or_default();
            wanted == found || RUN_BY.contains(&(wanted, found))
        };
        os.is_none_or(|os| wanted_os == Some(os)) && architecture.is_none_or(|found| runs(&found))
    }
}

impl Platform {
    /// As text; an engine's own where the image says nothing.
    pub(crate) fn or(&self, own: &str) -> String {
        if self.os.is_empty() || self.architecture.is_empty() { own.to_owned() } else { self.to_string() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// What says where something is, and what it has to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) digest: ContentDigest,
    pub(crate) size: u64,
    pub(crate) media_type: Option<String>,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// What the layout calls it (OCI image specification, "annotations").
    pub(crate) fn name(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.ref.name").map(String::as_str)
    }

    /// What is said of an image is no image.
    fn is_image(&self) -> bool {
        self.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
    }
}

/// What a reference leads to.
#[derive(Debug, Clone)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// An image: its configuration and its layers, the lowest first.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Images for several platforms, or of several names.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// As either is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// The media types of what is read.
    pub(crate) fn media_types() -> impl Iterator<Item = &'static str> {
        INDEXES.into_iter().chain(MANIFESTS)
    }

    /// `said` is the media type under which it was found, where one was said. What could be taken for the one by some
    /// and for the other by others is neither (CVE-2021-41190).
    pub(crate) fn parse(text: &[u8], said: Option<&str>) -> Result<Self, String> {
        const NEITHER: &str = "its manifest is neither an OCI image manifest nor an image index";
        let Written { media_type, config, layers, manifests } =
            serde_json::from_slice(text).map_err(|error| format!("{NEITHER}: {error}"))?;
        let (document, others) = match (config, layers, manifests) {
            (Some(config), Some(layers), None) => (Self::Manifest(Manifest { config, layers }), INDEXES),
            (None, None, Some(manifests)) => (Self::Index(Index { manifests }), MANIFESTS),
            (None | Some(_), None, None) | (None, Some(_), None) => {
                return Err(NEITHER.to_owned());
            }
            _ => return Err("it says to be an image manifest and an image index at once".to_owned()),
        };
        for said in [media_type.as_deref(), said].into_iter().flatten() {
            let said = said.split(';').next().unwrap_or_default().trim();
            if others.contains(&said) {
                let is = if matches!(document, Self::Index(_)) { "an index" } else { "a manifest" };
                return Err(format!("it is {is}, and said to be `{said}`"));
            }
        }
        Ok(document)
    }
}

impl Index {
    /// The image for a platform; else what there is, in words.
    pub(crate) fn choose(&self, asked: Option<&str>, own: &str) -> Result<&Descriptor, String> {
        let images = || self.manifests.iter().filter(|found| found.is_image());
        let fits = |asked| {
            images().find(|found| found.platform.as_ref().is_none_or(|platform| platform.fits(asked, own)))
        };
        // One for another processor that this one runs is taken only where there is none of its own.
        let found = fits(Some(asked.unwrap_or(own))).or_else(|| fits(asked));
        let platforms = || images().filter_map(|found| Some(found.platform.as_ref()?.to_string()));
        found.ok_or_else(|| platforms().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_for(os: &str, architecture: &str, variant: &str) -> Platform {
        Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    #[test]
    fn platforms_are_told_apart() {
        let fits =
            |asked, os, architecture, variant| made_for(os, architecture, variant).fits(asked, "linux/amd64");
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
    fn the_image_of_a_platform_is_chosen() {
        let text = format!(
            r#"{{"schemaVersion": 2, "manifests": [{}]}}"#,
            [("unknown", "unknown"), ("linux", "386"), ("linux", "amd64"), ("linux", "arm64")]
                .iter()
                .enumerate()
                .map(|(number, (os, architecture))| format!(
                    r#"{{"mediaType": "x", "digest": "sha256:{number:064}", "size": 1,
                         "platform": {{"os": "{os}", "architecture": "{architecture}"}}}}"#
                ))
                .collect::<Vec<_>>()
                .join(",")
        );
        let Ok(Document::Index(index)) = Document::parse(text.as_bytes(), None) else { panic!("{text}") };
        let chosen = |asked, own| index.choose(asked, own).map(|found| found.digest.to_string());
        assert_eq!(chosen(None, "linux/amd64"), Ok(format!("sha256:{:064}", 2)));
        assert_eq!(chosen(Some("linux/arm64"), "linux/amd64"), Ok(format!("sha256:{:064}", 3)));
        assert_eq!(chosen(None, "linux/s390x"), Err("linux/386, linux/amd64, linux/arm64".to_owned()));
    }

    #[test]
    fn a_configuration_is_read() {
        let text = br#"{"architecture": "amd64", "os": "linux", "config": {"Env": ["A=1=2", "B"], "Cmd": ["x"],
            "WorkingDir": "/w", "StopSignal": "", "Healthcheck": {"Test": ["CMD", "y"], "Interval": 2000000000}},
            "rootfs": {"type": "layers", "diff_ids": []}}"#;
        let found = Configuration::parse(text).unwrap().config();
        assert_eq!(found.env, [("A".to_owned(), "1=2".to_owned())]);
        assert_eq!((found.workdir.as_str(), found.stop_signal), ("/w", None));
        assert_eq!(found.healthcheck.unwrap().interval, Duration::from_secs(2));
        assert!(Configuration::parse(b"{}").is_err());
        for layer in ["sha512:00", "sha256:zz", "sha256:../../x"] {
            let text = format!(r#"{{"rootfs": {{"diff_ids": ["{layer}"]}}}}"#);
            assert!(Configuration::parse(text.as_bytes()).unwrap_err().contains("no SHA-256 digest"));
        }
        let many = vec![format!(r#""sha256:{:064}""#, 1); 1000].join(",");
        let many = Configuration::parse(format!(r#"{{"rootfs": {{"diff_ids": [{many}]}}}}"#).as_bytes());
        assert!(many.unwrap().layers().unwrap_err().contains("1000 layers"));
    }

    #[test]
    fn what_some_take_for_a_manifest_and_others_for_an_index_is_refused() {
        let digest = format!("sha256:{:064}", 1);
        let one = format!(r#"{{"digest": "{digest}", "size": 1}}"#);
        let image = format!(r#""config": {one}, "layers": [{one}]"#);
        let index = format!(r#""manifests": [{one}]"#);
        let [manifest_type, index_type] = [MANIFESTS[0], INDEXES[1]];
        let parse = |text: &str, said| Document::parse(format!("{{{text}}}").as_bytes(), said);
        assert!(matches!(parse(&image, None), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&image, Some(manifest_type)), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&image, Some("application/json; charset=utf-8")), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&index, Some(index_type)), Ok(Document::Index(_))));
        let both = format!("{image}, {index}");
        let layers_too = format!(r#""layers": [], {index}"#);
        for text in [&both, &layers_too] {
            assert!(parse(text, None).unwrap_err().contains("at once"), "{text}");
        }
        let wrong = format!(r#""mediaType": "{index_type}", {image}"#);
        for (text, said) in [(&wrong, None), (&image, Some(INDEXES[0])), (&index, Some(manifest_type))] {
            assert!(parse(text, said).unwrap_err().contains("said to be"), "{text}");
        }
        let twice = format!(r#""manifests": [], {index}"#);
        for text in [twice.as_str(), "", r#""config": 1"#, r#""manifests": [{"digest": "x", "size": 1}]"#] {
            assert!(parse(text, None).unwrap_err().contains("neither"), "{text}");
        }
    }
}
