//! What goes on in the sessions of a program, as their events say. What is shown of it is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::output::Kept;
use super::{log, words};
#[cfg(feature = "cli")]
use crate::error::Writer;
use crate::event::{Event, EventKind, LineBatch, Outcome, SpanId, Subject, Transfer, Verb, Waiting};
use crate::model::Location;

/// How many of the slowest steps are remembered.
const SLOWEST: usize = 3;
/// How many of the last lines of something that goes on are shown.
pub(super) const LAST_LINES: usize = 6;

/// Everything that goes on, and the sum of what has ended.
#[derive(Debug, Default)]
pub(super) struct State {
    /// In the order in which they began.
    pub(super) works: BTreeMap<SpanId, Work>,
    pub(super) sum: Sum,
    /// The sessions that have begun and not ended.
    sessions: BTreeSet<Arc<str>>,
    /// The steps and services that have written something and failed.
    #[cfg(feature = "cli")]
    failed: BTreeSet<(Kind, Arc<str>)>,
}

/// What has ended, in numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Sum {
    /// When the first thing began.
    pub(super) since: Option<Instant>,
    pub(super) done: usize,
    pub(super) cached: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) services: usize,
    /// The slowest steps, the slowest first.
    pub(super) slowest: Vec<(Arc<str>, Duration)>,
}

/// Something that goes on.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    /// The command of a step, once it runs.
    pub(super) command: Option<String>,
    pub(super) locations: Arc<[Location]>,
    pub(super) phase: Phase,
    /// When the phase began.
    pub(super) since: Instant,
    began: Instant,
    /// How long the process has run, once it has ended.
    took: Option<Duration>,
    is_cached: bool,
    is_replay: bool,
    /// Whether a line says already that it failed.
    has_failed: bool,
    pub(super) output: Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Step,
    Service,
    /// An image, or files of this machine.
    Transfer,
    Preparation,
}

/// What it does at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has begun, and needs nothing that takes time as far as is known.
    Preparing,
    /// It needs what this names.
    Waiting(String),
    Transferring(Transfer),
    /// A step's process runs.
    Running,
    /// A service's process is started, and not ready. The last findings of its probes that failed.
    Starting(BTreeMap<Arc<str>, Arc<str>>),
    Ready,
    Stopping,
}

/// Something that people are told.
#[derive(Debug)]
pub(super) enum News {
    /// Something ended.
    Ended(Ended),
    Ready {
        name: Arc<str>,
        after: Duration,
    },
    /// Something that happened, in words.
    Said {
        name: Arc<str>,
        text: String,
    },
    /// The last session ended.
    AllEnded(Sum),
}

#[derive(Debug)]
pub(super) struct Ended {
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    pub(super) command: Option<String>,
    pub(super) locations: Arc<[Location]>,
    pub(super) how: How,
    pub(super) took: Duration,
    /// The last of a transfer.
    pub(super) transfer: Option<Transfer>,
    pub(super) output: Kept,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    Done,
    Replayed,
    Cached,
    Failed { error: Arc<str> },
    Skipped { error: Arc<str> },
    Cancelled,
}

impl State {
    /// Follows an event, and says what people should be told of it.
    pub(super) fn follow(&mut self, event: &Event) -> Option<News> {
        let news = self.news(event);
        #[cfg(feature = "cli")]
        if let Some(News::Ended(Ended { how: How::Failed { .. }, kind, name, output, .. })) = &news
            && !output.is_empty()
        {
            self.failed.insert((*kind, name.clone()));
        }
        news
    }

    /// Whether this has failed, with all that it wrote.
    #[cfg(feature = "cli")]
    pub(super) fn has_failed(&self, writer: Writer<'_>) -> bool {
        let (kind, name) = match writer {
            Writer::Step(name) => (Kind::Step, name),
            Writer::Service(name) => (Kind::Service, name),
        };
        self.failed.contains(&(kind, name.into()))
    }

