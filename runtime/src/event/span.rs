//! The source of events: each session has one emitter, which stamps them, and everything that goes on has a span.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;

use super::queue::{Observers, Output, Queue};
use super::{DirectObserver, Event, EventKind, LineBatch, Observer, Outcome, SpanId, Stream, Subject, trace};
use crate::model::{Location, TraceContext};

/// The observers of all sessions of the process.
static EVERYWHERE: Observers = Observers::new();

/// At the end of a session, how long to wait for observers to handle its events.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Delivers a session's events to everybody who observes it.
pub(crate) struct Emitter {
    session: Arc<str>,
    began: Instant,
    /// Called directly, on the thread where an event happens.
    direct: Option<Arc<dyn DirectObserver>>,
    /// The observers of this session alone.
    observers: Observers,
}

impl Emitter {
    pub(crate) fn new(session: Arc<str>, direct: Option<Arc<dyn DirectObserver>>) -> Arc<Self> {
        Arc::new(Self { session, began: Instant::now(), direct, observers: Observers::new() })
    }

    fn is_observed(&self) -> bool {
        self.direct.is_some() || !self.observers.are_none() || !EVERYWHERE.are_none()
    }

    fn queues(&self) -> impl Iterator<Item = Arc<Queue>> {
        self.observers.all().into_iter().chain(EVERYWHERE.all())
    }

    /// The single place where events are emitted.
    fn emit(&self, of: &Head, kind: EventKind) {
        let event = self.event(of, kind);
        if let Some(direct) = &self.direct {
            direct.on_event(&event);
        }
        let event = Arc::new(event);
        self.queues().for_each(|queue| queue.push(&event));
    }

    /// The same for lines of output, which come in batches.
    fn emit_lines(&self, of: &Head, stream: Stream, lines: LineBatch) {
        let event = self.event(of, EventKind::Output { stream, line: "".into() });
        if let Some(direct) = &self.direct {
            direct.on_lines(&event, stream, &lines);
        }
        let output = Arc::new(Output { event, stream, lines });
        self.queues().for_each(|queue| queue.push_output(&output));
    }

    fn event(&self, of: &Head, kind: EventKind) -> Event {
        Event {
            at: SystemTime::now(),
            elapsed: self.began.elapsed(),
            session: self.session.clone(),
            span: of.id,
            parent: of.parent,
            subject: of.subject.clone(),
            locations: of.locations.clone(),
            kind,
        }
    }
}

/// Registers an observer of all sessions of the process, from now on.
pub(crate) fn observe(observer: impl Observer) -> io::Result<ObserverHandle> {
    let queue = Queue::start(Each(observer))?;
    EVERYWHERE.add(queue.clone());
    Ok(ObserverHandle { queue, session: None })
}

/// The same for one that gets lines as they came.
#[cfg(feature = "cli")]
pub(crate) fn follow(observer: impl DirectObserver) -> io::Result<ObserverHandle> {
    let queue = Queue::start(observer)?;
    EVERYWHERE.add(queue.clone());
    Ok(ObserverHandle { queue, session: None })
}

/// An observer that gets lines one by one.
struct Each<O>(O);

impl<O: Observer> DirectObserver for Each<O> {
    fn on_event(&self, event: &Event) {
        self.0.on_event(event);
    }

    fn on_idle(&self) {
        self.0.on_idle();
    }
}

/// A registered observer. Dropping the handle changes nothing: the observer stays to the end of the session, or of the
/// process.
#[derive(Debug)]
pub struct ObserverHandle {
    queue: Arc<Queue>,
    /// `None` for an observer of all sessions.
    session: Option<Weak<Emitter>>,
}

impl ObserverHandle {
    /// Removes the observer: returns once it has handled everything that happened before, however long that takes. It is
    /// not called afterwards.
    pub async fn remove(self) {
        match &self.session {
            None => EVERYWHERE.remove(&self.queue),
            Some(session) => {
                if let Some(emitter) = session.upgrade() {
                    emitter.observers.remove(&self.queue);
                }
            }
        }
        self.queue.flush().await;
        self.queue.close();
    }

    /// Removes an observer of all sessions, which may still be called for what happened before.
    #[cfg(feature = "cli")]
    pub(crate) fn leave(self) {
        EVERYWHERE.remove(&self.queue);
        self.queue.close();
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("session", &self.session).finish_non_exhaustive()
    }
}

/// The common part of all events of a span.
struct Head {
    id: SpanId,
    parent: Option<SpanId>,
    subject: Subject,
    locations: Arc<[Location]>,
}

impl SpanId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // A process never makes 2⁶⁴ spans.
        Self(NonZeroU64::MIN.saturating_add(LAST.fetch_add(1, Ordering::Relaxed)))
    }
}

