//! Where events come from: one emitter a session, which stamps them, and a span for everything that goes on.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;

use super::queue::{Observers, Output, Queue};
use super::{Event, EventKind, LineBatch, Observer, Outcome, SpanId, Stream, Subject};
use crate::model::Location;

/// Who observes all sessions of the process.
static EVERYWHERE: Observers = Observers::new();

/// At the end of a session as long is it waited until observers have heard all of it.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Hands a session's events to all who observe it.
pub(crate) struct Emitter {
    session: Arc<str>,
    began: Instant,
    /// Hears of everything at once, on the thread that it happens on.
    direct: Option<Arc<dyn Observer>>,
    /// Who observes this session alone.
    observers: Observers,
}

impl Emitter {
    pub(crate) fn new(session: Arc<str>, direct: Option<Arc<dyn Observer>>) -> Arc<Self> {
        Arc::new(Self { session, began: Instant::now(), direct, observers: Observers::new() })
    }

    fn is_observed(&self) -> bool {
        self.direct.is_some() || !self.observers.are_none() || !EVERYWHERE.are_none()
    }

    fn queues(&self) -> impl Iterator<Item = Arc<Queue>> {
        self.observers.all().into_iter().chain(EVERYWHERE.all())
    }

    /// The one place that events leave from.
    fn emit(&self, of: &Head, kind: EventKind) {
        let event = self.event(of, kind);
        if let Some(direct) = &self.direct {
            direct.on_event(&event);
        }
        let event = Arc::new(event);
        self.queues().for_each(|queue| queue.push(&event));
    }

    /// The same for lines of output, which are many.
    fn emit_lines(&self, of: &Head, stream: Stream, lines: LineBatch) {
        let event = self.event(of, EventKind::Output { stream, line: "".into() });
        let output = Output { event, stream, lines };
        if let Some(direct) = &self.direct {
            output.tell(&**direct);
        }
        let output = Arc::new(output);
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

/// Lets somebody observe all sessions of the process, from now on.
pub(crate) fn observe(observer: impl Observer) -> io::Result<ObserverHandle> {
    let queue = Queue::start(observer)?;
    EVERYWHERE.add(queue.clone());
    Ok(ObserverHandle { queue, session: None })
}

/// An observer that hears of things. Dropping this changes nothing: it goes on to the end of the session, or of the process.
#[derive(Debug)]
pub struct ObserverHandle {
    queue: Arc<Queue>,
    /// `None` where it observes all.
    session: Option<Weak<Emitter>>,
}

impl ObserverHandle {
    /// Ends the observation: returns once the observer has heard all that happened before, however long it takes for that,
    /// and is told nothing more.
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
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("session", &self.session).finish_non_exhaustive()
    }
}

/// What all events of a span have in common.
struct Head {
    id: SpanId,
    parent: Option<SpanId>,
    subject: Subject,
    locations: Arc<[Location]>,
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
        Self::new(emitter, None, Subject::Session, Arc::default())
    }

    /// Without anybody who observes it.
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

    /// Something that is a part of this one, and begins now.
    pub(crate) fn child(&self, subject: Subject) -> Arc<Self> {
        self.child_at(subject, Vec::new())
    }

    /// The same, where it is known where that is written.
    pub(crate) fn child_at(&self, subject: Subject, locations: Vec<Location>) -> Arc<Self> {
        self.open();
        let child = Self::new(self.emitter.clone(), Some(self.head.id), subject, locations.into());
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

    pub(crate) fn lines(&self, stream: Stream, lines: LineBatch) {
        if !lines.is_empty() {
            self.emitter.emit_lines(&self.head, stream, lines);
        }
    }

    /// Lets somebody observe the session, from now on.
    pub(crate) fn observe(&self, observer: impl Observer) -> io::Result<ObserverHandle> {
        let queue = Queue::start(observer)?;
        self.emitter.observers.add(queue.clone());
        Ok(ObserverHandle { queue, session: Some(Arc::downgrade(&self.emitter)) })
    }

    /// Waits until all observers have heard what has happened so far, but not for long.
    pub(crate) async fn heard(&self) {
        let queues: Vec<_> = self.emitter.queues().collect();
        let heard = join_all(queues.iter().map(|queue| queue.flush()));
        let _ = tokio::time::timeout(HEARD_WITHIN, heard).await;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Places(Mutex<Vec<Vec<Location>>>);

    impl Observer for Places {
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
