//! Events that were written as JSON, read back.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::VERSION;
use crate::event::{Event, EventKind, Outcome, SpanId, Stream, Subject, Transfer, Verb, Waiting};
use crate::model::{Digest, Exit, Place};

/// An event that was read back.
#[derive(Debug)]
pub(crate) struct Told {
    /// Without its locations, which are
    pub(crate) event: Event,
    /// here, as they are written.
    pub(crate) places: Vec<Place>,
}

/// Reads one line. The error is what is wrong with it.
pub(crate) fn read(line: &[u8]) -> Result<Told, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if line.v != VERSION {
        return Err(format!("version {} is not known", line.v));
    }
    let event = Event {
        at: SystemTime::UNIX_EPOCH + duration(line.t),
        elapsed: duration(line.elapsed),
        session: line.session.into(),
        span: SpanId(line.span),
        parent: line.parent.map(SpanId),
        subject: subject(&line.subject, line.name, line.digest, line.hostname)?,
        locations: Arc::default(),
        kind: line.kind.kind()?,
    };
    Ok(Told { event, places: line.locations })
}

#[derive(Deserialize)]
struct Line {
    v: u32,
    t: f64,
    elapsed: f64,
    session: String,
    span: NonZeroU64,
    parent: Option<NonZeroU64>,
    subject: String,
    name: Option<String>,
    digest: Option<Digest>,
    hostname: Option<String>,
    #[serde(default)]
    locations: Vec<Place>,
    #[serde(flatten)]
    kind: Kind,
}

/// The fields of each kind, as they are written.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Kind {
    Opened,
    Closed {
        outcome: String,
        error: Option<String>,
    },
    Connected {
        engine: String,
        version: String,
        platform: String,
    },
    Transfer {
        verb: String,
        done: u64,
        total: Option<u64>,
        files: Option<u64>,
    },
    Cached,
    Fetched {
        from: String,
    },
    Missed {
        why: String,
    },
    Waiting {
        #[serde(rename = "for")]
        what: String,
        for_name: Option<String>,
        for_digest: Option<Digest>,
        for_hostname: Option<String>,
        held_by: Option<String>,
        held_in: Option<String>,
    },
    Replayed,
    Starting,
    Started {
        args: Vec<String>,
    },
    Output {
        stream: String,
        line: String,
    },
    OutputDropped {
        lines: u64,
    },
    Finished {
        #[serde(flatten)]
        exit: Ended,
        success: bool,
    },
    Stored,
    Kept {
        files: bool,
        took: f64,
        keeping: f64,
    },
    FilesMissing,
    NotStored {
        error: String,
    },
    ProbeFailed {
        probe: String,
        finding: String,
    },
    ProbePassed {
        probe: String,
    },
    Ready {
        after: f64,
    },
    Tunnelled {
        port: String,
        address: std::net::SocketAddr,
    },
    Failed {
        error: String,
    },
    Stopping {
        signal: String,
    },
    Exited(Ended),
    Joined {
        owner: u32,
        owner_session: String,
    },
    Left,
    Detached,
    Warning {
        message: String,
    },
}

#[derive(Deserialize)]
struct Ended {
    exit_code: i32,
    #[serde(default)]
    out_of_memory: bool,
}

impl From<Ended> for Exit {
    fn from(Ended { exit_code, out_of_memory }: Ended) -> Self {
        Self { code: exit_code, out_of_memory }
    }
}

