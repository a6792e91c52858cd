//! The end of a service's process: its stop signal, its grace period, what is kept of it, and what is released.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep_until};

use super::super::running::Running;
use super::super::service::{Keep, Message};
use super::super::waiters::Waiters;
use super::{After, Manner, Task, answer, cancelled, complain};
use crate::Error;
use crate::engine::CacheLocks;
use crate::event::{EventKind, Outcome, Span};

/// How long to wait for the end of a killed process: one that hangs in the kernel may never end.
const DEAD_WITHIN: Duration = Duration::from_secs(10);

impl Task {
    /// Only what has run and was stopped is kept.
    pub(super) fn cannot_keep(&self, keep: Keep) {
        let _ = keep
            .done
            .send(Err(cancelled(&self.service, "it does not run, so that nothing of it can be kept")));
    }

    /// Keeps what a service left that was stopped.
    async fn keep(&self, running: &Running, Keep { key, made_of, done }: Keep, killed: bool) {
        let kept = if killed {
            let what = format!("keep what service `{}` left", self.service.name);
            let help = "help: what it was writing may be incomplete; give it more time with `stop within`";
            Err(Error::engine(
                what,
                format!("it did not end within its grace period, and was killed\n\n{help}"),
            ))
        } else {
            running.instance.keep(key, made_of).await
        };
        let _ = done.send(kept);
    }

    /// Sends the stop signal, and SIGKILL after the grace period; new requests wait for a fresh instance.
    pub(super) async fn stopping(
        &mut self,
        running: Arc<Running>,
        mut done: Vec<oneshot::Sender<()>>,
        keep: Option<Keep>,
        manner: Manner,
        outcome: Outcome,
    ) -> After {
        let (instance, span) = (running.instance.clone(), running.span.clone());
        let is_shared = running.is_shared();
        let stopping = |signal: &str| {
            span.emit(|| {
                if is_shared { EventKind::Left } else { EventKind::Stopping { signal: signal.into() } }
            });
        };
        let (signal, within) = running.stop_manner();
        let (mut killed, mut listens, mut has_left) = (false, true, false);
        let mut deadline = Instant::now();
        let mut sending = futures_util::future::ready(Ok(())).boxed();
        // A process that has ended needs no signal.
        if manner == Manner::Stop && instance.wait().now_or_never().is_none() {
            deadline += within;
            stopping(&signal);
            sending = instance.signal(&signal);
            has_left = is_shared;
        }
        let mut sent = false;
        let mut waiters = Waiters::default();
        loop {
            tokio::select! {
                biased;
                ended = instance.wait() => {
                    if let Ok(exit) = ended
                        && !has_left
                    {
                        span.emit(|| EventKind::Exited { exit });
                    }
                    break;
                }
                result = &mut sending, if !sent => {
                    sent = true;
                    if let Err(error) = result {
                        // An unknown signal, for example: the process has to end anyway.
                        complain(&span, &error);
                        deadline = Instant::now();
                    }
                }
                () = sleep_until(deadline) => {
                    if killed {
                        break;
                    }
                    killed = true;
                    stopping("SIGKILL");
                    deadline = Instant::now() + DEAD_WITHIN;
                    (sending, sent) = (instance.signal("SIGKILL"), false);
                }
                message = self.inbox.recv(), if listens => match message {
                    Some(Message::Acquire(origin, waiter)) => waiters.acquire(origin, waiter),
                    Some(Message::Hold(origin, waiter)) => waiters.hold(origin, waiter),
                    // A lease held by a user of the run that is ending.
                    Some(Message::Release(_)) => {}
                    Some(Message::Need(need)) => drop(self.demand.note(need)),
                    Some(Message::Stop(waiter)) => done.push(waiter),
                    Some(Message::Keep(keep)) => self.cannot_keep(keep),
                    Some(Message::Kill(waiter)) => {
                        done.push(waiter);
                        if !killed {
                            deadline = Instant::now();
                        }
                    }
                    Some(Message::Close(closing)) => self.closing = Some(closing),
                    None => listens = false,
                },
            }
        }
        drop(sending);
        running.end_log();
        if let Some(keep) = keep {
            self.keep(&running, keep, killed).await;
        }
        if let Err(error) = instance.remove().await {
            complain(&span, &error);
        }
        self.release(running.caches(), &span).await;
        span.close(|| outcome);
        // What it used may stop now, and not before.
        drop((instance, running));
        answer(done);
        if waiters.is_empty() { After::Rest } else { After::StartAgain(waiters) }
    }

    /// Releases the caches of a process that is gone to other sessions.
    pub(super) async fn release(&self, caches: Option<&dyn CacheLocks>, span: &Span) {
        let Some(caches) = caches else { return };
        match caches.release().await {
            Ok(emptied) => {
                for cache in emptied {
                    span.emit(|| {
                        EventKind::warning(format!(
                            "the cache `{cache}` is empty again: it was new, and the service never became ready"
                        ))
                    });
                }
            }
            Err(error) => complain(span, &error),
        }
    }
}
