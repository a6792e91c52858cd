//! An engine's address, and what is known about the engine.

use std::io;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;

use bollard::{API_DEFAULT_VERSION, ClientVersion};
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::failure;
use super::memory::{self, About, Memory};
use super::transport::{self, Place, Stream};
use crate::engine::Description;

/// The oldest supported API: that of Docker 20.10, which brought what steps need (`platform` on create, …).
const OLDEST: (usize, usize) = (1, 41);

/// bollard's own timeout of every call, in seconds; never reached, since waiting for a process may take days. Calls get
/// their own timeouts instead ([`failure::within`]).
const CLIENT_LIMIT: u64 = 365 * 24 * 3600;

/// Podman implements Docker's API with different semantics: loaded images are found under other names (4.3), and the
/// names that a container is linked under do not resolve (5.4). No pipeline is better than half of one.
const PODMAN: &str = "it is Podman, which is not supported yet; BOWLINE_ENGINE=native needs no engine";

/// Where an engine is and how to reach it: everything that another process needs to reach the same engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// `unix://…`, `tcp://…`, `ssh://…`, as in `DOCKER_HOST`.
    pub(super) address: String,
    /// The directory of `ca.pem`, `cert.pem` and `key.pem`, for TLS.
    certificates: Option<PathBuf>,
    /// The API version to speak; the oldest until the engine has answered.
    version: (usize, usize),
    engine: Engine,
}

/// What the engine reports about itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Engine {
    version: String,
    about: About,
}

impl Connection {
    pub(super) fn new(mut address: String, certificates: Option<PathBuf>) -> Self {
        if let Some((scheme, host)) = address.split_once("://") {
            let host = host.trim_end_matches('/');
            // The defaults of the command line (docker/cli, `opts/hosts.go`).
            let default_port = match (scheme, &certificates) {
                ("tcp", None) => Some(2375),
                ("tcp", Some(_)) => Some(2376),
                ("http", _) => Some(80),
                ("https", _) => Some(443),
                _ => None,
            };
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            if let Some(port) = default_port {
                address =
                    if has_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") };
            }
        }
        Self { address, certificates, version: OLDEST, engine: Engine::default() }
    }

    /// A client for this engine. It connects later.
    pub(super) async fn client(&self) -> Result<bollard::Docker, String> {
        self.client_at(self.place().await?)
    }

    fn client_at(&self, place: Place) -> Result<bollard::Docker, String> {
        let version = ClientVersion { major_version: self.version.0, minor_version: self.version.1 };
        let client = transport::client(place, &self.address, CLIENT_LIMIT, &version).map_err(explain)?;
        // The engine decodes this header with base64's URL alphabet (moby, `registry.DecodeAuthConfig`), bollard encodes
        // it with the other one, and an engine that cannot decode it pulls anonymously instead of complaining.
        Ok(client.with_request_modifier(|mut request| {
            let auth = request.headers().get("x-registry-auth").and_then(|value| value.to_str().ok());
            let auth = auth.map(|value| value.replace('+', "-").replace('/', "_"));
            if let Some(value) = auth.and_then(|value| value.parse().ok()) {
                request.headers_mut().insert("x-registry-auth", value);
            }
            request
        }))
    }

    /// Posts a document to a path, and gives the connection that the engine makes of it; see [`transport::upgrade`].
    pub(super) async fn upgrade(
        &self,
        path: &str,
        document: &serde_json::Value,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + use<>> {
        let place = self.place().await.map_err(io::Error::other)?;
        let (major, minor) = self.version;
        let path = format!("/v{major}.{minor}{path}");
        transport::upgrade(&place, &path, document.to_string().into_bytes()).await
    }

    /// What the engine says of its disk, as a document: of objects of this type, if it can tell them apart (since 1.42).
    pub(super) async fn disk_usage(&self, of: &str) -> io::Result<Vec<u8>> {
        let place = self.place().await.map_err(io::Error::other)?;
        // Newer versions answer in another format.
        let (major, minor) = self.version.min((1, 44));
        transport::get(&place, &format!("/v{major}.{minor}/system/df?type={of}")).await
    }

    /// Reads the certificates, if the engine is reached through TLS.
    async fn place(&self) -> Result<Place, String> {
        let location = self.location();
        match self.scheme() {
            #[cfg(unix)]
            "unix" => Ok(Place::Socket(PathBuf::from(location))),
            "tcp" | "http" if self.certificates.is_none() => Ok(Place::Tcp(location.to_owned())),
            "tcp" | "https" => self.place_behind_tls().await,
            "ssh" => transport::Destination::parse(location).map(Place::Ssh),
            _ => Err("an address starts with unix://, tcp:// or ssh://".to_owned()),
        }
    }

    #[cfg(feature = "tls")]
    async fn place_behind_tls(&self) -> Result<Place, String> {
        let address = self.location().to_owned();
        let connector = transport::Connector::read(self.certificates.clone(), &address).await?;
        Ok(Place::Tls { address, connector })
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_async, reason = "as the one with TLS")]
    async fn place_behind_tls(&self) -> Result<Place, String> {
        Err("TLS is not compiled in; enable bowline's feature `tls`".to_owned())
    }

