//! The life of a service: idle → starting → ready → (in use | lingering) → stopping → gone.
//!
//! Each service of a session has one supervisor, a task that owns the state and is the only one to change it. Everybody
//! else sends it messages and holds leases (the service is in use) and pins (it will be). Letting go is a message sent
//! from `Drop`, so nothing has to be awaited for a service to end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::running::{Running, start};
use super::{End, Inner};
use crate::graph::ServiceNode;
use crate::{Error, Result};

/// What a supervisor is told.
enum Message {
    /// Start the service if need be, and answer when it is ready.
    Acquire(oneshot::Sender<Result<Lease>>),
    /// A lease of this run of the service is over.
    Release(u64),
    Pin,
    Unpin,
    /// Hold a lease until `Stop` or the end.
    Hold(oneshot::Sender<Result<()>>),
    Stop(oneshot::Sender<()>),
    Kill(oneshot::Sender<()>),
    /// As soon as nobody uses it, stop; and never start again.
    Close(Closing),
}

/// Whoever closes the session, and how.
struct Closing {
    end: End,
    done: oneshot::Sender<()>,
}

/// The way to a service's supervisor.
#[derive(Clone)]
pub(super) struct Supervisor {
    messages: UnboundedSender<Message>,
    name: Arc<str>,
}

impl Inner {
    /// The supervisor of a service: equal definitions in a session have one.
    pub(super) fn supervisor(self: &Arc<Self>, service: &Arc<ServiceNode>) -> Result<Supervisor> {
        if std::env::var("BOWLINE_SERVICES").is_ok_and(|value| value.eq_ignore_ascii_case("off")) {
            return Err(Error::ServicesOff { service: service.name.to_string() });
        }
        let mut services = self.services();
        self.check_open(&format!("service `{}`", service.name))?;
        let supervisor = services.entry(service.digest).or_insert_with(|| {
            let (messages, inbox) = unbounded_channel();
            let supervisor = Supervisor { messages: messages.clone(), name: service.name.clone() };
            let task = Task {
                session: Arc::downgrade(self),
                service: service.clone(),
                inbox,
                messages: messages.downgrade(),
                closing: None,
                pins: 0,
            };
            tokio::spawn(task.supervise());
            supervisor
        });
        Ok(supervisor.clone())
    }
}

impl Supervisor {
    pub(super) async fn acquire(&self) -> Result<Lease> {
        self.ask(Message::Acquire).await?
    }

    pub(super) fn pin(&self) -> Pin {
        let _ = self.messages.send(Message::Pin);
        Pin(self.messages.clone())
    }

    pub(super) async fn start(&self, service: &Arc<ServiceNode>) -> Result<()> {
        self.ask(Message::Hold).await??;
        // Known to run: this only checks this definition's own ports and checks.
        self.acquire().await?.running.ensure_ready(service).await
    }

    pub(super) async fn stop(&self) -> Result<()> {
        self.ask(Message::Stop).await
    }

    pub(super) async fn kill(&self) -> Result<()> {
        self.ask(Message::Kill).await
    }

    pub(super) async fn close(&self, end: End) {
        let _ = self.ask(|done| Message::Close(Closing { end, done })).await;
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let gone = || super::closed(&format!("service `{}`", self.name));
        self.messages.send(message(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

/// The service will be needed: it is not stopped while this exists, nor started for it.
pub(super) struct Pin(UnboundedSender<Message>);

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = self.0.send(Message::Unpin);
    }
}

/// The service is ready and in use.
pub(super) struct Lease {
    running: Arc<Running>,
    messages: UnboundedSender<Message>,
}

impl Lease {
    pub(super) fn running(&self) -> &Arc<Running> {
        &self.running
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Release(self.running.generation));
    }
}

/// Who waits for a start.
#[derive(Default)]
struct Waiters {
    acquire: Vec<oneshot::Sender<Result<Lease>>>,
    hold: Vec<oneshot::Sender<Result<()>>>,
}

impl Waiters {
    fn is_empty(&self) -> bool {
        self.acquire.is_empty() && self.hold.is_empty()
    }

