//! Images that are made of file systems, and what is written of them (OCI image specification, "config").

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Healthcheck, ImageConfig};
use crate::model::Snapshot;

/// An image to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewImage {
    pub(crate) snapshot: Snapshot,
    pub(crate) config: ImageConfig,
    /// As `os/architecture[/variant]`.
    pub(crate) platform: String,
}

/// Equal images are to have equal digests, whenever they are made.
const CREATED: &str = "1970-01-01T00:00:00Z";

impl NewImage {
    /// The text of its configuration, with the digests of its unpacked layers, the lowest first, as `sha256:…`.
    pub(crate) fn document(&self, layers: &[String]) -> serde_json::Result<Vec<u8>> {
        let mut platform = self.platform.splitn(3, '/').map(str::to_owned);
        let [os, architecture, variant] = [(); 3].map(|()| platform.next().unwrap_or_default());
        serde_json::to_vec(&Document {
            architecture,
            os,
            variant,
            created: CREATED,
            config: Config::of(&self.config),
            rootfs: RootFs { kind: "layers", diff_ids: layers },
        })
    }
}

// Structures, as these have their fields in one order, whatever serde_json's features are.
#[derive(Serialize)]
struct Document<'a> {
    architecture: String,
    os: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    created: &'static str,
    config: Config<'a>,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
struct RootFs<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: &'a [String],
}

/// What is empty is left out, as Go's `omitempty` does.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<&'a str, serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entrypoint: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<&'a str, serde_json::Value>,
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Check<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shell: &'a [String],
}

/// Durations are nanoseconds.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Check<'a> {
    test: &'a [String],
    interval: u128,
    timeout: u128,
    start_period: u128,
    retries: u32,
}

impl<'a> Config<'a> {
    fn of(config: &'a ImageConfig) -> Self {
        // Go has no sets: these are maps of what is empty.
        let set =
            |names: &'a [String]| names.iter().map(|name| (name.as_str(), serde_json::json!({}))).collect();
        Self {
            user: &config.user,
            exposed_ports: set(&config.exposed_ports),
            env: config.env.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            entrypoint: &config.entrypoint,
            cmd: &config.command,
            volumes: set(&config.volumes),
            working_dir: &config.workdir,
            labels: &config.labels,
            stop_signal: config.stop_signal.as_deref(),
            healthcheck: config.healthcheck.as_ref().map(Check::of),
            shell: &config.shell,
        }
    }
}

impl<'a> Check<'a> {
    fn of(check: &'a Healthcheck) -> Self {
        Self {
            test: &check.test,
            interval: check.interval.as_nanos(),
            timeout: check.timeout.as_nanos(),
            start_period: check.start_period.as_nanos(),
            retries: check.retries,
        }
    }
}

#[cfg(all(test, feature = "docker"))]
mod tests {
    use super::super::oci::Configuration;
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        let text = br#"{"architecture": "arm64", "os": "linux", "variant": "v8", "config": {"Env": ["A=1=2"], "Cmd": ["x"],
            "Entrypoint": ["e"], "WorkingDir": "/w", "User": "u:g", "StopSignal": "SIGINT", "Shell": ["/bin/bash", "-c"],
            "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "Labels": {"k": "v"},
            "Healthcheck": {"Test": ["CMD", "y"], "Interval": 2000000000, "Retries": 3}},
            "rootfs": {"type": "layers", "diff_ids": []}}"#;
        let read = Configuration::parse(text).unwrap();
        let image = NewImage {
            snapshot: Snapshot(String::new()),
            config: read.config(),
            platform: read.platform.to_string(),
        };
        let layers = [format!("sha256:{:064}", 1)];
        let written = Configuration::parse(&image.document(&layers).unwrap()).unwrap();
        assert_eq!(written.platform, read.platform);
        assert_eq!(format!("{:?}", written.config()), format!("{:?}", read.config()));
        assert_eq!(written.layers().unwrap().len(), 1);
        let nothing =
            NewImage { config: ImageConfig::default(), platform: "linux/amd64".to_owned(), ..image };
        let text = String::from_utf8(nothing.document(&[]).unwrap()).unwrap();
        assert!(text.contains(r#""config":{},"#) && !text.contains("variant"), "{text}");
    }
}
