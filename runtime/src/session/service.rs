//! The way to a service: each of a session has one supervisor ([`supervise`](super::supervise)), a task that owns its
//! state and is the only one to change it.
//!
//! Everybody else sends it messages and holds leases (the service is in use) and pins (it will be). Letting go is a
//! message sent from `Drop`, so nothing has to be awaited for a service to end.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use super::End;
use super::running::Lease;
use crate::Result;
use crate::event::Subject;
use crate::graph::ServiceNode;
use crate::model::Digest;

/// What a supervisor is told.
pub(super) enum Message {
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
pub(super) struct Closing {
    pub(super) end: End,
    pub(super) done: oneshot::Sender<()>,
}

/// Whose events those of a service are.
pub(super) fn subject(service: &ServiceNode) -> Subject {
    Subject::Service { name: service.name.clone(), hostname: service.hostname.as_str().into() }
}

/// The services of a session: one instance for each key, however many definitions have it.
#[derive(Default)]
pub(super) struct Services {
    pub(super) supervisors: HashMap<Digest, Supervisor>,
    /// The keys of definitions that have been evaluated, by digest: nobody looks for images to stop what has never run.
    pub(super) keys: HashMap<Digest, Digest>,
    /// The definitions that are being started whose keys may not be known yet, by digest, and who wants them stopped.
    starting: HashMap<Digest, watch::Sender<()>>,
}

impl Services {
    /// The supervisor of a definition that has been evaluated.
    pub(super) fn of(&self, definition: Digest) -> Option<&Supervisor> {
        self.supervisors.get(self.keys.get(&definition)?)
    }

    /// What changes when a definition is stopped.
    pub(super) fn stops(&mut self, definition: Digest) -> watch::Receiver<()> {
        self.starting.entry(definition).or_default().subscribe()
    }

    /// Tells those who are about to start a definition that it is to stop.
    pub(super) fn stop_starts(&self, definition: Digest) {
        if let Some(starts) = self.starting.get(&definition) {
            starts.send_replace(());
        }
    }
}

/// The way to a service's supervisor.
#[derive(Clone)]
pub(super) struct Supervisor {
    messages: UnboundedSender<Message>,
    /// The definition that the instance is started by; equal ones may have other host names.
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
            // Known to run: this only checks this definition's own ports and checks.
            self.acquire().await?.running().ensure_ready(service).await
        };
        start.await.map_err(|error| error.of_service(&self.service.hostname, service.locations.all()))
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
        let gone = || super::closed(&format!("service `{}`", self.service.name));
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