    fn news(&mut self, event: &Event) -> Option<News> {
        let now = Instant::now();
        if event.subject == Subject::Session {
            return self.follow_session(event, now);
        }
        if let EventKind::Output { .. } | EventKind::OutputDropped { .. } = event.kind {
            return None;
        }
        self.sum.since.get_or_insert(now);
        if let EventKind::Opened = event.kind {
            if let Some(work) = Work::new(event, now) {
                self.works.insert(event.span, work);
            }
            return None;
        }
        let Some(work) = self.works.get_mut(&event.span) else {
            return said(event);
        };
        if let EventKind::Closed(outcome) = &event.kind {
            let ended = self.works.remove(&event.span)?.end(outcome, now)?;
            self.sum.add(&ended);
            return Some(News::Ended(ended));
        }
        work.follow(event, now);
        match &event.kind {
            EventKind::Ready { after } => {
                self.sum.services += 1;
                Some(News::Ready { name: work.name.clone(), after: *after })
            }
            EventKind::Failed { error } if !std::mem::replace(&mut work.has_failed, true) => {
                let ended = Ended {
                    how: How::Failed { error: error.clone() },
                    output: std::mem::take(&mut work.output),
                    ..work.ended(now)
                };
                self.sum.add(&ended);
                Some(News::Ended(ended))
            }
            _ => said(event),
        }
    }

    /// Keeps lines that something wrote.
    pub(super) fn keep(&mut self, event: &Event, lines: &LineBatch) {
        if let Some(work) = self.works.get_mut(&event.span) {
            work.output.push(lines.raw());
        }
    }

    fn follow_session(&mut self, event: &Event, now: Instant) -> Option<News> {
        match event.kind {
            EventKind::Closed(_) => {
                self.sessions.remove(&event.session);
                let is_last = self.sessions.is_empty() && self.sum.since.is_some();
                let sum = is_last.then(|| std::mem::take(&mut self.sum))?;
                sum.has_something().then_some(News::AllEnded(sum))
            }
            EventKind::Opened => {
                self.sessions.insert(event.session.clone());
                self.sum.since.get_or_insert(now);
                None
            }
            _ => said(event),
        }
    }

    /// What goes on, in one line: `test 1 min 30 s, db starting 12 s`.
    pub(super) fn going_on(&self) -> String {
        const MOST: usize = 8;
        let going_on: Vec<&Work> = self.works.values().filter(|work| work.is_going_on()).collect();
        let mut shown: Vec<String> = going_on.iter().take(MOST).map(|work| work.words()).collect();
        if going_on.len() > MOST {
            shown.push(format!("{} more", going_on.len() - MOST));
        }
        if shown.is_empty() { "nothing that takes time".to_owned() } else { shown.join(", ") }
    }

    /// All that is known of what goes on: lines, each with the name of what it is about.
    pub(super) fn details(&self) -> Vec<(Arc<str>, String)> {
        let mut lines: Vec<(Arc<str>, String)> = Vec::new();
        for work in self.works.values() {
            lines.push((work.name.clone(), work.doing()));
            if let Phase::Starting(findings) = &work.phase {
                lines.extend(
                    findings.iter().map(|(probe, found)| (work.name.clone(), format!("  {probe}: {found}"))),
                );
            }
            lines.extend(
                work.output
                    .last_lines(LAST_LINES)
                    .into_iter()
                    .map(|line| (work.name.clone(), format!("  | {line}"))),
            );
        }
        if lines.is_empty() {
            lines.push(("bowline".into(), "nothing runs".to_owned()));
        }
        lines
    }

    /// What has to be said at the end, if no session ends any more.
    pub(super) fn finish(&mut self) -> Option<Sum> {
        self.works.clear();
        let sum = std::mem::take(&mut self.sum);
        sum.has_something().then_some(sum)
    }
}

/// What is said of an event in the same words as in the log.
fn said(event: &Event) -> Option<News> {
    let is_said = matches!(
        event.kind,
        EventKind::Connected { .. }
            | EventKind::NotStored { .. }
            | EventKind::FilesMissing
            | EventKind::Joined { .. }
            | EventKind::Tunnelled { .. }
            | EventKind::Warning { .. }
            | EventKind::Waiting(Waiting::Process | Waiting::Cache { .. })
    );
    let text = if is_said { log::text(event)? } else { return None };
    Some(News::Said { name: log::shown_name(event).into(), text })
}

