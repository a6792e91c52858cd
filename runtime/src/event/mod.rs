//! What happens while a pipeline runs: to whom, when, and in which session.
//!
//! ```
//! use bowline::event::{Event, EventKind, Outcome, Subject};
//!
//! bowline::observe(|event: &Event| {
//!     let Subject::Step { name, .. } = &event.subject else { return };
//!     match &event.kind {
//!         EventKind::Started { args } => println!("{name}: {}", args.join(" ")),
//!         EventKind::Cached => println!("{name} is cached"),
//!         EventKind::Closed(Outcome::Failed { error }) => println!("{name}: {error}"),
//!         _ => {}
//!     }
//! })?;
//! # Ok::<(), bowline::Error>(())
//! ```
//!
//! Everything that goes on is a [span](SpanId): the session itself, what the program awaits, the search for an image, the
//! transfer of a directory, a step, one run of a service. A span's first event is [`Opened`](EventKind::Opened) and its
//! last [`Closed`](EventKind::Closed). The events of one span are in the order in which they happened. A request for what
//! a session already has emits nothing new.
//!
//! [`observe`](crate::observe) takes an [`Observer`] for all sessions of the process,
//! [`Session::observe`](crate::Session::observe) one for a single session; there may be any number of observers. Each is
//! called on a thread of its own, one event after another, from its registration on, so a slow observer delays nobody.
//! Undelivered events are queued in memory: every state, and up to 64 Ki lines of output or 16 MiB of them. Further lines
//! are dropped, and [`OutputDropped`](EventKind::OutputDropped) counts them. The end of a session waits up to 2 s for
//! observers to process their queues; where a program ends without closing its session, queued events are lost. An
//! observer that panics is not called again; standard error says so, and the pipeline goes on.

mod json;
mod lines;
mod queue;
mod span;
pub(crate) mod trace;

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[cfg(feature = "cli")]
pub(crate) use self::json::read::{Told, read};
pub(crate) use self::lines::{LineBatch, LineCutter};
pub use self::span::ObserverHandle;
#[cfg(feature = "cli")]
pub(crate) use self::span::follow;
pub(crate) use self::span::{Emitter, Span, observe};
use crate::model::{Digest, Exit, Location};

pub use crate::model::Stream;

/// Receives events. A closure that takes an event is an observer.
pub trait Observer: Send + Sync + 'static {
    /// Handles one event.
    fn on_event(&self, event: &Event);

    /// Everything that has happened so far was handled, and the observer's thread is about to wait: a good time to write what
    /// is buffered. Does nothing by default.
    fn on_idle(&self) {}
}

/// An observer that gets lines as they came. A session's own is called on the thread where an event happens.
pub(crate) trait DirectObserver: Send + Sync + 'static {
    fn on_event(&self, event: &Event);

    /// As [`Observer::on_idle`], of one that has a thread of its own.
    fn on_idle(&self) {}

    /// The lines of one stream of a span that arrived together; the event is an [`EventKind::Output`] without a line.
    fn on_lines(&self, event: &Event, stream: Stream, lines: &LineBatch) {
        let mut event = event.clone();
        for line in lines.iter() {
            event.kind = EventKind::Output { stream, line: line.into() };
            self.on_event(&event);
        }
    }
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// When it happened, by the machine's clock.
    pub at: SystemTime,
    /// The time since the session was made, by a monotonic clock.
    pub elapsed: Duration,
    /// The session's name, as [`Session::id`](crate::Session::id) gives it.
    pub session: Arc<str>,
    /// The span that the event belongs to.
    pub span: SpanId,
    /// The span's parent; `None` for the session's own span.
    pub parent: Option<SpanId>,
    /// What the event is about; the same for all events of a span.
    pub subject: Subject,
    /// Where in the program's source the subject is written, as far as it was known when the span began: several places
    /// where equal steps or services are one, and none for the session.
    pub locations: Arc<[Location]>,
    /// What happened.
    pub kind: EventKind,
}