/// A span: something that goes on. It counts as cancelled if it is dropped before it was closed.
pub(crate) struct Span {
    emitter: Arc<Emitter>,
    head: Head,
    is_open: AtomicBool,
    is_closed: AtomicBool,
}

impl Span {
    /// A session's own span, which [`open`](Self::open) opens.
    pub(crate) fn root(emitter: Arc<Emitter>) -> Self {
        Self::new(emitter, None, Subject::Session, Arc::default())
    }

    /// A span without observers.
    #[cfg(test)]
    pub(crate) fn unobserved() -> Arc<Self> {
        Arc::new(Self::root(Emitter::new("test".into(), None)))
    }

    fn new(
        emitter: Arc<Emitter>,
        parent: Option<SpanId>,
        subject: Subject,
        locations: Arc<[Location]>,
    ) -> Self {
        let head = Head { id: SpanId::next(), parent, subject, locations };
        Self { emitter, head, is_open: AtomicBool::new(false), is_closed: AtomicBool::new(false) }
    }

    /// A span that is a part of this one and begins now.
    pub(crate) fn child(&self, subject: Subject) -> Arc<Self> {
        self.child_at(subject, Vec::new())
    }

    /// The same, for a subject whose places in the source are known.
    pub(crate) fn child_at(&self, subject: Subject, locations: Vec<Location>) -> Arc<Self> {
        self.open();
        let child = Self::new(self.emitter.clone(), Some(self.head.id), subject, locations.into());
        child.open();
        Arc::new(child)
    }

    /// Emits that the span begins, the first time.
    pub(crate) fn open(&self) {
        if !self.is_open.swap(true, Ordering::Relaxed) {
            self.emit(|| EventKind::Opened);
        }
    }

    /// The span that a process which runs in this one is a part of, if anybody traces.
    pub(crate) fn trace_context(&self) -> Option<TraceContext> {
        trace::around(&self.emitter.session, self.head.id)
    }

    /// Whether anybody observes, so that preparing an event is worthwhile.
    pub(crate) fn is_observed(&self) -> bool {
        self.emitter.is_observed()
    }

    /// Emits an event, which is only made if somebody observes.
    pub(crate) fn emit(&self, kind: impl FnOnce() -> EventKind) {
        if self.is_observed() {
            self.emitter.emit(&self.head, kind());
        }
    }

    pub(crate) fn lines(&self, stream: Stream, lines: LineBatch) {
        if !lines.is_empty() {
            self.emitter.emit_lines(&self.head, stream, lines);
        }
    }

    /// Registers an observer of this session, from now on.
    pub(crate) fn observe(&self, observer: impl Observer) -> io::Result<ObserverHandle> {
        let queue = Queue::start(Each(observer))?;
        self.emitter.observers.add(queue.clone());
        Ok(ObserverHandle { queue, session: Some(Arc::downgrade(&self.emitter)) })
    }

    /// Waits until all observers have handled what happened so far, up to a limit.
    pub(crate) async fn heard(&self) {
        let queues: Vec<_> = self.emitter.queues().collect();
        let heard = join_all(queues.iter().map(|queue| queue.flush()));
        let _ = tokio::time::timeout(HEARD_WITHIN, heard).await;
    }

    /// Closes the span. Only the first outcome counts.
    pub(crate) fn close(&self, outcome: impl FnOnce() -> Outcome) {
        if !self.is_closed.swap(true, Ordering::Relaxed) && self.is_open.load(Ordering::Relaxed) {
            self.emit(|| EventKind::Closed(outcome()));
        }
    }

    /// Closes the span as failed.
    pub(crate) fn fail(&self, error: &impl fmt::Display) {
        self.close(|| Outcome::Failed { error: error.to_string().into() });
    }

    /// Closes the span as skipped.
    pub(crate) fn skip(&self, error: &impl fmt::Display) {
        self.close(|| Outcome::Skipped { error: error.to_string().into() });
    }

    /// Closes the span according to a result.
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Places(Mutex<Vec<Vec<Location>>>);

    impl DirectObserver for Places {
        fn on_event(&self, event: &Event) {
            self.0.lock().unwrap().push(event.locations.to_vec());
        }
    }

    #[test]
    fn every_event_of_a_span_says_where_its_subject_is_written() {
        let places = Arc::new(Places::default());
        let session = Span::root(Emitter::new("test".into(), Some(places.clone())));
        let at = Location::caller();
        let image = session.child_at(Subject::Image { name: "a".into() }, vec![at]);
        image.emit(|| EventKind::Cached);
        image.close(|| Outcome::Succeeded);
        assert_eq!(*places.0.lock().unwrap(), [vec![], vec![at], vec![at], vec![at]]);
    }
}