    /// The message for an engine that closed the connection.
    pub(super) fn hung_up(&self) -> String {
        failure::gone(&format!("{}: it closed the connection", self.address))
    }

    pub(crate) fn describe(&self) -> Description {
        Description {
            name: "docker",
            version: self.engine.version.clone(),
            platform: self.engine.about.platform.clone(),
            place: self.address.clone(),
        }
    }

    /// The engine's own random name, wherever it is reached; empty if it gave none.
    pub(super) fn id(&self) -> &str {
        &self.engine.about.id
    }

    /// Whether the engine can put an init process into containers, which reaps what processes leave behind and lets signals
    /// work that a process 1 would not get.
    pub(super) fn has_init(&self) -> bool {
        self.engine.about.has_init
    }

    pub(super) fn is_through_ssh(&self) -> bool {
        self.scheme() == "ssh"
    }

    fn scheme(&self) -> &str {
        self.address.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// The address without its scheme.
    fn location(&self) -> &str {
        self.address.split_once("://").map_or("", |(_, location)| location)
    }

    /// Asks the engine what it is, and agrees on an API version.
    pub(super) async fn negotiate(mut self) -> Result<Self, String> {
        let place = self.place().await?;
        let stream = place.reach().await.map_err(|error| reason(&error, &place))?;
        let peer = match &stream {
            #[cfg(unix)]
            Stream::Socket(stream) => memory::peer(stream),
            _ => String::new(),
        };
        let greeting = greet(stream).await?;
        if greeting.api < OLDEST {
            let (major, minor) = greeting.api;
            return Err(format!(
                "it speaks version {major}.{minor} of the API; 1.41 (Docker 20.10) or newer is needed"
            ));
        }
        let newest = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
        self.version = greeting.api.min(newest);
        let memory = Memory::of(&self.address, &[&greeting.version, &peer]);
        let about = if let Some(about) = memory.recall() {
            about
        } else {
            let about = self.ask(place).await?;
            memory.keep(&about);
            about
        };
        self.engine = Engine { version: greeting.version, about };
        Ok(self)
    }

    /// What never changes while the engine runs. It asks containerd, runc and its init for their versions each time.
    async fn ask(&self, place: Place) -> Result<About, String> {
        let client = self.client_at(place)?;
        let (version, info) = try_join(client.version(), client.info()).await.map_err(explain)?;
        let components = version.components.unwrap_or_default();
        let has_init =
            components.iter().any(|component| component.name == "docker-init" && component.version != "N/A");
        let platform = format!("{}/{}", version.os.unwrap_or_default(), version.arch.unwrap_or_default());
        Ok(About { id: info.id.unwrap_or_default(), platform, has_init })
    }
}

struct Greeting {
    /// The API version that the engine reports.
    api: (usize, usize),
    version: String,
}

/// `GET /_ping`, whose headers contain what differs between engines at one address, in 0.5 ms, where `GET /version` takes
/// 8 and more. bollard does not expose headers.
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Greeting, String> {
    let request = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    // Ends with the connection; a peer that does not speak HTTP may send more, but not beyond this limit.
    stream.take(16 << 10).read_to_end(&mut answer).await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    let header = |name: &str| {
        answer.lines().take_while(|line| !line.is_empty()).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    if header("Libpod-Api-Version").is_some() {
        return Err(PODMAN.to_owned());
    }
    let Some(api) = header("Api-Version").and_then(parse_version) else {
        let first = answer.lines().next().unwrap_or_default();
        return Err(match first {
            "" => "it closed the connection; does it expect TLS? (set DOCKER_TLS_VERIFY=1)".to_owned(),
            line => format!("it does not speak Docker's API: `{}`", line.escape_debug()),
        });
    };
    // `Docker/28.2.2 (linux)`
    let server = header("Server").unwrap_or_default();
    let version =
        server.split_once('/').map_or(server, |(_, rest)| rest).split(' ').next().unwrap_or_default();
    Ok(Greeting { api, version: version.to_owned() })
}

fn parse_version(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn explain(failure: bollard::errors::Error) -> String {
    failure::cause(&failure)
}

/// Why nothing answers at an address, and what helps.
fn reason(error: &io::Error, place: &Place) -> String {
    #[cfg(unix)]
    if let Place::Socket(path) = place {
        return socket_reason(error, path);
    }
    error.to_string()
}

#[cfg(unix)]
fn socket_reason(error: &io::Error, path: &Path) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "nothing listens there; the engine has stopped".to_owned(),
        io::ErrorKind::PermissionDenied => format!(
            "permission denied; join the group that owns {} (`sudo usermod -aG docker $USER`, then log in again) or run with sudo",
            path.display()
        ),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_completed_as_the_command_line_does() {
        let address =
            |host: &str, tls: Option<&str>| Connection::new(host.to_owned(), tls.map(PathBuf::from)).address;
        assert_eq!(address("tcp://host", None), "tcp://host:2375");
        assert_eq!(address("tcp://host/", Some("/certs")), "tcp://host:2376");
        assert_eq!(address("tcp://[::1]:1234", None), "tcp://[::1]:1234");
        assert_eq!(address("https://[::1]/", None), "https://[::1]:443");
        assert_eq!(address("unix:///run/x.sock", None), "unix:///run/x.sock");
    }
}
