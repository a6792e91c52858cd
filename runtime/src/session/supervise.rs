//! The life of a service: idle → starting → ready → (in use | lingering) → stopping → gone.
//!
//! One task for each service, one owner of its state; `ending` is how a process ends. In every state, even before it is ready, a process is
//! ended by its stop signal and has its grace period; and a cache that was new when the service got it is emptied again
//! if the service never became ready.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep_until};

use super::demand::Demand;
use super::running::{Lease, Running};
use super::service::{Closing, Keep, Message, Origin, subject};
use super::start::Outfit;
use super::waiters::Waiters;
use super::{End, Inner};
use crate::event::{EventKind, Outcome, Span};
use crate::graph::ServiceNode;
use crate::model::Digest;
use crate::{Error, Result};

mod ending;

fn cancelled(service: &ServiceNode, reason: &str) -> Error {
    Error::Cancelled { what: format!("service `{}`", service.name), reason: reason.to_owned() }
}

pub(super) fn stopped_while_starting(service: &ServiceNode) -> Error {
    cancelled(service, "it was stopped while it started")
}

/// Answers those who waited for the end. Whoever has given up is skipped.
fn answer(waiting: impl IntoIterator<Item = oneshot::Sender<()>>) {
    for waiter in waiting {
        let _ = waiter.send(());
    }
}

/// What to do once a service no longer runs.
enum After {
    /// Somebody requested it in the meantime.
    StartAgain(Waiters),
    /// Wait for the next evaluation.
    Rest,
}

impl After {
    fn and_again(self, mut waiters: Waiters) -> Self {
        if let Self::StartAgain(others) = self {
            waiters.join(others);
        }
        Self::StartAgain(waiters)
    }
}

/// How a process is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// By its stop signal, and by SIGKILL after the grace period.
    Stop,
    /// By SIGKILL at once.
    Kill,
}

/// Why a start was abandoned.
struct Halt {
    /// The error that those who wait for the start get.
    error: Error,
    cause: Cause,
    /// The process, if it was already started.
    running: Option<Arc<Running>>,
}

enum Cause {
    /// The start itself failed.
    Failed,
    /// Somebody ordered the end, and waits for it.
    Ordered(Manner, Option<oneshot::Sender<()>>),
}

/// The state of the supervisor.
pub(super) struct Task {
    /// Weak, so that a session that nobody holds any more can end.
    session: Weak<Inner>,
    service: Arc<ServiceNode>,
    /// The key of the service instance.
    key: Digest,
    /// The messages to this supervisor.
    inbox: UnboundedReceiver<Message>,
    /// A sender to itself, for leases; weak, so that the inbox closes with the last handle.
    messages: WeakUnboundedSender<Message>,
    /// Set once the session closes.
    closing: Option<Closing>,
    /// Who needs the service besides its users.
    demand: Demand,
}

impl Task {
    pub(super) fn new(
        session: Weak<Inner>,
        service: Arc<ServiceNode>,
        key: Digest,
        inbox: UnboundedReceiver<Message>,
        messages: WeakUnboundedSender<Message>,
    ) -> Self {
        Self { session, service, key, inbox, messages, closing: None, demand: Demand::default() }
    }

    pub(super) async fn supervise(mut self) {
        let mut after = After::Rest;
        loop {
            let waiters = match after {
                After::StartAgain(waiters) => waiters,
                After::Rest => match self.idle().await {
                    Some(waiters) => waiters,
                    None => break,
                },
            };
            after = self.live(waiters).await;
        }
        if let Some(closing) = self.closing.take() {
            let _ = closing.done.send(());
        }
    }

    /// Waits until somebody needs the service; `None` ends the supervisor.
    async fn idle(&mut self) -> Option<Waiters> {
        let mut waiters = Waiters::default();
        while self.closing.is_none() && !self.is_forgotten() {
            match self.inbox.recv().await? {
                Message::Acquire(origin, waiter) => waiters.acquire(origin, waiter),
                Message::Hold(origin, waiter) => waiters.hold(origin, waiter),
                Message::Need(need) => drop(self.demand.note(need)),
                // A lease of a process that ended by itself; there is nothing left to count.
                Message::Release(_) => {}
                Message::Stop(done) | Message::Kill(done) => answer([done]),
                Message::Keep(keep) => self.cannot_keep(keep),
                Message::Close(closing) => self.closing = Some(closing),
            }
            if !waiters.is_empty() {
                return Some(waiters);
            }
        }
        None
    }

    /// Whether it is superseded, and nobody can ask for it any more.
    fn is_forgotten(&self) -> bool {
        self.demand.is_superseded()
            && self.session.upgrade().is_some_and(|session| session.services().forget(self.key, &self.inbox))
    }