/// Identifies a span, uniquely in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// As a number, which is not zero.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for SpanId {
    /// As 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The session.
    Session,
    /// What the program awaits: a container's result, a file, a service that starts. The work done for it has spans of
    /// its own, which are not children of this one, as other requests may await the same work. A command in a running
    /// service, and a terminal, are requests that also say what is started, what a command writes, and how it ends.
    Request {
        /// In words: ``container `test` ``.
        name: Arc<str>,
    },
    /// An image that is looked for, published or written into a file.
    Image {
        /// Its reference in full, with the platform where that is not the engine's own.
        name: Arc<str>,
    },
    /// A directory or a file of the pipeline's machine.
    Source {
        /// Its path, as the pipeline has it.
        name: Arc<str>,
    },
    /// A [cache on another machine](crate::guide::caching) that results are written to.
    RemoteCache {
        /// `dir:PATH` or `registry:HOST/NAME`.
        name: Arc<str>,
    },
    /// A command, or files that are placed.
    Step {
        /// The name of the item that it belongs to.
        name: Arc<str>,
        /// The step's identity, the same in every run and on every machine.
        digest: Digest,
    },
    /// The file system of a [prepared service](crate::Service::prepared): found, or made by the program.
    Preparation {
        /// In words: `db prepared as "schema 3"`.
        name: Arc<str>,
    },
    /// A service.
    Service {
        /// The item's name.
        name: Arc<str>,
        /// As [`Service::hostname`](crate::Service::hostname) gives it.
        hostname: Arc<str>,
    },
}

impl Subject {
    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Session => "session",
            Self::Request { name }
            | Self::Image { name }
            | Self::Source { name }
            | Self::RemoteCache { name }
            | Self::Step { name, .. }
            | Self::Preparation { name }
            | Self::Service { name, .. } => name,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The first event of a span: the subject is wanted, and what it needs is prepared. A session opens with the first
    /// request.
    Opened,
    /// The last event of a span.
    Closed(Outcome),
    /// A session has connected to an engine.
    Connected {
        /// `docker` or `native`.
        engine: &'static str,
        /// The engine's own version.
        version: Arc<str>,
        /// The platform that it runs by default, as `os/architecture`.
        platform: Arc<str>,
    },
    /// A transfer is in progress. This is emitted when it begins and then at most five times a second. No event marks its
    /// end: the next event of the span implies it.
    Transfer(Transfer),
    /// The result already exists: nothing is run or sent.
    Cached,
    /// A step's result was taken from [another machine](crate::guide::caching): it exists now.
    Fetched {
        /// Where it was: `dir:PATH` or `registry:HOST/NAME`.
        from: Arc<str>,
    },
    /// A step has no result that could be used, so it runs. Emitted where its result is [too old](crate::Exec::fresh), and else
    /// only where somebody remembers what its last result was made of, as a program with a command line does.
    Missed {
        /// What has changed since that result, or why else there is none: `argument 2 changed, env A is new`.
        why: Arc<str>,
    },
    /// The subject cannot go on before something else does.
    Waiting(Waiting),
    /// A step that ran earlier runs once more, for its effect on a service instance that has not seen it. The span's
    /// parent is the step that needs it.
    Replayed,
    /// A service's process is about to be started: everything it needs is ready.
    Starting,
    /// A process was started.
    Started {
        /// The command line, without secrets.
        args: Arc<[String]>,
    },
    /// A process wrote a line.
    Output {
        /// Which stream it went to.
        stream: Stream,
        /// The line without its line end and without secrets; anything that is not UTF-8 is replaced, and a line of more
        /// than 16 KiB comes in pieces. It may contain terminal control sequences.
        line: Arc<str>,
    },
    /// Lines of this span are missing here, because the observer was too slow.
    OutputDropped {
        /// How many lines.
        lines: u64,
    },
    /// A step's process has ended.
    Finished {
        /// How it ended.
        exit: Exit,
        /// Whether the step succeeded: the exit code is as expected, and the timeout was kept.
        success: bool,
    },
    /// A step's result is stored: the next run finds it, or only this session if it is not to outlive the session.
    Stored,
    /// Where keeping files takes time, it was chosen whether the files that a step left are kept, besides its output: they
    /// are if the command took longer than keeping them, or all of a chain did of which nothing was kept, and otherwise once
    /// something needs them in this session.
    Kept {
        /// Whether they are.
        files: bool,
        /// How long the command took.
        took: Duration,
        /// How long keeping a file system takes there, as measured before.
        keeping: Duration,
    },
    /// A step's output is known, but the files that it left are needed now, and were not kept, or have been removed: the
    /// step runs once more. Results that were made of its earlier run do not count any more.
    FilesMissing,
    /// A step's result could not be stored. Its output is valid all the same.
    NotStored {
        /// Why not.
        error: Arc<str>,
    },
    /// A service is not ready yet. Emitted when a probe's finding changes.
    ProbeFailed {
        /// The probe: `6379/tcp`, or a command.
        probe: Arc<str>,
        /// What the probe found: `connection refused`.
        finding: Arc<str>,
    },
    /// A probe that had failed now succeeds.
    ProbePassed {
        /// The probe.
        probe: Arc<str>,
    },
    /// A service is ready.
    Ready {
        /// The time since the service was wanted.
        after: Duration,
    },
    /// A port of a service is reached from this machine, by a [tunnel](crate::Service::tunnel).
    Tunnelled {
        /// The service's port: `5432/tcp`.
        port: Arc<str>,
        /// Where this machine reaches it.
        address: std::net::SocketAddr,
    },
    /// A service cannot be used any more: it ended by itself, or a service that it uses did.
    Failed {
        /// Why, with the service's last lines.
        error: Arc<str>,
    },
    /// A service is being stopped.
    Stopping {
        /// The signal it was sent; SIGKILL may follow another one.
        signal: Arc<str>,
    },
    /// A service's process has ended.
    Exited {
        /// How it ended.
        exit: Exit,
    },
    /// A service that processes [share](crate::Service::shared) was started by another one, and is used by this one too.
    Joined {
        /// The number of the process that owns it.
        owner: u32,
        /// The session in which that process runs it: the engine's containers are labelled with it, as `bowline.session`.
        session: Arc<str>,
    },
    /// A service that processes share is used by this one no longer. It goes on, or lingers.
    Left,
    /// A service was handed to a process that outlives the program and stops it: no more events come from it.
    Detached,
    /// Something is wrong, but nothing ends because of it.
    Warning {
        /// What is wrong.
        message: Arc<str>,
    },
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It succeeded.
    Succeeded,
    /// It failed itself.
    Failed {
        /// What went wrong.
        error: Arc<str>,
    },
    /// It did not begin, because something that it needs failed.
    Skipped {
        /// What went wrong.
        error: Arc<str>,
    },
    /// Nobody wanted it any more.
    Cancelled,
}

