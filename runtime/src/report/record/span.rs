//! One thing that happened: when it did what, how it ended, and the end of what it wrote.

use std::collections::VecDeque;

use serde::{Serialize, Serializer};

use super::{Key, letter, waited_for};
use crate::event::{self, Event, EventKind, Stream, Subject, Transfer, Verb};
use crate::model::Place;
use crate::report::words;

/// How many of the last lines are kept of each …
const LINES: usize = 2000;
/// … and how many bytes of them: 256 KiB.
const BYTES: usize = 256 << 10;

/// A span, as it is written into a file.
#[derive(Debug, Clone, Serialize)]
pub(in crate::report) struct Recorded {
    pub(in crate::report) id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u64>,
    pub(in crate::report) subject: &'static str,
    pub(in crate::report) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::report) command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_texts")]
    pub(in crate::report) locations: Vec<Place>,
    pub(in crate::report) from: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::report) to: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::report) outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::report) result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::report) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::report) exit_code: Option<i32>,
    pub(in crate::report) phases: Vec<Phase>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::report) waits: Vec<u64>,
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub(in crate::report) output: VecDeque<(&'static str, String)>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(in crate::report) output_left_out: u64,

    /// How many bytes the lines have.
    #[serde(skip)]
    bytes: usize,
    #[serde(skip)]
    pub(super) key: Option<Key>,
    #[serde(skip)]
    pub(super) waits_for: Vec<Key>,
    #[serde(skip)]
    is_cached: bool,
    #[serde(skip)]
    is_replayed: bool,
    #[serde(skip)]
    pub(super) ready_at: Option<f64>,
    #[serde(skip)]
    has_moved: bool,
}

/// A time in which it did one thing.
#[derive(Debug, Clone, Serialize)]
pub(in crate::report) struct Phase {
    #[serde(rename = "phase")]
    pub(in crate::report) name: &'static str,
    pub(in crate::report) from: f64,
    pub(in crate::report) to: f64,
    /// What it waited for, or how it moved something.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(in crate::report) what: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::report) enum Outcome {
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}

