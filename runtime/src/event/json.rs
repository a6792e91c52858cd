//! Events as JSON: one object each, the same wherever events leave the program. `events.schema.json`, in the root of this
//! crate, is its schema, and a test holds the two together.

use std::time::{Duration, SystemTime};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Event, EventKind, Outcome, SpanId, Stream, Subject, Transfer, Waiting};
use crate::model::Exit;

/// The version of the format. A field that is added does not change it.
const VERSION: u32 = 1;

/// One object: `{"v":1, "t":1764500000.25, "event":"ready", "subject":"service", "name":"db", …}`. The schema of all of
/// them is `events.schema.json`, in the crate's root directory. Times are in seconds, `t` since the Unix epoch.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { at, elapsed, session, span, parent, subject, locations, kind } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &VERSION)?;
        map.serialize_entry("t", &seconds(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()))?;
        map.serialize_entry("elapsed", &seconds(*elapsed))?;
        map.serialize_entry("session", &**session)?;
        map.serialize_entry("span", span)?;
        if let Some(parent) = parent {
            map.serialize_entry("parent", parent)?;
        }
        of_subject(&mut map, subject)?;
        if !locations.is_empty() {
            map.serialize_entry("locations", &**locations)?;
        }
        of_kind(&mut map, kind)?;
        map.end()
    }
}

/// As a number, which is unique in the process.
impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

impl Subject {
    /// The word that it has in JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Request { .. } => "request",
            Self::Image { .. } => "image",
            Self::Source { .. } => "source",
            Self::RemoteCache { .. } => "remote_cache",
            Self::Step { .. } => "step",
            Self::Preparation { .. } => "preparation",
            Self::Service { .. } => "service",
        }
    }
}

fn of_subject<M: SerializeMap>(map: &mut M, subject: &Subject) -> Result<(), M::Error> {
    map.serialize_entry("subject", subject.word())?;
    match subject {
        Subject::Session => Ok(()),
        Subject::Request { name }
        | Subject::Image { name }
        | Subject::Source { name }
        | Subject::RemoteCache { name }
        | Subject::Preparation { name } => map.serialize_entry("name", &**name),
        Subject::Step { name, digest } => {
            map.serialize_entry("name", &**name)?;
            map.serialize_entry("digest", digest)
        }
        Subject::Service { name, hostname } => {
            map.serialize_entry("name", &**name)?;
            map.serialize_entry("hostname", &**hostname)
        }
    }
}

fn of_kind<M: SerializeMap>(map: &mut M, kind: &EventKind) -> Result<(), M::Error> {
    map.serialize_entry("event", kind.word())?;
    match kind {
        EventKind::Opened
        | EventKind::Cached
        | EventKind::Replayed
        | EventKind::Starting
        | EventKind::Stored
        | EventKind::FilesMissing
        | EventKind::Left
        | EventKind::Detached => Ok(()),
        EventKind::Closed(outcome) => of_outcome(map, outcome),
        EventKind::Connected { engine, version, platform } => {
            map.serialize_entry("engine", engine)?;
            map.serialize_entry("version", &**version)?;
            map.serialize_entry("platform", &**platform)
        }
        EventKind::Transfer(Transfer { verb, done, total, files }) => {
            map.serialize_entry("verb", &verb.to_string())?;
            map.serialize_entry("done", done)?;
            optional(map, "total", total.as_ref())?;
            optional(map, "files", files.as_ref())
        }
        EventKind::Fetched { from } => map.serialize_entry("from", &**from),
        EventKind::Missed { why } => map.serialize_entry("why", &**why),
        EventKind::Waiting(waiting) => of_waiting(map, waiting),
        EventKind::Started { args } => map.serialize_entry("args", &**args),
        EventKind::Output { stream, line } => {
            map.serialize_entry("stream", stream.word())?;
            map.serialize_entry("line", &**line)
        }
        EventKind::OutputDropped { lines } => map.serialize_entry("lines", lines),
        EventKind::Finished { exit, success } => {
            of_exit(map, *exit)?;
            map.serialize_entry("success", success)
        }
        EventKind::Kept { files, took, keeping } => {
            map.serialize_entry("files", files)?;
            map.serialize_entry("took", &seconds(*took))?;
            map.serialize_entry("keeping", &seconds(*keeping))
        }
        EventKind::NotStored { error } | EventKind::Failed { error } => {
            map.serialize_entry("error", &**error)
        }
        EventKind::ProbeFailed { probe, finding } => {
            map.serialize_entry("probe", &**probe)?;
            map.serialize_entry("finding", &**finding)
        }
        EventKind::ProbePassed { probe } => map.serialize_entry("probe", &**probe),
        EventKind::Ready { after } => map.serialize_entry("after", &seconds(*after)),
        EventKind::Tunnelled { port, address } => {
            map.serialize_entry("port", &**port)?;
            map.serialize_entry("address", &address.to_string())
        }
        EventKind::Stopping { signal } => map.serialize_entry("signal", &**signal),
        EventKind::Exited { exit } => of_exit(map, *exit),
        EventKind::Joined { owner, session } => {
            map.serialize_entry("owner", owner)?;
            map.serialize_entry("owner_session", &**session)
        }
        EventKind::Warning { message } => map.serialize_entry("message", &**message),
    }
}