/// The progress of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// What kind of transfer it is.
    pub verb: Verb,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in total, if known.
    pub total: Option<u64>,
    /// The number of files, if files are transferred.
    pub files: Option<u64>,
}

/// What a transfer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// An image comes from a registry, or a result from another machine.
    Pulling,
    /// An image goes from a file into an engine.
    Loading,
    /// An image goes from a file or another engine into the store.
    Unpacking,
    /// Layers are made into archives.
    Packing,
    /// An image goes to a registry.
    Pushing,
    /// An image goes into a file.
    Exporting,
    /// Files of this machine are read, to find out whether they have changed.
    Hashing,
    /// Files of this machine go to the engine.
    Sending,
    /// Results go to another machine.
    Storing,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pulling => "pulling",
            Self::Loading => "loading",
            Self::Unpacking => "unpacking",
            Self::Packing => "packing",
            Self::Pushing => "pushing",
            Self::Exporting => "exporting",
            Self::Hashing => "hashing",
            Self::Sending => "sending",
            Self::Storing => "storing",
        })
    }
}

/// What something waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// An earlier step or a service of the same session, or files of this machine on their way into the engine.
    For(Subject),
    /// Another process that runs the same step.
    Process,
    /// A cache volume that is held by a service of another process, by an instance of the same service that is made of other
    /// files (see [`Session::refresh`](crate::Session::refresh)), or by whoever has it [locked](crate::CacheVolume::locked).
    Cache {
        /// The cache's key.
        cache: Arc<str>,
        /// The name of the service or container that holds it.
        service: Arc<str>,
        /// The owner of that, in words: `process 4711`, or `this session`.
        owner: Arc<str>,
    },
}

#[cfg(test)]
impl Event {
    /// An event that no session emitted, for tests.
    pub(crate) fn example(subject: Subject, kind: EventKind) -> Self {
        Self::example_in(1, subject, kind)
    }

    /// The same, in a span of this number.
    pub(crate) fn example_in(span: u64, subject: Subject, kind: EventKind) -> Self {
        let span = SpanId(NonZeroU64::new(span).unwrap_or(NonZeroU64::MIN));
        let (at, elapsed, session) = (SystemTime::UNIX_EPOCH, Duration::ZERO, "test".into());
        let locations = Arc::default();
        Self { at, elapsed, session, span, parent: None, subject, locations, kind }
    }
}

impl EventKind {
    /// The beginning of a transfer whose size is not known yet.
    pub(crate) fn begins(verb: Verb) -> Self {
        Self::transfer(verb, 0, None)
    }

    pub(crate) fn transfer(verb: Verb, done: u64, total: Option<u64>) -> Self {
        Self::Transfer(Transfer { verb, done, total, files: None })
    }

    pub(crate) fn warning(message: impl Into<Arc<str>>) -> Self {
        Self::Warning { message: message.into() }
    }
}
