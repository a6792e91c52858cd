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
//! Everything that goes on is a [span](SpanId): the session itself, what the program asks of it, the search for an image, a
//! directory that is sent, a step, one run of a service. Its first event is [`Opened`](EventKind::Opened), its last
//! [`Closed`](EventKind::Closed); what lies between says what became of it. Events of one span are in the order in which they
//! happened. What is asked for again in a session is there already, and nothing happens.
//!
//! [`observe`](crate::observe) takes an [`Observer`] for all sessions of the process, [`Session::observe`](crate::Session::observe)
//! one for a single session; there may be any number. Each is called on a thread of its own, one event after another, from
//! the moment it is there, so a slow one keeps nobody waiting. What it has not heard yet waits in memory: every state, and up
//! to 64 Ki lines of output or 16 MiB of them. Lines that are more than that are left out, and counted by
//! [`OutputDropped`](EventKind::OutputDropped). The end of a session waits up to 2 s until observers have heard all of it;
//! where a program ends without closing its session, what waits is lost. An observer that panics is not called again, which is said
//! on standard error, and the pipeline goes on.

mod lines;
mod queue;
mod span;

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) use self::lines::{LineBatch, LineCutter};
pub use self::span::ObserverHandle;
pub(crate) use self::span::{Emitter, Span, observe};
use crate::model::{Digest, Exit, Location};

pub use crate::model::Stream;

/// Somebody who is told what happens. A closure that takes an event is one.
pub trait Observer: Send + Sync + 'static {
    /// Hears of one event.
    fn on_event(&self, event: &Event);
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
    /// When, by the machine's clock.
    pub at: SystemTime,
    /// When, since the session was made; this clock does not jump.
    pub elapsed: Duration,
    /// The session's name, as [`Session::id`](crate::Session::id) gives it.
    pub session: Arc<str>,
    /// What it is a part of.
    pub span: SpanId,
    /// What that is a part of; `None` for the session's own span.
    pub parent: Option<SpanId>,
    /// To whom it happened; the same for all events of a span.
    pub subject: Subject,
    /// Where in the program's source that is written, as far as whoever began the span knows: several places where equal
    /// steps or services are one, and none for the session.
    pub locations: Arc<[Location]>,
    /// What happened.
    pub kind: EventKind,
}

/// Names one thing that goes on, and no other in the process.
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

/// To whom something happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The session.
    Session,
    /// What the program awaits: a container's result, a file, a service that starts. What is done for it is no part of it,
    /// as others may await the same.
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
    /// A command, or files that are placed.
    Step {
        /// The item it is of.
        name: Arc<str>,
        /// Which one it is, in every run and on every machine.
        digest: Digest,
    },
    /// A service.
    Service {
        /// The item.
        name: Arc<str>,
        /// As [`Service::hostname`](crate::Service::hostname) gives it.
        hostname: Arc<str>,
    },
}

impl Subject {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Session => "session",
            Self::Request { name }
            | Self::Image { name }
            | Self::Source { name }
            | Self::Step { name, .. }
            | Self::Service { name, .. } => name,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The first event of a span: it is wanted, and begins with whatever it needs. A session opens with the first request.
    Opened,
    /// The last event of a span.
    Closed(Outcome),
    /// A session has an engine.
    Connected {
        /// `docker` or `native`.
        engine: &'static str,
        /// The engine's own version.
        version: Arc<str>,
        /// What it runs by itself, as `os/architecture`.
        platform: Arc<str>,
    },
    /// Something is on its way. It is told at the beginning and then at most five times a second; that it has arrived is
    /// told by what comes after it.
    Transfer(Transfer),
    /// A result is there already: nothing is run or sent.
    Cached,
    /// It cannot go on before something else does.
    Waiting(Waiting),
    /// A step that has run in another time runs once more, for its effect on a service that has not seen it. The span's
    /// parent is the step that needs it.
    Replayed,
    /// A service's process is about to be started: what it needs is there.
    Starting,
    /// A process is started.
    Started {
        /// The command, without the secrets that its process knows.
        args: Arc<[String]>,
    },
    /// A process wrote a line.
    Output {
        /// Where to.
        stream: Stream,
        /// The line without its end and without secrets; anything that is not UTF-8 is replaced, and one of more than
        /// 16 KiB comes in pieces. What a terminal would obey is in it.
        line: Arc<str>,
    },
    /// Lines of this span are missing here, as the observer was too slow to take them.
    OutputDropped {
        /// How many.
        lines: u64,
    },
    /// A step's process has ended.
    Finished {
        /// How.
        exit: Exit,
        /// Whether that is a success: it is what the step was to do, and in time.
        success: bool,
    },
    /// A step's result is kept: the next run finds it, or the session where it is not to outlive that.
    Stored,
    /// A step's result could not be kept. Its output is good all the same.
    NotStored {
        /// Why.
        error: Arc<str>,
    },
    /// A service is not ready yet. It is told when a probe finds something else than before.
    ProbeFailed {
        /// What was asked: `6379/tcp`, or a command.
        probe: Arc<str>,
        /// What was found: `connection refused`.
        finding: Arc<str>,
    },
    /// A probe that had failed has succeeded.
    ProbePassed {
        /// What was asked.
        probe: Arc<str>,
    },
    /// A service is ready.
    Ready {
        /// Since it was wanted.
        after: Duration,
    },
    /// A service cannot be used any more: it has ended by itself, or what it uses has.
    Failed {
        /// Why, with the service's last lines.
        error: Arc<str>,
    },
    /// A service is told to end.
    Stopping {
        /// By which signal; SIGKILL may follow another.
        signal: Arc<str>,
    },
    /// A service's process has ended.
    Exited {
        /// How.
        exit: Exit,
    },
    /// A service is left to somebody who outlives the program and ends it: nothing is heard of it any more.
    Detached,
    /// Something is amiss that does not end anything.
    Warning {
        /// What.
        message: Arc<str>,
    },
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// It went wrong here.
    Failed {
        /// What.
        error: Arc<str>,
    },
    /// It was not begun, as something that it needs went wrong.
    Skipped {
        /// What.
        error: Arc<str>,
    },
    /// Nobody wanted it any more.
    Cancelled,
}

/// Something on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// What is done with it.
    pub verb: Verb,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all, where that is known.
    pub total: Option<u64>,
    /// How many files that is, where it is of files.
    pub files: Option<u64>,
}

/// What is done with what is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// An image comes from a registry.
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
    /// Files of this machine are read to learn whether they have changed.
    Hashing,
    /// Files of this machine go to the engine.
    Sending,
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
        })
    }
}

/// What something waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// An earlier step, a service, or files of the machine that are on their way into the engine, of the same session.
    For(Subject),
    /// Another process that runs the same step.
    Process,
    /// A cache that a service of another process has.
    Cache {
        /// The cache's key.
        cache: Arc<str>,
        /// What people call the service.
        service: Arc<str>,
        /// Whose service it is, in words: `process 4711`.
        owner: Arc<str>,
    },
}

#[cfg(test)]
impl Event {
    /// One that nobody emitted.
    pub(crate) fn example(subject: Subject, kind: EventKind) -> Self {
        let (at, elapsed, session) = (SystemTime::UNIX_EPOCH, Duration::ZERO, "test".into());
        let locations = Arc::default();
        Self { at, elapsed, session, span: SpanId(NonZeroU64::MIN), parent: None, subject, locations, kind }
    }
}

impl EventKind {
    /// The beginning of a transfer of which no more is known.
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