impl EventKind {
    /// The word that it has in JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed(_) => "closed",
            Self::Connected { .. } => "connected",
            Self::Transfer(_) => "transfer",
            Self::Cached => "cached",
            Self::Fetched { .. } => "fetched",
            Self::Missed { .. } => "missed",
            Self::Waiting(_) => "waiting",
            Self::Replayed => "replayed",
            Self::Starting => "starting",
            Self::Started { .. } => "started",
            Self::Output { .. } => "output",
            Self::OutputDropped { .. } => "output_dropped",
            Self::Finished { .. } => "finished",
            Self::Stored => "stored",
            Self::Kept { .. } => "kept",
            Self::FilesMissing => "files_missing",
            Self::NotStored { .. } => "not_stored",
            Self::ProbeFailed { .. } => "probe_failed",
            Self::ProbePassed { .. } => "probe_passed",
            Self::Ready { .. } => "ready",
            Self::Tunnelled { .. } => "tunnelled",
            Self::Failed { .. } => "failed",
            Self::Stopping { .. } => "stopping",
            Self::Exited { .. } => "exited",
            Self::Joined { .. } => "joined",
            Self::Left => "left",
            Self::Detached => "detached",
            Self::Warning { .. } => "warning",
        }
    }
}

fn of_outcome<M: SerializeMap>(map: &mut M, outcome: &Outcome) -> Result<(), M::Error> {
    match outcome {
        Outcome::Succeeded => map.serialize_entry("outcome", "succeeded"),
        Outcome::Cancelled => map.serialize_entry("outcome", "cancelled"),
        Outcome::Failed { error } => {
            map.serialize_entry("outcome", "failed")?;
            map.serialize_entry("error", &**error)
        }
        Outcome::Skipped { error } => {
            map.serialize_entry("outcome", "skipped")?;
            map.serialize_entry("error", &**error)
        }
    }
}

fn of_waiting<M: SerializeMap>(map: &mut M, waiting: &Waiting) -> Result<(), M::Error> {
    match waiting {
        Waiting::For(subject) => {
            map.serialize_entry("for", subject.word())?;
            map.serialize_entry("for_name", subject.name())?;
            match subject {
                Subject::Step { digest, .. } => map.serialize_entry("for_digest", digest),
                Subject::Service { hostname, .. } => map.serialize_entry("for_hostname", &**hostname),
                _ => Ok(()),
            }
        }
        Waiting::Process => map.serialize_entry("for", "process"),
        Waiting::Cache { cache, service, owner } => {
            map.serialize_entry("for", "cache")?;
            map.serialize_entry("for_name", &**cache)?;
            map.serialize_entry("held_by", &**service)?;
            map.serialize_entry("held_in", &**owner)
        }
    }
}

fn of_exit<M: SerializeMap>(map: &mut M, exit: Exit) -> Result<(), M::Error> {
    map.serialize_entry("exit_code", &exit.code)?;
    if exit.out_of_memory { map.serialize_entry("out_of_memory", &true) } else { Ok(()) }
}

fn optional<M: SerializeMap>(map: &mut M, key: &str, value: Option<&u64>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, value))
}

impl Stream {
    /// The word that it has in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// With microseconds, which is what a double has room for in a time since the epoch.
fn seconds(duration: Duration) -> f64 {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).as_secs_f64()
}

#[cfg(feature = "cli")]
pub(super) mod read;
#[cfg(test)]
mod tests;