impl Work {
    /// What begins with this event, unless it is not worth showing.
    fn new(event: &Event, now: Instant) -> Option<Self> {
        let kind = match event.subject {
            Subject::Step { .. } => Kind::Step,
            Subject::Service { .. } => Kind::Service,
            Subject::Image { .. } | Subject::Source { .. } | Subject::RemoteCache { .. } => Kind::Transfer,
            Subject::Preparation { .. } => Kind::Preparation,
            Subject::Session | Subject::Request { .. } => return None,
        };
        Some(Self {
            kind,
            name: event.subject.name().into(),
            command: None,
            locations: event.locations.clone(),
            phase: Phase::Preparing,
            since: now,
            began: now,
            took: None,
            is_cached: false,
            is_replay: false,
            has_failed: false,
            output: Kept::default(),
        })
    }

    fn follow(&mut self, event: &Event, now: Instant) {
        let phase = match &event.kind {
            EventKind::Transfer(transfer) => Phase::Transferring(*transfer),
            EventKind::Waiting(waiting) => Phase::Waiting(waited_for(waiting)),
            EventKind::Starting if self.kind == Kind::Service => Phase::Starting(BTreeMap::new()),
            EventKind::Started { args } if self.kind == Kind::Step => {
                self.command = Some(words::command(args));
                Phase::Running
            }
            EventKind::Starting | EventKind::Started { .. } => match &self.phase {
                starting @ Phase::Starting(_) => starting.clone(),
                _ => Phase::Running,
            },
            EventKind::Cached => {
                self.is_cached = true;
                return;
            }
            EventKind::Replayed => {
                self.is_replay = true;
                return;
            }
            EventKind::Finished { .. } => {
                self.took = Some(now - self.since);
                return;
            }
            EventKind::ProbeFailed { probe, finding } => {
                if let Phase::Starting(findings) = &mut self.phase {
                    findings.insert(probe.clone(), finding.clone());
                }
                return;
            }
            EventKind::ProbePassed { probe } => {
                if let Phase::Starting(findings) = &mut self.phase {
                    findings.remove(probe);
                }
                return;
            }
            EventKind::Ready { .. } | EventKind::Joined { .. } => Phase::Ready,
            EventKind::Stopping { .. } => Phase::Stopping,
            _ => return,
        };
        // A transfer or a start that goes on began when it began.
        if std::mem::discriminant(&phase) != std::mem::discriminant(&self.phase) {
            self.since = now;
        }
        self.phase = phase;
    }

    /// Whether it takes time by itself: it does not wait for something else, and is not there for others.
    pub(super) fn is_going_on(&self) -> bool {
        !matches!(self.phase, Phase::Preparing | Phase::Waiting(_) | Phase::Ready)
    }

    /// How long it has been doing what it does.
    pub(super) fn time(&self) -> Duration {
        self.since.elapsed()
    }

    /// Its name and what it does: `db starting 12 s`.
    fn words(&self) -> String {
        let time = words::time(self.time());
        match &self.phase {
            Phase::Running => format!("{} {time}", self.name),
            Phase::Transferring(transfer) => format!("{} {} {time}", transfer.verb, self.name),
            Phase::Starting(findings) => {
                let found = findings.iter().next().map(|(probe, found)| format!(" ({probe}: {found})"));
                format!("{} starting {time}{}", self.name, found.unwrap_or_default())
            }
            Phase::Stopping => format!("{} stopping {time}", self.name),
            Phase::Preparing | Phase::Waiting(_) | Phase::Ready => format!("{} {}", self.name, self.doing()),
        }
    }

