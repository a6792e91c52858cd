//! Configurations of images (OCI image specification, "config"): those read from images, none of which is trusted, and
//! those written for images that are made of file systems.

#![expect(clippy::zero_sized_map_values, reason = "sets are written as maps of what is empty")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::Platform;
use crate::engine::{Healthcheck, ImageConfig};
use crate::model::{ContentDigest, Snapshot};

/// More than any tool makes: Docker itself allows at most 127. An overlay cannot have more than 500.
const LAYERS_AT_MOST: usize = 480;

/// A fixed time, as equal images must have equal digests whenever they are made.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// An image to be made.
#[derive(Debug, Clone)]
pub(crate) struct ImageSpec {
    pub(crate) snapshot: Snapshot,
    pub(crate) config: ImageConfig,
    /// As `os/architecture[/variant]`.
    pub(crate) platform: String,
}

impl ImageSpec {
    /// The text of its configuration, with the digests of its uncompressed layers, the lowest first.
    pub(crate) fn document(&self, layers: Vec<ContentDigest>) -> serde_json::Result<Vec<u8>> {
        let mut configuration = Configuration::new(Platform::of(&self.platform), &self.config, layers);
        configuration.created = Some(CREATED.to_owned());
        configuration.document()
    }
}

/// An image's configuration. The order of the fields is the order in which they are written, as equal images must be
/// equal texts.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Configuration {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    config: Option<Config>,
    rootfs: RootFs,
}

impl Configuration {
    /// The configuration of an image of these layers, the lowest first.
    pub(crate) fn new(platform: Platform, config: &ImageConfig, layers: Vec<ContentDigest>) -> Self {
        let rootfs = RootFs { kind: "layers".to_owned(), diff_ids: layers };
        Self { platform, created: None, config: Some(config.into()), rootfs }
    }

    /// The identity of an image, whoever has it: the digest of the part of its configuration that is used, in a canonical
    /// form. An engine's own id depends on its image store: Docker's classic one hashes the configuration as its builder
    /// wrote it, with the time and the history; containerd's hashes a manifest, of which one image may have several.
    pub(crate) fn identity(
        platform: &str,
        config: &ImageConfig,
        layers: Vec<ContentDigest>,
    ) -> crate::Result<ContentDigest> {
        let document = Self::new(Platform::of(platform), config, layers).document();
        document.map(|text| ContentDigest::of(&text)).map_err(crate::Error::internal)
    }

    /// The configuration as JSON.
    pub(crate) fn document(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| format!("its configuration: {error}"))
    }

    /// The digests of the uncompressed layers, the lowest first.
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

#[derive(Debug, Clone, Deserialize, Serialize)]
struct RootFs {
    #[serde(rename = "type", skip_deserializing)]
    kind: String,
    diff_ids: Vec<ContentDigest>,
}

/// The defaults for processes of an image. The Docker API has the same format. Empty fields are omitted, as by Go's
/// `omitempty`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<Names>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Names>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<Vec<String>>,
}

/// A set: Go has none, so these are maps to empty values.
type Names = BTreeMap<String, Empty>;

/// An ignored value.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(from = "IgnoredAny")]
struct Empty {}

impl From<IgnoredAny> for Empty {
    fn from(_: IgnoredAny) -> Self {
        Self {}
    }
}

/// Durations are in nanoseconds.
#[derive(Debug, Clone, Deserialize, Serialize)]
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
            healthcheck: config.healthcheck.and_then(Check::read),
            shell: config.shell.unwrap_or_default(),
            exposed_ports: config.exposed_ports.unwrap_or_default().into_keys().collect(),
            volumes: config.volumes.unwrap_or_default().into_keys().collect(),
            labels: config.labels.unwrap_or_default(),
        }
    }
}

impl From<&ImageConfig> for Config {
    fn from(config: &ImageConfig) -> Self {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let list = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
        let set = |names: &[String]| {
            let names: Names = names.iter().map(|name| (name.clone(), Empty {})).collect();
            Some(names).filter(|names| !names.is_empty())
        };
        let env: Vec<String> = config.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Self {
            user: text(&config.user),
            exposed_ports: set(&config.exposed_ports),
            env: list(&env),
            entrypoint: list(&config.entrypoint),
            cmd: list(&config.command),
            volumes: set(&config.volumes),
            working_dir: text(&config.workdir),
            labels: Some(config.labels.clone()).filter(|labels| !labels.is_empty()),
            stop_signal: config.stop_signal.clone(),
            healthcheck: config.healthcheck.as_ref().map(Check::written),
            shell: list(&config.shell),
        }
    }
}

