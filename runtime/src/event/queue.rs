//! Observers on threads of their own, so that neither a slow nor a panicking one affects the pipeline.
//!
//! Each observer has a queue of events. States are never dropped, and the queue does not bound their number: the pipeline
//! does, as each state takes a process, a request or 200 ms of a transfer. Lines come as fast as a program can write, so
//! the queue holds a limited number of them, and counts the rest instead.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::oneshot;

use super::{DirectObserver, Event, EventKind, LineBatch, SpanId, Stream};
use crate::lock::lock;

/// The most lines that wait for one observer …
const LINES: usize = 64 * 1024;
/// … and the most bytes of them: 16 MiB.
const BYTES: usize = 16 << 20;

/// Lines of one stream that arrived together.
pub(super) struct Output {
    /// Their common event, without the lines.
    pub(super) event: Event,
    pub(super) stream: Stream,
    pub(super) lines: LineBatch,
}

enum Item {
    Event(Arc<Event>),
    Output(Arc<Output>),
    /// Answered once the observer has handled everything queued before it.
    Flush(oneshot::Sender<()>),
}

/// The queue of one observer.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// How many lines are queued, and how many bytes they have.
    lines: usize,
    bytes: usize,
    /// Lines are dropped until half of the room is free again, so that there is one gap and not thousands.
    is_full: bool,
    /// Dropped lines that the observer has not been told of yet.
    dropped: Vec<Dropped>,
    /// Nothing more is accepted.
    is_closed: bool,
    /// The observer's thread is parked and has to be woken.
    is_idle: bool,
}

struct Dropped {
    event: Event,
    lines: u64,
}

impl State {
    /// Reports the lines dropped of a span, before the next event of that span.
    fn tell_dropped(&mut self, span: SpanId) {
        if let Some(place) = self.dropped.iter().position(|dropped| dropped.event.span == span) {
            let Dropped { mut event, lines } = self.dropped.swap_remove(place);
            event.kind = EventKind::OutputDropped { lines };
            self.items.push_back(Item::Event(Arc::new(event)));
        }
    }

    fn has_room(&self, lines: &LineBatch) -> bool {
        let is_roomy = self.lines + lines.ends() <= LINES && self.bytes + lines.bytes() <= BYTES;
        // One batch may be larger than the whole limit, so an empty queue takes any.
        self.bytes == 0 || (is_roomy && !self.is_full)
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if let Item::Output(output) = &item {
            self.lines -= output.lines.ends();
            self.bytes -= output.lines.bytes();
            self.is_full &= self.lines > LINES / 2 || self.bytes > BYTES / 2;
        }
        Some(item)
    }
}

impl Queue {
    /// Starts an observer's thread.
    pub(super) fn start(observer: impl DirectObserver) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let taken = queue.clone();
        let thread = std::thread::Builder::new().name("bowline-observer".to_owned());
        thread.spawn(move || taken.deliver(&observer))?;
        Ok(queue)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn put(&self, state: &mut State, item: Item) {
        state.items.push_back(item);
        // Waking a thread costs more than everything else here.
        if std::mem::take(&mut state.is_idle) {
            self.changed.notify_one();
        }
    }

    pub(super) fn push(&self, event: &Arc<Event>) {
        let state = &mut *self.state();
        if !state.is_closed {
            state.tell_dropped(event.span);
            self.put(state, Item::Event(event.clone()));
        }
    }

    pub(super) fn push_output(&self, output: &Arc<Output>) {
        let state = &mut *self.state();
        if state.is_closed {
            return;
        }
        if state.has_room(&output.lines) {
            state.tell_dropped(output.event.span);
            state.lines += output.lines.ends();
            state.bytes += output.lines.bytes();
            self.put(state, Item::Output(output.clone()));
            return;
        }
        state.is_full = true;
        let lines = output.lines.iter().count() as u64;
        match state.dropped.iter_mut().find(|dropped| dropped.event.span == output.event.span) {
            Some(dropped) => dropped.lines += lines,
            None => state.dropped.push(Dropped { event: output.event.clone(), lines }),
        }
    }

    /// Waits until everything queued now was handled, or never will be.
    pub(super) async fn flush(&self) {
        let (heard, wait) = oneshot::channel();
        {
            let state = &mut *self.state();
            if state.is_closed {
                return;
            }
            self.put(state, Item::Flush(heard));
        }
        let _ = wait.await;
    }

    /// Accepts nothing more; what is queued is still handled.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    /// Accepts nothing more and drops what is queued.
    fn give_up(&self) {
        *self.state() = State { is_closed: true, ..State::default() };
    }

    fn next(&self) -> Option<Item> {
        let mut state = self.state();
        loop {
            if let Some(item) = state.take() {
                return Some(item);
            }
            if state.is_closed {
                return None;
            }
            state.is_idle = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Calls an observer until the queue is closed and empty, or until the observer panics.
    fn deliver(&self, observer: &impl DirectObserver) {
        let mut is_idle = true;
        loop {
            let item = if is_idle { self.next() } else { self.state().take() };
            // An observer that panicked is not called again, as its state may be half changed.
            let heard = catch_unwind(AssertUnwindSafe(|| match item {
                Some(Item::Event(event)) => {
                    observer.on_event(&event);
                    Some(false)
                }
                Some(Item::Output(output)) => {
                    observer.on_lines(&output.event, output.stream, &output.lines);
                    Some(false)
                }
                Some(Item::Flush(heard)) => {
                    observer.on_idle();
                    let _ = heard.send(());
                    Some(true)
                }
                None if is_idle => None,
                None => {
                    observer.on_idle();
                    Some(true)
                }
            }));
            match heard {
                Ok(Some(idle)) => is_idle = idle,
                Ok(None) => return,
                Err(panic) => {
                    self.give_up();
                    let line =
                        format!("bowline: an observer panicked, and hears no more: {}\n", words(&*panic));
                    let _ = io::stderr().lock().write_all(line.as_bytes());
                    return;
                }
            }
        }
    }
}

/// A panic's message.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it did not say why")
}

/// The observers of one session, or of the whole process.
#[derive(Default)]
pub(super) struct Observers {
    queues: RwLock<Vec<Arc<Queue>>>,
    /// Their number, which is read much more often than the list.
    count: AtomicUsize,
}

impl Observers {
    pub(super) const fn new() -> Self {
        Self { queues: RwLock::new(Vec::new()), count: AtomicUsize::new(0) }
    }

    pub(super) fn are_none(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    pub(super) fn all(&self) -> Vec<Arc<Queue>> {
        if self.are_none() {
            return Vec::new();
        }
        self.queues.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, queue: Arc<Queue>) {
        self.change(|queues| queues.push(queue));
    }

    pub(super) fn remove(&self, queue: &Arc<Queue>) {
        self.change(|queues| queues.retain(|other| !Arc::ptr_eq(other, queue)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Queue>>)) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut queues);
        self.count.store(queues.len(), Ordering::Relaxed);
    }
}

impl Drop for Observers {
    fn drop(&mut self) {
        self.all().iter().for_each(|queue| queue.close());
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
