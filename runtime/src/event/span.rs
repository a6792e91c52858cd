//! Where events come from: one emitter a session, which stamps them, and a span for everything that goes on.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::{Event, EventKind, Observer, Outcome, SpanId, Stream, Subject};

/// Hands a session's events to all who observe it.
pub(crate) struct Emitter {
    session: Arc<str>,
    began: Instant,
    /// Hears of everything at once, on the thread that it happens on.
    direct: Option<Arc<dyn Observer>>,
}

impl Emitter {
    pub(crate) fn new(session: Arc<str>, direct: Option<Arc<dyn Observer>>) -> Arc<Self> {
        Arc::new(Self { session, began: Instant::now(), direct })
    }

    fn is_observed(&self) -> bool {
        self.direct.is_some()
    }

    /// The one place that events leave from.
    fn emit(&self, of: &Head, kind: EventKind) {
        let event = self.event(of, kind);
        if let Some(direct) = &self.direct {
            direct.on_event(&event);
        }
    }

    /// The same for lines of output, which are many.
    fn emit_lines(&self, of: &Head, stream: Stream, lines: &LineBatch) {
        if let Some(direct) = &self.direct {
            for line in lines.iter() {
                direct.on_event(&self.event(of, EventKind::Output { stream, line: line.into() }));
            }
        }
    }

    fn event(&self, of: &Head, kind: EventKind) -> Event {
        Event {
            at: SystemTime::now(),
            elapsed: self.began.elapsed(),
            session: self.session.clone(),
            span: of.id,
            parent: of.parent,
            subject: of.subject.clone(),
            kind,
        }
    }
}

/// What all events of a span have in common.
struct Head {
    id: SpanId,
    parent: Option<SpanId>,
    subject: Subject,
}

impl SpanId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Nobody makes 2⁶⁴ of them.
        Self(NonZeroU64::MIN.saturating_add(LAST.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Something that goes on. Where it is dropped before it was closed, it was cancelled.
pub(crate) struct Span {
    emitter: Arc<Emitter>,
    head: Head,
    is_open: AtomicBool,
    is_closed: AtomicBool,
}

impl Span {
    /// A session's own, which is opened by [`open`](Self::open).
    pub(crate) fn root(emitter: Arc<Emitter>) -> Self {
        Self::new(emitter, None, Subject::Session)
    }

    /// Without anybody who observes it.
    #[cfg(test)]
    pub(crate) fn unobserved() -> Arc<Self> {
        Arc::new(Self::root(Emitter::new("test".into(), None)))
    }

    fn new(emitter: Arc<Emitter>, parent: Option<SpanId>, subject: Subject) -> Self {
        let head = Head { id: SpanId::next(), parent, subject };
        Self { emitter, head, is_open: AtomicBool::new(false), is_closed: AtomicBool::new(false) }
    }

    /// Something that is a part of this one, and begins now.
    pub(crate) fn child(&self, subject: Subject) -> Arc<Self> {
        self.open();
        let child = Self::new(self.emitter.clone(), Some(self.head.id), subject);
        child.open();
        Arc::new(child)
    }

    /// Says that it begins, once.
    pub(crate) fn open(&self) {
        if !self.is_open.swap(true, Ordering::Relaxed) {
            self.emit(|| EventKind::Opened);
        }
    }

    /// Whether it is worth while to find out what happened.
    pub(crate) fn is_observed(&self) -> bool {
        self.emitter.is_observed()
    }

    /// Says what happened. What it takes to say so is done for observers alone.
    pub(crate) fn emit(&self, kind: impl FnOnce() -> EventKind) {
        if self.is_observed() {
            self.emitter.emit(&self.head, kind());
        }
    }

    pub(crate) fn lines(&self, stream: Stream, lines: &LineBatch) {
        if !lines.is_empty() {
            self.emitter.emit_lines(&self.head, stream, lines);
        }
    }

    /// Says how it ended. Whoever says so first is right.
    pub(crate) fn close(&self, outcome: impl FnOnce() -> Outcome) {
        if !self.is_closed.swap(true, Ordering::Relaxed) && self.is_open.load(Ordering::Relaxed) {
            self.emit(|| EventKind::Closed(outcome()));
        }
    }

    /// Says that it went wrong.
    pub(crate) fn fail(&self, error: &impl fmt::Display) {
        self.close(|| Outcome::Failed { error: error.to_string().into() });
    }

    /// Says that it was not begun.
    pub(crate) fn skip(&self, error: &impl fmt::Display) {
        self.close(|| Outcome::Skipped { error: error.to_string().into() });
    }

    /// Says how it ended, by its result.
    pub(crate) fn close_with<T, E: fmt::Display>(&self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.close(|| Outcome::Succeeded),
            Err(error) => self.fail(error),
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.close(|| Outcome::Cancelled);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span")
            .field("id", &self.head.id)
            .field("subject", &self.head.subject)
            .finish_non_exhaustive()
    }
}

/// Lines of output, one after another: cheaper together than each by itself.
#[derive(Debug, Default)]
pub(crate) struct LineBatch {
    /// Each with its end.
    text: String,
    count: usize,
}

impl LineBatch {
    pub(crate) fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.count += 1;
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.split_terminator('\n')
    }
}
