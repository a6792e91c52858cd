//! Access to services: each service of a session has one supervisor ([`supervise`](super::supervise)), a task that owns
//! the service's state and alone changes it.
//!
//! Everybody else sends it messages, and holds leases (the service is in use) and pins (the service will be needed).
//! Leases and pins are released by a message sent from `Drop`, so nothing has to be awaited for a service to end.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use super::End;
use super::running::Lease;
use crate::Result;
use crate::event::Subject;
use crate::graph::ServiceNode;
use crate::model::{Digest, Snapshot};

/// A message to a supervisor.
pub(super) enum Message {
    /// Start the service if need be, and answer once it is ready.
    Acquire(oneshot::Sender<Result<Lease>>),
    /// A lease ended, of the run with this generation.
    Release(u64),
    /// One more step will need the service.
    Pin,
    /// One step fewer will need the service.
    Unpin,
    /// Hold a lease until `Stop` or the end of the session, and answer once the service is ready.
    Hold(oneshot::Sender<Result<()>>),
    /// End the service by its stop signal, and answer once it is gone.
    Stop(oneshot::Sender<()>),
    /// End the service by its stop signal, and keep its file system under a key.
    Keep(Keep),
    /// End the service by SIGKILL, and answer once it is gone.
    Kill(oneshot::Sender<()>),
    /// Stop as soon as nobody uses the service, and never start it again.
    Close(Closing),
}

/// Where what a service leaves is kept, and who waits for that.
pub(super) struct Keep {
    pub(super) key: Digest,
    pub(super) done: oneshot::Sender<Result<Snapshot>>,
}

/// How the session closes, and who waits for it.
pub(super) struct Closing {
    /// What closing waits for.
    pub(super) end: End,
    /// Notified once the service is gone.
    pub(super) done: oneshot::Sender<()>,
}

/// The subject of a service's events.
pub(super) fn subject(service: &ServiceNode) -> Subject {
    Subject::Service { name: service.name.clone(), hostname: (&*service.hostname).into() }
}

/// The services of a session: one instance for each key, however many definitions have that key.
#[derive(Default)]
pub(super) struct Services {
    /// The supervisors by key.
    pub(super) supervisors: HashMap<Digest, Supervisor>,
    /// The keys of evaluated definitions, by the definitions' digests: stopping a service that never ran should not look
    /// for images.
    pub(super) keys: HashMap<Digest, Digest>,
    /// Definitions that are being started and whose keys may not be known yet, by digest; the channel tells the starters
    /// to stop.
    starting: HashMap<Digest, watch::Sender<()>>,
}

impl Services {
    /// The supervisor of a definition, if that has been evaluated.
    pub(super) fn of(&self, definition: Digest) -> Option<&Supervisor> {
        self.supervisors.get(self.keys.get(&definition)?)
    }

    /// Changes when a definition is to be stopped.
    pub(super) fn stops(&mut self, definition: Digest) -> watch::Receiver<()> {
        self.starting.entry(definition).or_default().subscribe()
    }

    /// Tells those who are about to start a definition not to.
    pub(super) fn stop_starts(&self, definition: Digest) {
        if let Some(starts) = self.starting.get(&definition) {
            starts.send_replace(());
        }
    }
}

/// A handle to a service's supervisor.
#[derive(Clone)]
pub(super) struct Supervisor {
    messages: UnboundedSender<Message>,
    /// The definition that started the instance; equal ones may have other host names.
    pub(super) service: Arc<ServiceNode>,
}

impl Supervisor {
    pub(super) fn new(messages: UnboundedSender<Message>, service: Arc<ServiceNode>) -> Self {
        Self { messages, service }
    }

    pub(super) async fn acquire(&self) -> Result<Lease> {
        self.ask(Message::Acquire).await?
    }

    pub(super) fn pin(&self) -> Pin {
        let _ = self.messages.send(Message::Pin);
        Pin(self.messages.clone())
    }

    pub(super) async fn start(&self, service: &Arc<ServiceNode>) -> Result<()> {
        let start = async {
            self.ask(Message::Hold).await??;
            // The service is known to run: this only checks this definition's own ports and checks.
            self.acquire().await?.running().ensure_ready(service).await
        };
        start.await.map_err(|error| error.of_service(&self.service.hostname, service.locations.all()))
    }

    pub(super) async fn stop(&self) -> Result<()> {
        self.ask(Message::Stop).await
    }

    /// Stops a service that runs, and keeps what it leaves.
    pub(super) async fn stop_and_keep(&self, key: Digest) -> Result<Snapshot> {
        self.ask(|done| Message::Keep(Keep { key, done })).await?
    }

    pub(super) async fn kill(&self) -> Result<()> {
        self.ask(Message::Kill).await
    }

    pub(super) async fn close(&self, end: End) {
        let _ = self.ask(|done| Message::Close(Closing { end, done })).await;
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let gone = || super::closed(&format!("service `{}`", self.service.name));
        self.messages.send(message(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

/// A service that will be needed: while this exists it is not stopped, but it is not started either.
pub(super) struct Pin(UnboundedSender<Message>);

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = self.0.send(Message::Unpin);
    }
}