    /// What it does, without its name: `running 12 s: make`.
    pub(super) fn doing(&self) -> String {
        let time = words::time(self.time());
        match &self.phase {
            Phase::Preparing => "preparing".to_owned(),
            Phase::Waiting(what) => format!("waiting for {what}"),
            Phase::Transferring(transfer) => {
                let so_far = log::transferred("", transfer).unwrap_or_else(|| transfer.verb.to_string());
                format!("{} {time}", so_far.trim_end())
            }
            Phase::Running => match &self.command {
                Some(command) => format!("running {time}: {}", words::short(command)),
                None => format!("running {time}"),
            },
            Phase::Starting(_) => format!("starting {time}"),
            Phase::Ready => format!("ready for {time}"),
            Phase::Stopping => format!("stopping {time}"),
        }
    }

    /// What is told of its end; `None` if nothing is.
    fn end(self, outcome: &Outcome, now: Instant) -> Option<Ended> {
        let how = match outcome {
            Outcome::Failed { error } if !self.has_failed => How::Failed { error: error.clone() },
            Outcome::Skipped { error } if !self.has_failed => How::Skipped { error: error.clone() },
            Outcome::Cancelled if self.kind != Kind::Service => How::Cancelled,
            // That a service stops is no news.
            _ if self.kind == Kind::Service => return None,
            // Images and files that are there already.
            Outcome::Succeeded if self.kind == Kind::Transfer && !self.has_moved() => return None,
            Outcome::Succeeded if self.is_replay => How::Replayed,
            Outcome::Succeeded if self.is_cached => How::Cached,
            Outcome::Succeeded => How::Done,
            Outcome::Failed { .. } | Outcome::Skipped { .. } | Outcome::Cancelled => return None,
        };
        let ended = self.ended(now);
        Some(Ended { how, output: self.output, ..ended })
    }

    /// Whether it was more than looked at.
    fn has_moved(&self) -> bool {
        matches!(self.phase, Phase::Transferring(Transfer { verb, .. }) if verb != Verb::Hashing)
    }

    fn ended(&self, now: Instant) -> Ended {
        Ended {
            kind: self.kind,
            name: self.name.clone(),
            command: self.command.clone(),
            locations: self.locations.clone(),
            how: How::Done,
            took: self
                .took
                .unwrap_or_else(|| now - if self.command.is_some() { self.since } else { self.began }),
            transfer: match self.phase {
                Phase::Transferring(transfer) => Some(transfer),
                _ => None,
            },
            output: Kept::default(),
        }
    }
}

fn waited_for(waiting: &Waiting) -> String {
    match waiting {
        Waiting::For(subject) => subject.name().to_owned(),
        Waiting::Process => "another process that runs it".to_owned(),
        Waiting::Cache { cache, service, owner } => {
            format!("the cache `{cache}`, which `{service}` of {owner} uses")
        }
    }
}

impl Sum {
    fn add(&mut self, ended: &Ended) {
        let is_step = matches!(ended.kind, Kind::Step | Kind::Preparation);
        match ended.how {
            How::Done | How::Replayed if is_step => {
                self.done += 1;
                self.slowest.push((ended.name.clone(), ended.took));
                self.slowest.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
                self.slowest.truncate(SLOWEST);
            }
            How::Cached if is_step => self.cached += 1,
            How::Failed { .. } => self.failed += 1,
            How::Skipped { .. } => self.skipped += 1,
            How::Done | How::Replayed | How::Cached | How::Cancelled => {}
        }
    }

    fn has_something(&self) -> bool {
        self.done + self.cached + self.failed + self.skipped + self.services > 0
    }

    /// All that is said of a run at its end.
    pub(super) fn sentence(&self) -> String {
        format!("{} in {}", self.words(), words::time(self.elapsed()))
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// In words: `2 steps done, 1 cached, 1 failed; 1 service`.
    pub(super) fn words(&self) -> String {
        let Self { done, cached, failed, skipped, services, .. } = *self;
        let counts = [(done, "done"), (cached, "cached"), (failed, "failed"), (skipped, "skipped")];
        let counts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let services = (services > 0)
            .then(|| format!("{services} {}", if services == 1 { "service" } else { "services" }));
        let counts = (!counts.is_empty()).then(|| counts.join(", "));
        counts.into_iter().chain(services).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
pub(super) mod tests;