    fn fail(self, error: &Error) {
        self.acquire.into_iter().for_each(|waiter| drop(waiter.send(Err(error.clone()))));
        self.hold.into_iter().for_each(|waiter| drop(waiter.send(Err(error.clone()))));
    }
}

/// Tells who waited for the end. Whoever has given up does not hear it.
fn answer(waiting: impl IntoIterator<Item = oneshot::Sender<()>>) {
    for waiter in waiting {
        let _ = waiter.send(());
    }
}

/// What is to be done once a service runs no more.
enum After {
    /// Somebody asked for it in the meantime.
    StartAgain(Waiters),
    Rest,
}

/// The supervisor itself.
struct Task {
    /// Weak, so that a session that nobody holds any more can end.
    session: Weak<Inner>,
    service: Arc<ServiceNode>,
    inbox: UnboundedReceiver<Message>,
    messages: tokio::sync::mpsc::WeakUnboundedSender<Message>,
    /// Once the session closes.
    closing: Option<Closing>,
    /// How many steps will need the service.
    pins: usize,
}

impl Task {
    async fn supervise(mut self) {
        let mut after = After::Rest;
        loop {
            let waiters = match after {
                After::StartAgain(waiters) => waiters,
                After::Rest => match self.idle().await {
                    Some(waiters) => waiters,
                    None => break,
                },
            };
            after = match self.starting(waiters).await {
                Some((running, holders)) => self.running(running, holders).await,
                None => After::Rest,
            };
        }
        if let Some(closing) = self.closing.take() {
            let _ = closing.done.send(());
        }
    }

    /// Waits for somebody who needs the service; `None` ends the supervisor.
    async fn idle(&mut self) -> Option<Waiters> {
        let mut waiters = Waiters::default();
        while self.closing.is_none() {
            match self.inbox.recv().await? {
                Message::Acquire(waiter) => waiters.acquire.push(waiter),
                Message::Hold(waiter) => waiters.hold.push(waiter),
                Message::Pin => self.pins += 1,
                Message::Unpin => self.pins = self.pins.saturating_sub(1),
                // Of a process that ended by itself; nothing is left to count.
                Message::Release(_) => {}
                Message::Stop(done) | Message::Kill(done) => answer([done]),
                Message::Close(closing) => self.closing = Some(closing),
            }
            if !waiters.is_empty() {
                return Some(waiters);
            }
        }
        None
    }

    /// Starts the process, once for everyone who waits; all get the one error.
    async fn starting(&mut self, mut waiters: Waiters) -> Option<(Arc<Running>, Waiters)> {
        let Some(session) = self.session.upgrade() else {
            waiters.fail(&super::closed(&format!("service `{}`", self.service.name)));
            return None;
        };
        let mut start: BoxFuture<'static, _> = Box::pin(start(session, self.service.clone()));
        let mut stopped: Vec<oneshot::Sender<()>> = Vec::new();
        let result = loop {
            tokio::select! {
                result = &mut start => break result,
                message = self.inbox.recv() => match message {
                    Some(Message::Acquire(waiter)) => waiters.acquire.push(waiter),
                    Some(Message::Hold(waiter)) => waiters.hold.push(waiter),
                    Some(Message::Pin) => self.pins += 1,
                    Some(Message::Unpin) => self.pins = self.pins.saturating_sub(1),
                    Some(Message::Release(_)) => {}
                    Some(Message::Stop(done) | Message::Kill(done)) => {
                        stopped.push(done);
                        break Err(self.cancelled("it was stopped while it started"));
                    }
                    Some(Message::Close(closing)) => {
                        self.closing = Some(closing);
                        break Err(super::closed(&format!("service `{}`", self.service.name)));
                    }
                    None => break Err(super::closed(&format!("service `{}`", self.service.name))),
                },
            }
        };
        // Dropped before anybody is told, so that what was begun is already being undone.
        drop(start);
        match result {
            Ok(running) => Some((Arc::new(running), waiters)),
            Err(error) => {
                waiters.fail(&error);
                answer(stopped);
                None
            }
        }
    }

    fn cancelled(&self, reason: &str) -> Error {
        Error::Cancelled { what: format!("service `{}`", self.service.name), reason: reason.to_owned() }
    }

