//! Where the Docker command line looks for its engine: its environment, its contexts, the usual sockets.
//!
//! The precedence is that of docker/cli (`cli/command/cli.go`, `resolveContextName`): `DOCKER_HOST`, `DOCKER_CONTEXT`,
//! the configuration file's `currentContext`. An explicit choice is used or fails, without a silent fallback. Only
//! without a choice are the well-known sockets tried in turn.

use std::env;
use std::path::{Path, PathBuf};

use crate::sha256::Sha256;
use serde::Deserialize;

use super::connection::Connection;
use crate::engine::oci::credentials::config_dir;
use crate::regular::{self, DOCUMENT_AT_MOST};

/// A place to try: its name in messages, and the connection or why there is none.
pub(super) struct Candidate {
    /// Where the candidate comes from, for messages.
    pub(super) origin: String,
    pub(super) connection: Result<Connection, String>,
}

/// The places to try, in order.
pub(super) fn candidates() -> Vec<Candidate> {
    if let Some(host) = variable("DOCKER_HOST") {
        let tls = tls_from_environment(&host);
        return vec![Candidate {
            origin: "DOCKER_HOST".to_owned(),
            connection: Ok(Connection::new(host, tls)),
        }];
    }
    let chosen = variable("DOCKER_CONTEXT").map(|name| (format!("DOCKER_CONTEXT={name}"), name));
    let chosen = chosen.or_else(|| current_context().map(|name| (format!("Docker context `{name}`"), name)));
    match chosen {
        Some((origin, name)) if name != "default" => vec![Candidate { origin, connection: context(&name) }],
        _ => sockets().iter().map(|path| socket(path)).collect(),
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn home() -> Option<PathBuf> {
    env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// `DOCKER_TLS_VERIFY` (with any value) asks for TLS, with the certificates in `DOCKER_CERT_PATH` or the configuration
/// directory.
fn tls_from_environment(host: &str) -> Option<PathBuf> {
    let asked = variable("DOCKER_TLS_VERIFY").is_some() || host.starts_with("https://");
    if !asked || !(host.starts_with("tcp://") || host.starts_with("https://")) {
        return None;
    }
    variable("DOCKER_CERT_PATH").map(PathBuf::from).or_else(config_dir)
}

fn current_context() -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        #[serde(default)]
        current_context: String,
    }
    let text = regular::read(&config_dir()?.join("config.json"), DOCUMENT_AT_MOST).ok()?;
    let config: Config = serde_json::from_slice(&text).ok()?;
    Some(config.current_context).filter(|name| !name.is_empty())
}

/// Reads a context from the command line's store (docker/cli, `cli/context/store`): a directory named by the hash of
/// the context's name, under `meta` and, where there are certificates, under `tls`.
fn context(name: &str) -> Result<Connection, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Meta {
        endpoints: Endpoints,
    }
    #[derive(Deserialize)]
    struct Endpoints {
        docker: Endpoint,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Endpoint {
        #[serde(default)]
        host: String,
    }

    let contexts = config_dir().ok_or("no home directory, so no contexts")?.join("contexts");
    let id = data_encoding::HEXLOWER.encode(&Sha256::digest(name.as_bytes()));
    let path = contexts.join("meta").join(&id).join("meta.json");
    let text = regular::read(&path, DOCUMENT_AT_MOST).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "there is no context of this name; `docker context ls` lists them".to_owned()
        }
        _ => format!("{}: {error}", path.display()),
    })?;
    let meta: Meta = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if meta.endpoints.docker.host.is_empty() {
        return Err("the context names no host".to_owned());
    }
    let tls = contexts.join("tls").join(&id).join("docker");
    Ok(Connection::new(meta.endpoints.docker.host, tls.is_dir().then_some(tls)))
}

fn socket(path: &Path) -> Candidate {
    let address = format!("unix://{}", path.display());
    Candidate { origin: String::new(), connection: Ok(Connection::new(address, None)) }
}

/// The usual sockets of engines, Docker's own first.
fn sockets() -> Vec<PathBuf> {
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    sockets.extend(runtime.as_deref().map(|runtime| runtime.join("docker.sock")));
    if let Some(home) = home() {
        // Docker Desktop (macOS, Linux), Colima, OrbStack, Rancher Desktop.
        let below_home = [
            ".docker/run/docker.sock",
            ".docker/desktop/docker.sock",
            ".colima/default/docker.sock",
            ".orbstack/run/docker.sock",
            ".rd/docker.sock",
        ];
        sockets.extend(below_home.iter().map(|path| home.join(path)));
    }
    sockets.extend(runtime.as_deref().map(|runtime| runtime.join("podman/podman.sock")));
    sockets.push(Path::new("/run/podman/podman.sock").to_owned());
    sockets
}