impl Kind {
    fn kind(self) -> Result<EventKind, String> {
        Ok(match self {
            Self::Opened => EventKind::Opened,
            Self::Closed { outcome, error } => EventKind::Closed(of_outcome(&outcome, error)?),
            Self::Connected { engine, version, platform } => EventKind::Connected {
                engine: ["docker", "native"]
                    .into_iter()
                    .find(|known| *known == engine)
                    .ok_or_else(|| unknown("engine", &engine))?,
                version: version.into(),
                platform: platform.into(),
            },
            Self::Transfer { verb, done, total, files } => {
                EventKind::Transfer(Transfer { verb: of_verb(&verb)?, done, total, files })
            }
            Self::Cached => EventKind::Cached,
            Self::Fetched { from } => EventKind::Fetched { from: from.into() },
            Self::Missed { why } => EventKind::Missed { why: why.into() },
            Self::Waiting { what, for_name, for_digest, for_hostname, held_by, held_in } => {
                EventKind::Waiting(match what.as_str() {
                    "process" => Waiting::Process,
                    "cache" => Waiting::Cache {
                        cache: given("for_name", for_name)?,
                        service: given("held_by", held_by)?,
                        owner: given("held_in", held_in)?,
                    },
                    what => Waiting::For(subject(what, for_name, for_digest, for_hostname)?),
                })
            }
            Self::Replayed => EventKind::Replayed,
            Self::Starting => EventKind::Starting,
            Self::Started { args } => EventKind::Started { args: args.into() },
            Self::Output { stream, line } => {
                let known = [Stream::Stdout, Stream::Stderr].into_iter().find(|known| known.word() == stream);
                let stream = known.ok_or_else(|| unknown("stream", &stream))?;
                EventKind::Output { stream, line: line.into() }
            }
            Self::OutputDropped { lines } => EventKind::OutputDropped { lines },
            Self::Finished { exit, success } => EventKind::Finished { exit: exit.into(), success },
            Self::Stored => EventKind::Stored,
            Self::Kept { files, took, keeping } => {
                EventKind::Kept { files, took: duration(took), keeping: duration(keeping) }
            }
            Self::FilesMissing => EventKind::FilesMissing,
            Self::NotStored { error } => EventKind::NotStored { error: error.into() },
            Self::ProbeFailed { probe, finding } => {
                EventKind::ProbeFailed { probe: probe.into(), finding: finding.into() }
            }
            Self::ProbePassed { probe } => EventKind::ProbePassed { probe: probe.into() },
            Self::Ready { after } => EventKind::Ready { after: duration(after) },
            Self::Tunnelled { port, address } => EventKind::Tunnelled { port: port.into(), address },
            Self::Failed { error } => EventKind::Failed { error: error.into() },
            Self::Stopping { signal } => EventKind::Stopping { signal: signal.into() },
            Self::Exited(exit) => EventKind::Exited { exit: exit.into() },
            Self::Joined { owner, owner_session } => {
                EventKind::Joined { owner, session: owner_session.into() }
            }
            Self::Left => EventKind::Left,
            Self::Detached => EventKind::Detached,
            Self::Warning { message } => EventKind::Warning { message: message.into() },
        })
    }
}

fn subject(
    word: &str,
    name: Option<String>,
    digest: Option<Digest>,
    hostname: Option<String>,
) -> Result<Subject, String> {
    if word == "session" {
        return Ok(Subject::Session);
    }
    let name = given("name", name)?;
    Ok(match word {
        "request" => Subject::Request { name },
        "image" => Subject::Image { name },
        "source" => Subject::Source { name },
        "remote_cache" => Subject::RemoteCache { name },
        "preparation" => Subject::Preparation { name },
        "step" => Subject::Step { name, digest: digest.ok_or_else(|| missing("digest"))? },
        "service" => Subject::Service { name, hostname: given("hostname", hostname)? },
        other => return Err(unknown("subject", other)),
    })
}

fn of_outcome(word: &str, error: Option<String>) -> Result<Outcome, String> {
    Ok(match word {
        "succeeded" => Outcome::Succeeded,
        "cancelled" => Outcome::Cancelled,
        "failed" => Outcome::Failed { error: given("error", error)? },
        "skipped" => Outcome::Skipped { error: given("error", error)? },
        other => return Err(unknown("outcome", other)),
    })
}

fn of_verb(word: &str) -> Result<Verb, String> {
    const ALL: [Verb; 9] = [
        Verb::Pulling,
        Verb::Loading,
        Verb::Unpacking,
        Verb::Packing,
        Verb::Pushing,
        Verb::Exporting,
        Verb::Hashing,
        Verb::Sending,
        Verb::Storing,
    ];
    ALL.into_iter().find(|verb| verb.to_string() == word).ok_or_else(|| unknown("verb", word))
}

fn given(field: &str, value: Option<String>) -> Result<Arc<str>, String> {
    value.map(Arc::from).ok_or_else(|| missing(field))
}

fn missing(field: &str) -> String {
    format!("missing field `{field}`")
}

fn unknown(what: &str, word: &str) -> String {
    format!("unknown {what} `{word}`")
}

/// Of seconds, as they are written: a whole number of microseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is out of range saturates")]
fn duration(seconds: f64) -> Duration {
    Duration::from_micros((seconds * 1e6).round() as u64)
}