    /// Ready, in use or lingering, until it ends or is to be stopped.
    async fn running(&mut self, running: Arc<Running>, waiters: Waiters) -> After {
        let mut uses = 0usize;
        let mut held = !waiters.hold.is_empty();
        waiters.hold.into_iter().for_each(|waiter| drop(waiter.send(Ok(()))));
        for waiter in waiters.acquire {
            self.hand_out(&running, waiter, &mut uses);
        }
        let mut unused_since = Instant::now();
        loop {
            let idle = uses == 0 && self.pins == 0 && !held;
            if let (Some(closing), 0) = (&self.closing, uses) {
                if closing.end == End::Left && self.leave(&running).await {
                    return After::Rest;
                }
                return self.stopping(running, Vec::new(), false).await;
            }
            tokio::select! {
                // An end that has happened comes before a newcomer, who is to get a fresh instance.
                biased;
                error = running.failed_in_use() => return self.ended(&running, error).await,
                () = sleep_until(unused_since + self.service.linger), if idle => {
                    return self.stopping(running, Vec::new(), false).await;
                }
                message = self.inbox.recv() => match message {
                    Some(Message::Acquire(waiter)) => self.hand_out(&running, waiter, &mut uses),
                    Some(Message::Hold(waiter)) => {
                        held = true;
                        let _ = waiter.send(Ok(()));
                    }
                    Some(Message::Release(generation)) if generation == running.generation => {
                        uses = uses.saturating_sub(1);
                        unused_since = Instant::now();
                    }
                    // Of an earlier run, whose users learn of its end only now.
                    Some(Message::Release(_)) => {}
                    Some(Message::Pin) => self.pins += 1,
                    Some(Message::Unpin) => {
                        self.pins = self.pins.saturating_sub(1);
                        unused_since = Instant::now();
                    }
                    Some(Message::Stop(done)) => return self.stopping(running, vec![done], false).await,
                    Some(Message::Kill(done)) => return self.stopping(running, vec![done], true).await,
                    Some(Message::Close(closing)) => self.closing = Some(closing),
                    // Nobody holds the session: nobody can ask for the service again.
                    None => return self.stopping(running, Vec::new(), false).await,
                },
            }
        }
    }

    fn hand_out(&self, running: &Arc<Running>, waiter: oneshot::Sender<Result<Lease>>, uses: &mut usize) {
        let Some(messages) = self.messages.upgrade() else { return };
        *uses += 1;
        // Where the waiter has given up, the lease comes back by being dropped.
        let _ = waiter.send(Ok(Lease { running: running.clone(), messages }));
    }

    /// The process has ended, or must: tells its users and clears up.
    async fn ended(&mut self, running: &Arc<Running>, error: Error) -> After {
        if let Some(session) = self.session.upgrade() {
            session.report.event(&self.service.name, &first_line(&error));
        }
        running.end(error);
        let _ = running.instance.remove().await;
        After::Rest
    }

    /// Lets the service be stopped by whoever outlives the program, once its users are; whether there is such a one.
    async fn leave(&self, running: &Running) -> bool {
        let (signal, within) = running.stop_manner();
        match running.instance.leave(&signal, within, running.users_left()).await {
            Ok(Some(left)) => {
                running.end(self.cancelled("the program ended"));
                running.dependencies.were_left_by(&left);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.complain(&error);
                false
            }
        }
    }

    /// Sends the stop signal, and SIGKILL when that takes too long; newcomers wait for a fresh instance.
    async fn stopping(
        &mut self,
        running: Arc<Running>,
        mut done: Vec<oneshot::Sender<()>>,
        kill: bool,
    ) -> After {
        running.end(self.cancelled("the service was stopped"));
        let instance = running.instance.clone();
        let (signal, within) =
            if kill { ("SIGKILL".to_owned(), Duration::ZERO) } else { running.stop_manner() };
        let mut deadline = Instant::now() + within;
        let mut killed = kill;
        let mut waiters = Waiters::default();
        if let Err(error) = instance.signal(&signal).await {
            // An unknown signal, say: it has to end all the same.
            self.complain(&error);
            deadline = Instant::now();
        }
        loop {
            tokio::select! {
                biased;
                _ = instance.wait() => break,
                () = sleep_until(deadline), if !killed => {
                    killed = true;
                    if let Err(error) = instance.signal("SIGKILL").await {
                        self.complain(&error);
                        break;
                    }
                }
                message = self.inbox.recv() => match message {
                    Some(Message::Acquire(waiter)) => waiters.acquire.push(waiter),
                    Some(Message::Hold(waiter)) => waiters.hold.push(waiter),
                    // Of the users of what is going.
                    Some(Message::Release(_)) => {}
                    Some(Message::Pin) => self.pins += 1,
                    Some(Message::Unpin) => self.pins = self.pins.saturating_sub(1),
                    Some(Message::Stop(waiter)) => done.push(waiter),
                    Some(Message::Kill(waiter)) => {
                        done.push(waiter);
                        deadline = Instant::now();
                    }
                    Some(Message::Close(closing)) => self.closing = Some(closing),
                    None => break,
                },
            }
        }
        if let Err(error) = instance.remove().await {
            self.complain(&error);
        }
        // What it used may go now, and not before.
        drop(running);
        answer(done);
        if waiters.is_empty() { After::Rest } else { After::StartAgain(waiters) }
    }

    fn complain(&self, error: &Error) {
        if let Some(session) = self.session.upgrade() {
            session.report.event(&self.service.name, &first_line(error));
        }
    }
}

fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
