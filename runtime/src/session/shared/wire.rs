//! What the owner of a shared service and its members say to each other, over a Unix socket of their own for each request:
//! messages of JSON, each behind its length. A request ends with its socket, so whoever gives up or dies closes it.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::Error;
use crate::engine::{Command, Ended, InstanceId, PortNumber, ServiceSpec};
use crate::error::Reason;
use crate::model::{CacheKey, Digest, Exit, Port, Stream, WindowSize};

/// More than any message has, except for the files of a service.
const LONGEST: u32 = 1 << 30;

/// What an owner is told when it is made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Where the owner of this service is found.
    pub(super) name: Name,
    /// The working directory of the program, which relative paths in variables are relative to.
    pub(super) directory: PathBuf,
    /// The engine: its name, and where it is.
    pub(super) engine: (String, String),
    /// When the session that made it began: what that looked up is in use.
    pub(super) since: SystemTime,
    pub(super) service: ServiceSpec,
    /// The cache volumes that it writes to.
    pub(super) caches: Vec<CacheKey>,
    /// How long these may be in use by other services.
    pub(super) within: Duration,
    /// How it is stopped: the signal, and the grace period.
    pub(super) stop: (String, Duration),
    pub(super) linger: Duration,
    /// The shared services that it is bound to.
    pub(super) bound: Vec<Bound>,
}

/// Where the owner of a service is found: a name that no other service of the machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) directory: PathBuf,
    pub(super) name: String,
}

impl Name {
    /// What an owner listens at.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// What an owner has locked.
    pub(super) fn lock(&self) -> PathBuf {
        self.directory.join(format!("{}.lock", self.name))
    }
}

/// A shared service that a shared service is bound to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Bound {
    pub(super) name: Name,
    /// Its name for people.
    pub(super) service: String,
    pub(super) instance: InstanceId,
    pub(super) ports: Vec<PortNumber>,
}

/// What an owner that was made says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Begun {
    /// It has the lock, and can be joined.
    Listening,
    /// Another one has the lock.
    Taken,
    Failed(Fault),
}

/// What a member asks of an owner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Uses the service while this is open. Answered by [`Welcome`] and [`News`].
    Join,
    /// Waits until it passes. Answered by [`Finding`]s.
    Probe(Probe),
    /// Answered by a mark with a descriptor, or [`Refusal`].
    Connect { port: u16 },
    /// The same.
    Flow { port: u16 },
    /// Answered by an address.
    Address,
    /// What it listens on. Answered by a set of sockets, if its network is its own, or a [`Fault`].
    Listening,
    /// Whether its process runs.
    IsAlive,
    /// Answered by [`Heard`].
    Execute { command: Command },
    /// Answered by a mark with a descriptor, or [`Refusal`]; then sizes of windows go one way, and the end the other.
    Open { command: Command, size: WindowSize },
    /// Whether the service is known to be ready in this way.
    IsReady { manner: String },
    /// It was found ready in this way.
    Ready { manner: String },
    /// The steps that have run against it, without this many that are known.
    Seen { known: usize },
    /// Waits until nobody else runs this step against it, and says whether it was run. Nobody else does while this is open.
    Turn { step: Digest },
}

/// What a service is probed for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Probe {
    Ports(Vec<Port>),
    Http { port: u16, path: String },
}

/// Said with a turn, and answered: the step was run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saw;

/// The answer to [`Request::Join`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Welcome {
    /// The owner's number as a process.
    pub(super) owner: u32,
    /// The session in which it runs the service.
    pub(super) session: String,
}

/// What happens to a service.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum News {
    /// A service of another session holds one of its caches.
    Waiting { cache: CacheKey, service: String, owner: String },
    /// Its process was started. If somebody else started it, that was before.
    Started,
    Output {
        stream: Stream,
        bytes: String,
        /// Whether it was written before the member joined.
        is_past: bool,
    },
    /// The oldest output is not kept any more.
    Skipped { bytes: u64 },
    /// Its process has ended.
    Exited { exit: Exit },
    /// It cannot be used, or used any longer.
    Failed(Fault),
}

/// How a probe fares.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Finding {
    Found { probe: String, failure: Option<String> },
    Passed,
    Failed(Fault),
}

/// What comes of a command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Heard {
    Output { stream: Stream, bytes: String },
    Ended(Ended),
    Failed(Fault),
}

/// The error of somebody else's process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fault {
    what: String,
    message: String,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Engine { what, message, .. } => Self { what, message },
            other => Self { what: "use a shared service".to_owned(), message: other.to_string() },
        }
    }
}

impl From<Fault> for Error {
    fn from(Fault { what, message }: Fault) -> Self {
        Self::engine(what, message)
    }
}

/// Why there is no connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// The system's number of the error, where it has one.
    code: Option<i32>,
    message: String,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let code = error.raw_os_error().or(match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(libc::ECONNREFUSED),
            io::ErrorKind::ConnectionReset => Some(libc::ECONNRESET),
            io::ErrorKind::TimedOut => Some(libc::ETIMEDOUT),
            _ => None,
        });
        Self { code, message: error.to_string() }
    }
}

impl From<Refusal> for io::Error {
    fn from(Refusal { code, message }: Refusal) -> Self {
        code.map_or_else(|| Self::other(message), Self::from_raw_os_error)
    }
}

/// A message with its length.
fn framed(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("a message is too long"))?;
    frame.splice(..4, length.to_le_bytes());
    Ok(frame)
}

fn length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head);
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData.into())
}

pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    to.write_all(&framed(message)?).await
}

/// The next message; an error if the other side has closed.
pub(super) async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut head = [0; 4];
    from.read_exact(&mut head).await?;
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// The same, for who may block.
pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&framed(message)?)
}

pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

pub(super) fn decoded(text: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(text.as_bytes()).unwrap_or_default()
}

/// For `map_err`: what was being done with a service.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::NotFound => Error::engine(what, Reason::said(OWNER_IS_GONE.to_owned(), error)),
        _ => Error::engine(what, error),
    }
}

pub(super) const OWNER_IS_GONE: &str = "the process that owns it has ended: somebody killed it";
