//! What has happened in all sessions of a program, collected from their events for files that are read afterwards.

mod critical;
mod span;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

pub(super) use self::span::{Outcome, Recorded};
#[cfg(feature = "cli")]
use crate::event::Told;
use crate::event::{Event, EventKind, SpanId, Stream, Subject, Waiting};
use crate::model::Place;

/// More than any pipeline has; what begins later is counted and left out.
const MOST_SPANS: usize = 50_000;
/// How much output is kept of everything together: 64 MiB. What comes later is counted as left out.
const MOST_OUTPUT: usize = 64 << 20;

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// When the first session began.
    began: Option<SystemTime>,
    /// When each session began, after the first.
    sessions: HashMap<Arc<str>, f64>,
    engines: Vec<String>,
    spans: BTreeMap<SpanId, Recorded>,
    left_out: u64,
    output: usize,
    /// The time of the last event.
    last: f64,
}

/// A run, as it is written into a file. Its form is described in `html/data.md`.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    v: u32,
    pub(super) program: String,
    /// In seconds since the Unix epoch.
    pub(super) started: f64,
    /// In seconds.
    pub(super) duration: f64,
    engines: Vec<String>,
    critical: Vec<u64>,
    counts: Counts,
    left_out: u64,
    pub(super) spans: Vec<Recorded>,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    done: usize,
    cached: usize,
    failed: usize,
    skipped: usize,
    services: usize,
}

/// What something else waits for, as far as that can be said when it begins to wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Step(crate::Digest),
    Service(Arc<str>),
    Source(Arc<str>),
}

impl Key {
    fn of(subject: &Subject) -> Option<Self> {
        match subject {
            Subject::Step { digest, .. } => Some(Self::Step(*digest)),
            Subject::Service { hostname, .. } => Some(Self::Service(hostname.clone())),
            Subject::Source { name } => Some(Self::Source(name.clone())),
            _ => None,
        }
    }
}

impl Record {
    /// Adds an event.
    pub(super) fn follow(&mut self, event: &Event) {
        self.add(event, || event.locations.iter().map(Place::from).collect());
    }

    /// Adds an event that was read back.
    #[cfg(feature = "cli")]
    pub(super) fn read(&mut self, Told { mut event, places }: Told) {
        let EventKind::Output { stream, line } = event.kind.clone() else {
            return self.add(&event, || places);
        };
        for line in line.split('\n') {
            event.kind = EventKind::Output { stream, line: line.into() };
            self.add(&event, Vec::new);
        }
    }

    fn add(&mut self, event: &Event, places: impl FnOnce() -> Vec<Place>) {
        let now = self.time(event);
        if now > self.last {
            self.last = now;
        }
        if let EventKind::Connected { engine, version, platform } = &event.kind {
            let engine = format!("{engine} {version} on {platform}");
            if !self.engines.contains(&engine) {
                self.engines.push(engine);
            }
        }
        if event.subject == Subject::Session {
            return;
        }
        if event.kind == EventKind::Opened {
            if self.spans.len() == MOST_SPANS {
                self.left_out += 1;
            } else {
                self.spans.insert(event.span, Recorded::new(event, places(), now));
            }
            return;
        }
        let Some(span) = self.spans.get_mut(&event.span) else { return };
        match &event.kind {
            EventKind::Output { stream, line } => {
                if self.output + line.len() > MOST_OUTPUT {
                    span.leave_out(1);
                } else {
                    self.output = (self.output + line.len()).saturating_sub(span.add(*stream, line));
                }
            }
            EventKind::OutputDropped { lines } => span.leave_out(*lines),
            kind => span.follow(kind, now),
        }
    }

    /// The time of an event, in seconds since the first session began, by a clock that does not jump. All of it in whole
    /// microseconds, as events are written: a record of events that were read back is the same.
    fn time(&mut self, event: &Event) -> f64 {
        let elapsed = whole_micros(event.elapsed);
        let at = event.at.duration_since(SystemTime::UNIX_EPOCH).map(whole_micros).unwrap_or_default();
        let began_at = SystemTime::UNIX_EPOCH + at.saturating_sub(elapsed);
        let first = *self.began.get_or_insert(began_at);
        let began = self
            .sessions
            .entry(event.session.clone())
            .or_insert_with(|| began_at.duration_since(first).unwrap_or(Duration::ZERO).as_secs_f64());
        *began + elapsed.as_secs_f64()
    }

    /// Everything so far, as a file has it.
    pub(super) fn run(&self) -> Run {
        // Requests only say who asked for something, unless they run a command themselves.
        let is_shown = |span: &&Recorded| span.subject != "request" || span.command.is_some();
        let mut spans: Vec<Recorded> = self.spans.values().filter(is_shown).cloned().collect();
        resolve(&mut spans);
        for span in &mut spans {
            span.finish(self.last);
        }
        let mut counts = Counts::default();
        for span in &spans {
            let is_step = matches!(span.subject, "step" | "preparation");
            match span.result {
                Some("done" | "replayed") if is_step => counts.done += 1,
                Some("cached") if is_step => counts.cached += 1,
                Some("failed") => counts.failed += 1,
                Some("skipped") => counts.skipped += 1,
                Some("ready") => counts.services += 1,
                _ => {}
            }
        }
        let started = self.began.and_then(|began| began.duration_since(SystemTime::UNIX_EPOCH).ok());
        Run {
            v: 1,
            program: program(),
            started: started.unwrap_or_default().as_secs_f64(),
            duration: self.last,
            engines: self.engines.clone(),
            critical: critical::path(&spans),
            counts,
            left_out: self.left_out,
            spans,
        }
    }
}

fn whole_micros(time: Duration) -> Duration {
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// The name of the program.
pub(super) fn program() -> String {
    let path = std::env::current_exe().ok();
    let name =
        path.as_deref().and_then(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "bowline".to_owned())
}

/// Finds the spans that others waited for: of several with the same identity, such as the runs of a service, the last that
/// had begun when the waiting ended.
fn resolve(spans: &mut [Recorded]) {
    let mut known: HashMap<Key, Vec<(u64, f64)>> = HashMap::new();
    for span in spans.iter() {
        if let Some(key) = &span.key {
            known.entry(key.clone()).or_default().push((span.id, span.from));
        }
    }
    for span in spans.iter_mut() {
        let until = span.waited_until();
        let mut waits: Vec<u64> = Vec::new();
        for key in &span.waits_for {
            let found = known.get(key).and_then(|found| {
                found.iter().rev().find(|(_, from)| *from <= until).or_else(|| found.first())
            });
            if let Some((id, _)) = found
                && *id != span.id
                && !waits.contains(id)
            {
                waits.push(*id);
            }
        }
        span.waits = waits;
    }
}

/// The key of what is waited for, and its name.
fn waited_for(waiting: &Waiting) -> (Option<Key>, String) {
    match waiting {
        Waiting::For(subject) => (Key::of(subject), subject.name().to_owned()),
        Waiting::Process => (None, "another process".to_owned()),
        Waiting::Cache { cache, .. } => (None, format!("cache {cache}")),
    }
}

fn letter(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "o",
        Stream::Stderr => "e",
    }
}

#[cfg(test)]
mod tests;