    /// One run, from start to end. It is started once for everyone who waits; on failure all get the same error at once.
    async fn live(&mut self, mut waiters: Waiters) -> After {
        self.demand.begin();
        if self.closing.is_some() {
            waiters.fail(&self.closed());
            return After::Rest;
        }
        let Some(session) = self.session.upgrade() else {
            waiters.fail(&self.closed());
            return After::Rest;
        };
        let span = session.span.child_at(subject(&self.service), self.service.locations.all());
        let started = self.start(&session, &span, &mut waiters).await;
        drop(session);
        let halt = match started {
            Ok(running) => return self.running(running, waiters).await,
            Err(halt) => halt,
        };
        waiters.fail(&halt.error);
        let (manner, done, outcome) = match halt.cause {
            Cause::Failed => (Manner::Stop, None, failed(&halt.error)),
            Cause::Ordered(manner, done) => (manner, done, Outcome::Cancelled),
        };
        let Some(running) = halt.running else {
            span.close(|| outcome);
            answer(done);
            return After::Rest;
        };
        running.end(halt.error);
        self.end(running, done.into_iter().collect(), manner, outcome).await
    }

    async fn start(
        &mut self,
        session: &Arc<Inner>,
        span: &Arc<Span>,
        waiters: &mut Waiters,
    ) -> Result<Arc<Running>, Box<Halt>> {
        // Until there is a process, dropping any of this undoes it.
        let Some(origin) = waiters.origin().cloned() else {
            let error = Error::internal("a service was started for nobody");
            return Err(Box::new(Halt { error, cause: Cause::Failed, running: None }));
        };
        let outfit = Outfit::new(session, self.service.clone(), origin, self.key, span.clone());
        let outfit = self.unless_halted(waiters, outfit).await?;
        let caches = self.unless_halted(waiters, outfit.lock_caches()).await?;
        let prepared = match self.unless_halted(waiters, outfit.prepare()).await {
            Ok(prepared) => prepared,
            Err(halt) => {
                self.release(caches.as_deref(), span).await;
                return Err(halt);
            }
        };
        // This may create a process, so it is awaited even if nobody wants it any more: dropping it would kill the
        // process.
        let mut begin = std::pin::pin!(outfit.begin(prepared, caches.clone()));
        let running = match self.unless_halted(waiters, &mut begin).await {
            Ok(running) => Arc::new(running),
            Err(mut halt) => {
                if let Cause::Ordered(..) = halt.cause {
                    halt.running = begin.await.ok().map(Arc::new);
                }
                if halt.running.is_none() {
                    self.release(caches.as_deref(), span).await;
                }
                return Err(halt);
            }
        };
        match self.unless_halted(waiters, running.become_ready()).await {
            Ok(()) => Ok(running),
            Err(mut halt) => {
                halt.running = Some(running);
                Err(halt)
            }
        }
    }