impl Check {
    fn read(self) -> Option<Healthcheck> {
        let test = self.test.filter(|test| !test.is_empty())?;
        let duration = |nanoseconds: Option<i64>| {
            Duration::from_nanos(u64::try_from(nanoseconds.unwrap_or(0)).unwrap_or(0))
        };
        Some(Healthcheck {
            test,
            interval: duration(self.interval),
            timeout: duration(self.timeout),
            start_period: duration(self.start_period),
            retries: u32::try_from(self.retries.unwrap_or(0)).unwrap_or(0),
        })
    }

    fn written(check: &Healthcheck) -> Self {
        let nanoseconds = |duration: Duration| Some(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX));
        Self {
            test: Some(check.test.clone()),
            interval: nanoseconds(check.interval),
            timeout: nanoseconds(check.timeout),
            start_period: nanoseconds(check.start_period),
            retries: Some(check.retries.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_image_is_what_it_is_whoever_wrote_its_configuration() {
        let layers = vec![ContentDigest::of(b"layer")];
        let identity = |config: &str| {
            let text = format!(r#"{{"config": {config}, "rootfs": {{"diff_ids": []}}}}"#);
            let config = Configuration::parse(text.as_bytes()).unwrap().config();
            Configuration::identity("linux/amd64", &config, layers.clone()).unwrap()
        };
        // As an engine's API writes it, and as a builder writes it.
        let said =
            identity(r#"{"Hostname": "", "Env": ["A=1"], "Cmd": ["x"], "Volumes": null, "OnBuild": null}"#);
        assert_eq!(said, identity(r#"{"Cmd": ["x"], "Env": ["A=1"]}"#));
        assert_ne!(said, identity(r#"{"Cmd": ["x"], "Env": ["A=2"]}"#));
        assert_ne!(said, identity(r#"{"Cmd": ["x"], "Env": ["A=1"], "Healthcheck": {"Test": ["NONE"]}}"#));
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let text = br#"{"architecture": "arm64", "os": "linux", "variant": "v8", "config": {"Env": ["A=1=2"], "Cmd": ["x"],
            "Entrypoint": ["e"], "WorkingDir": "/w", "User": "u:g", "StopSignal": "SIGINT", "Shell": ["/bin/bash", "-c"],
            "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "Labels": {"k": "v"},
            "Healthcheck": {"Test": ["CMD", "y"], "Interval": 2000000000, "Retries": 3}},
            "rootfs": {"type": "layers", "diff_ids": []}}"#;
        let read = Configuration::parse(text).unwrap();
        let image = ImageSpec {
            snapshot: Snapshot(String::new()),
            config: read.config(),
            platform: read.platform.to_string(),
        };
        let layers = vec![ContentDigest::of(b"layer")];
        let document = image.document(layers.clone()).unwrap();
        let written = Configuration::parse(&document).unwrap();
        assert_eq!(written.platform, read.platform);
        assert_eq!(format!("{:?}", written.config()), format!("{:?}", read.config()));
        assert_eq!(written.layers().unwrap(), layers);
        // Equal images must stay equal from one version of bowline to the next.
        let text = String::from_utf8(document).unwrap();
        let start = r#"{"architecture":"arm64","os":"linux","variant":"v8","created":"1970-01-01T00:00:00Z","config":{
            "User":"u:g","ExposedPorts":{"80/tcp":{}},"Env":["A=1=2"],"Entrypoint":["e"],"Cmd":["x"],"Volumes":{"/data":{}},
            "WorkingDir":"/w","Labels":{"k":"v"},"StopSignal":"SIGINT","Healthcheck":{"Test":["CMD","y"],
            "Interval":2000000000,"Timeout":0,"StartPeriod":0,"Retries":3},"Shell":["/bin/bash","-c"]},
            "rootfs":{"type":"layers","diff_ids":[""#;
        let start: String = start.split("\n            ").collect();
        assert!(text.starts_with(&start), "{text}\n{start}");
        let nothing =
            ImageSpec { config: ImageConfig::default(), platform: "linux/amd64".to_owned(), ..image };
        let text = String::from_utf8(nothing.document(Vec::new()).unwrap()).unwrap();
        assert!(text.contains(r#""config":{},"#) && !text.contains("variant"), "{text}");
    }
}
