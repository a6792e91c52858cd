//! Connections to an engine, through a socket, TCP, TLS or ssh. Each request has its own, as an answer may last as long
//! as the process that it reports on.

use std::fmt;
use std::io;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as Failure;
use bollard::{BollardRequest, ClientVersion, Docker};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use self::bound::Bound;
use self::exchange::{Idle, Open};
pub(super) use self::ssh::Destination;
pub(super) use self::stream::Stream;
#[cfg(feature = "tls")]
pub(super) use self::tls::Connector;

mod bound;
mod exchange;
mod ssh;
mod stream;
#[cfg(all(test, unix))]
mod tests;
#[cfg(feature = "tls")]
mod tls;

/// Timeout of connecting, TLS included. ssh has its own.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// Where an engine listens, and how to reach it.
#[derive(Debug, Clone)]
pub(super) enum Place {
    #[cfg(unix)]
    Socket(PathBuf),
    /// `host:port`.
    Tcp(String),
    #[cfg(feature = "tls")]
    Tls {
        address: String,
        connector: Connector,
    },
    Ssh(Destination),
}

/// A client of an engine. It connects later. `address` is the engine's name for people.
pub(super) fn client(
    place: Place,
    address: &str,
    limit: u64,
    version: &ClientVersion,
) -> Result<Docker, Failure> {
    let route = Arc::new(Route { place, address: address.to_owned(), idle: Idle::default() });
    let request = move |request| send(Arc::clone(&route), request);
    // The address is in no request: each has a connection of its own.
    Docker::connect_with_custom_transport(request, Some("http://docker"), limit, version)
}

/// Posts a document, and gives the connection that the engine makes of it: raw, as the stream of a terminal has to be. A
/// terminal's output has no frames, and bollard looks for some in it.
pub(super) async fn upgrade(place: &Place, path: &str, document: Vec<u8>) -> io::Result<TokioIo<Upgraded>> {
    let mut request = BollardRequest::new(bollard::body_full(document.into()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let headers = [
        (HOST, place.host()),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("tcp")),
    ];
    request.headers_mut().extend(headers);
    let open = Open::new(place.reach().await?).await?;
    let (answer, _) = open.ask(request, Bound::None).await.map_err(|(error, _)| error)?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return hyper::upgrade::on(answer).await.map(TokioIo::new).map_err(io::Error::other);
    }
    Err(io::Error::other(refusal(answer).await))
}

/// Gets a document that bollard does not know.
pub(super) async fn get(place: &Place, path: &str) -> io::Result<Vec<u8>> {
    let mut request = BollardRequest::new(bollard::body_full(Vec::new().into()));
    *request.uri_mut() = path.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    request.headers_mut().insert(HOST, place.host());
    let bound = Bound::of(request.method(), request.uri().path());
    let open = Open::new(place.reach().await?).await?;
    let (answer, _) = open.ask(request, bound).await.map_err(|(error, _)| error)?;
    if answer.status() == StatusCode::OK {
        return body(answer, usize::MAX).await;
    }
    Err(io::Error::other(refusal(answer).await))
}

/// The body of an answer, or its beginning.
async fn body(answer: Response<Incoming>, at_most: usize) -> io::Result<Vec<u8>> {
    let (mut body, mut text) = (answer.into_body(), Vec::new());
    while text.len() < at_most {
        let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame else { break };
        if let Ok(bytes) = frame.map_err(io::Error::other)?.into_data() {
            text.extend_from_slice(&bytes);
        }
    }
    Ok(text)
}

/// What an engine says instead of what was asked.
async fn refusal(answer: Response<Incoming>) -> String {
    const AT_MOST: usize = 64 << 10;
    let status = answer.status();
    let text = body(answer, AT_MOST).await.unwrap_or_default();
    let document = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let message = document.as_ref().and_then(|document| document.get("message")?.as_str());
    message.map_or_else(|| format!("the engine answers with {status}"), str::to_owned)
}

/// Everything that a request needs.
struct Route {
    place: Place,
    /// The engine's name for people, for errors.
    address: String,
    idle: Idle,
}

async fn send(route: Arc<Route>, request: BollardRequest) -> Result<Response<Incoming>, Failure> {
    let bound = Bound::of(request.method(), request.uri().path());
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse::<Uri>().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    parts.headers.insert(HOST, route.place.host());
    let request = BollardRequest::from_parts(parts, body);
    route.ask(request, bound).await.map_err(|error| Lost { address: route.address.clone(), error }.into())
}

impl Route {
    async fn ask(&self, request: BollardRequest, bound: Bound) -> io::Result<Response<Incoming>> {
        if let Place::Ssh(_) = self.place {
            return self.idle.ask(request, bound, || self.place.reach()).await;
        }
        let open = Open::new(self.place.reach().await?).await?;
        open.ask(request, bound).await.map(|(answer, _)| answer).map_err(|(error, _)| error)
    }
}

impl Place {
    /// A connection for a request.
    pub(super) async fn reach(&self) -> io::Result<Stream> {
        if let Self::Ssh(destination) = self {
            // ssh has its own timeout, which excludes the time spent waiting for other logins.
            return destination.connect().await.map(Box::new).map(Stream::Ssh);
        }
        tokio::time::timeout(CONNECT_WITHIN, self.connect()).await.unwrap_or_else(|_| {
            let message = format!("no connection within {} s", CONNECT_WITHIN.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }

    async fn connect(&self) -> io::Result<Stream> {
        match self {
            #[cfg(unix)]
            Self::Socket(path) => tokio::net::UnixStream::connect(path).await.map(Stream::Socket),
            Self::Tcp(address) => TcpStream::connect(address).await.map(Stream::Tcp),
            #[cfg(feature = "tls")]
            Self::Tls { address, connector } => {
                connector.connect(TcpStream::connect(address).await?).await.map(Box::new).map(Stream::Tls)
            }
            Self::Ssh(destination) => destination.connect().await.map(Box::new).map(Stream::Ssh),
        }
    }

    /// The value of the requests' `Host` header.
    fn host(&self) -> HeaderValue {
        const OTHER: HeaderValue = HeaderValue::from_static("docker");
        match self {
            Self::Tcp(address) => HeaderValue::from_str(address).unwrap_or(OTHER),
            #[cfg(feature = "tls")]
            Self::Tls { address, .. } => HeaderValue::from_str(address).unwrap_or(OTHER),
            _ => OTHER,
        }
    }
}

/// A request that failed, and where it was sent.
#[derive(Debug)]
struct Lost {
    address: String,
    error: io::Error,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.error)
    }
}

impl std::error::Error for Lost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        io::Error::new(lost.error.kind(), lost).into()
    }
}