    /// Continues a start, and handles messages meanwhile.
    async fn unless_halted<T>(
        &mut self,
        waiters: &mut Waiters,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T, Box<Halt>> {
        let mut work = std::pin::pin!(work);
        let halt = |error, cause| Err(Box::new(Halt { error, cause, running: None }));
        loop {
            tokio::select! {
                result = &mut work => return result.or_else(|error| halt(error, Cause::Failed)),
                message = self.inbox.recv() => match message {
                    Some(Message::Acquire(origin, waiter)) => waiters.acquire(origin, waiter),
                    Some(Message::Hold(origin, waiter)) => waiters.hold(origin, waiter),
                    Some(Message::Need(need)) => drop(self.demand.note(need)),
                    Some(Message::Release(_)) => {}
                    Some(Message::Stop(done)) => {
                        return halt(stopped_while_starting(&self.service), Cause::Ordered(Manner::Stop, Some(done)));
                    }
                    Some(Message::Keep(keep)) => self.cannot_keep(keep),
                    Some(Message::Kill(done)) => {
                        let error = cancelled(&self.service, "it was killed while it started");
                        return halt(error, Cause::Ordered(Manner::Kill, Some(done)));
                    }
                    Some(Message::Close(closing)) => {
                        self.closing = Some(closing);
                        return halt(self.closed(), Cause::Ordered(Manner::Stop, None));
                    }
                    None => return halt(self.closed(), Cause::Ordered(Manner::Stop, None)),
                },
            }
        }
    }

    fn closed(&self) -> Error {
        super::closed(&format!("service `{}`", self.service.name))
    }

    /// Ready, in use or lingering, until it ends or is to be stopped.
    async fn running(&mut self, running: Arc<Running>, waiters: Waiters) -> After {
        let mut uses = 0usize;
        let (acquire, hold) = waiters.split();
        for (origin, waiter) in hold {
            self.hold(&origin, waiter);
        }
        for waiter in acquire {
            self.hand_out(&running, waiter, &mut uses);
        }
        let mut unused_since = Instant::now();
        loop {
            let idle = uses == 0 && self.demand.is_none();
            // A shared service lingers at its owner.
            let goes_at_once = self.demand.is_awaited() || running.is_shared();
            let linger = if goes_at_once { Duration::ZERO } else { self.service.linger };
            if self.closing.is_some() && uses == 0 {
                return self.stop(running, Vec::new(), Manner::Stop).await;
            }
            tokio::select! {
                // An end that has happened is handled before a new evaluation, which is to get a fresh instance.
                biased;
                error = running.failed_in_use() => return self.ended(running, error).await,
                () = sleep_until(unused_since + linger), if idle => {
                    return self.stop(running, Vec::new(), Manner::Stop).await;
                }
                message = self.inbox.recv() => match message {
                    Some(Message::Acquire(origin, waiter)) => {
                        // If an unused process died a moment ago, the new evaluation need not know.
                        if uses == 0 && matches!(running.instance.is_alive().await, Ok(false)) {
                            let error = running.failed_in_use().await;
                            let mut waiters = Waiters::default();
                            waiters.acquire(origin, waiter);
                            return self.ended(running, error).await.and_again(waiters);
                        }
                        self.hand_out(&running, waiter, &mut uses);
                    }
                    Some(Message::Hold(origin, waiter)) => self.hold(&origin, waiter),
                    Some(Message::Release(generation)) if generation == running.generation => {
                        uses = uses.saturating_sub(1);
                        unused_since = Instant::now();
                    }
                    // A lease of an earlier run, whose users learn of its end only now.
                    Some(Message::Release(_)) => {}
                    Some(Message::Need(need)) => {
                        if self.demand.note(need) {
                            unused_since = Instant::now();
                        }
                    }
                    Some(Message::Stop(done)) => return self.stop(running, vec![done], Manner::Stop).await,
                    Some(Message::Kill(done)) => return self.stop(running, vec![done], Manner::Kill).await,
                    Some(Message::Keep(keep)) => return self.stop_and_keep(running, keep).await,
                    Some(Message::Close(closing)) => self.closing = Some(closing),
                    // The session was dropped, so nobody can ask for the service again.
                    None => return self.stop(running, Vec::new(), Manner::Stop).await,
                },
            }
        }
    }

    /// Keeps the service running for a definition. Waiters who have given up hold nothing.
    fn hold(&mut self, origin: &Origin, waiter: oneshot::Sender<Result<()>>) {
        if waiter.send(Ok(())).is_ok() {
            self.demand.hold(origin.service.digest, origin.reading.number);
        }
    }

    fn hand_out(&self, running: &Arc<Running>, waiter: oneshot::Sender<Result<Lease>>, uses: &mut usize) {
        let Some(messages) = self.messages.upgrade() else { return };
        *uses += 1;
        // If the waiter has given up, the lease is dropped, which releases it.
        let release = move |generation| drop(messages.send(Message::Release(generation)));
        let _ = waiter.send(Ok(Lease::new(running.clone(), release)));
    }

    /// The process has ended, or must, because a service that it uses has: tells its users and cleans up.
    async fn ended(&mut self, running: Arc<Running>, error: Error) -> After {
        running.span.emit(|| EventKind::Failed { error: error.to_string().into() });
        let outcome = failed(&error);
        running.end(error);
        self.end(running, Vec::new(), Manner::Stop, outcome).await
    }

    async fn stop(&mut self, running: Arc<Running>, done: Vec<oneshot::Sender<()>>, manner: Manner) -> After {
        running.end(cancelled(&self.service, "the service was stopped"));
        self.end(running, done, manner, Outcome::Succeeded).await
    }

    async fn stop_and_keep(&mut self, running: Arc<Running>, keep: Keep) -> After {
        running.end(cancelled(&self.service, "the service was stopped"));
        self.stopping(running, Vec::new(), Some(keep), Manner::Stop, Outcome::Succeeded).await
    }

    /// Makes sure that nothing is left of a run whose users have been told.
    async fn end(
        &mut self,
        running: Arc<Running>,
        done: Vec<oneshot::Sender<()>>,
        manner: Manner,
        outcome: Outcome,
    ) -> After {
        if self.closing.as_ref().is_some_and(|closing| closing.end == End::Detached)
            && manner == Manner::Stop
            && self.detach(&running).await
        {
            running.span.close(|| outcome);
            answer(done);
            return After::Rest;
        }
        self.stopping(running, done, None, manner, outcome).await
    }

    /// Detaches the service: a process that outlives the program stops it, once its users are gone. Returns whether there
    /// is such a process.
    async fn detach(&self, running: &Running) -> bool {
        let (signal, within) = running.stop_manner();
        match running.instance.detach(&signal, within, running.detached_users()).await {
            Ok(Some(left)) => {
                running.span.emit(|| EventKind::Detached);
                running.dependencies.were_detached_from(&left);
                true
            }
            Ok(None) => false,
            Err(error) => {
                complain(&running.span, &error);
                false
            }
        }
    }
}

/// Reports an error at the end of a service, which ends anyway.
fn complain(span: &Span, error: &Error) {
    span.emit(|| EventKind::warning(error.to_string()));
}

fn failed(error: &Error) -> Outcome {
    Outcome::Failed { error: error.to_string().into() }
}