fn as_texts<S: Serializer>(locations: &[Place], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(locations.iter().map(ToString::to_string))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Recorded {
    pub(super) fn new(event: &Event, locations: Vec<Place>, now: f64) -> Self {
        let (mut digest, mut hostname) = (None, None);
        match &event.subject {
            Subject::Step { digest: of, .. } => digest = Some(of.to_string()),
            Subject::Service { hostname: of, .. } => hostname = Some(of.to_string()),
            _ => {}
        }
        Self {
            id: event.span.get(),
            parent: event.parent.map(event::SpanId::get),
            subject: event.subject.word(),
            name: event.subject.name().to_owned(),
            command: None,
            digest,
            hostname,
            locations,
            from: now,
            to: None,
            outcome: None,
            result: None,
            why: None,
            error: None,
            exit_code: None,
            phases: vec![Phase { name: "preparing", from: now, to: now, what: None }],
            waits: Vec::new(),
            output: VecDeque::new(),
            output_left_out: 0,
            bytes: 0,
            key: Key::of(&event.subject),
            waits_for: Vec::new(),
            is_cached: false,
            is_replayed: false,
            ready_at: None,
            has_moved: false,
        }
    }

    pub(super) fn follow(&mut self, kind: &EventKind, now: f64) {
        match kind {
            EventKind::Waiting(waiting) => {
                let (key, name) = waited_for(waiting);
                self.waits_for.extend(key);
                self.enter("waiting", now, Some(name));
            }
            EventKind::Transfer(Transfer { verb, .. }) => {
                self.has_moved |= *verb != Verb::Hashing;
                self.enter("transferring", now, Some(verb.to_string()));
            }
            EventKind::Starting if self.subject == "service" => self.enter("starting", now, None),
            EventKind::Starting => self.enter("running", now, None),
            EventKind::Started { args } => {
                if !args.is_empty() {
                    self.command = Some(words::command(args));
                }
                if self.subject != "service" {
                    self.enter("running", now, None);
                }
            }
            EventKind::Cached => self.is_cached = true,
            EventKind::Missed { why } => self.why = Some(why.to_string()),
            EventKind::Replayed => self.is_replayed = true,
            EventKind::Finished { exit, .. } => {
                self.exit_code = Some(exit.code);
                self.enter("storing", now, None);
            }
            EventKind::Exited { exit } => self.exit_code = Some(exit.code),
            EventKind::Ready { .. } | EventKind::Joined { .. } => {
                self.ready_at = Some(now);
                self.enter("ready", now, None);
            }
            EventKind::Stopping { .. } => self.enter("stopping", now, None),
            EventKind::Failed { error } => self.error = Some(error.to_string()),
            EventKind::Closed(outcome) => self.close(outcome, now),
            _ => {}
        }
    }

    /// What it does changes.
    fn enter(&mut self, name: &'static str, now: f64, what: Option<String>) {
        let Some(last) = self.phases.last_mut() else { return };
        last.to = now;
        if last.name == name && name != "waiting" {
            return;
        }
        // One that waits for several things at once begins to wait for all of them at once.
        if last.name == "waiting" && name == "waiting" && now - last.from < 1e-3 {
            if let (Some(before), Some(what)) = (&mut last.what, what) {
                *before = format!("{before}, {what}");
            }
            return;
        }
        self.phases.push(Phase { name, from: now, to: now, what });
    }

    fn close(&mut self, outcome: &event::Outcome, now: f64) {
        self.to = Some(now);
        if let Some(last) = self.phases.last_mut() {
            last.to = now;
        }
        let failed = |this: &mut Self, error: &str| {
            this.error.get_or_insert_with(|| error.to_owned());
        };
        let (outcome, result) = match outcome {
            event::Outcome::Failed { error } => {
                failed(self, error);
                (Outcome::Failed, "failed")
            }
            event::Outcome::Skipped { error } => {
                failed(self, error);
                (Outcome::Skipped, "skipped")
            }
            event::Outcome::Cancelled => (Outcome::Cancelled, "cancelled"),
            event::Outcome::Succeeded => (Outcome::Succeeded, self.success()),
        };
        // A service that failed in use is closed like any other.
        let has_failed = self.subject == "service" && self.error.is_some();
        self.outcome = Some(if has_failed { Outcome::Failed } else { outcome });
        self.result = Some(if has_failed { "failed" } else { result });
    }

    fn success(&self) -> &'static str {
        if self.is_cached {
            "cached"
        } else if self.is_replayed {
            "replayed"
        } else if self.ready_at.is_some() {
            "ready"
        } else if self.has_moved {
            "moved"
        } else {
            "done"
        }
    }

    /// What has not ended goes on to the end of the record.
    pub(super) fn finish(&mut self, last: f64) {
        if self.to.is_none() {
            if let Some(phase) = self.phases.last_mut() {
                phase.to = last;
            }
            if self.ready_at.is_some() {
                self.result = Some("ready");
            }
        }
        self.phases.retain(|phase| phase.to > phase.from);
    }

    /// When it had all that it waited for.
    pub(super) fn waited_until(&self) -> f64 {
        let began = self.phases.iter().find(|phase| !matches!(phase.name, "preparing" | "waiting"));
        began.map_or_else(|| self.to.unwrap_or(self.from), |phase| phase.from)
    }

    /// Adds a line; returns how many bytes of earlier lines were let go for it.
    pub(super) fn add(&mut self, stream: Stream, line: &str) -> usize {
        self.output.push_back((letter(stream), line.to_owned()));
        self.bytes += line.len();
        let mut lost = 0;
        while self.output.len() > LINES || (self.bytes > BYTES && self.output.len() > 1) {
            let Some((_, line)) = self.output.pop_front() else { break };
            self.bytes -= line.len();
            lost += line.len();
            self.output_left_out += 1;
        }
        lost
    }

    pub(super) fn leave_out(&mut self, lines: u64) {
        self.output_left_out += lines;
    }
}
