//! The way to a service: each of a session has one supervisor ([`supervise`](super::supervise)), a task that owns its
//! state and is the only one to change it.
//!
//! Everybody else sends it messages and holds leases (the service is in use) and pins (it will be). Letting go is a
//! message sent from `Drop`, so nothing has to be awaited for a service to end.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::End;
use super::running::Lease;
use crate::Result;
use crate::event::Subject;
use crate::graph::ServiceNode;

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

/// The way to a service's supervisor.
#[derive(Clone)]
pub(super) struct Supervisor {
    messages: UnboundedSender<Message>,
    name: Arc<str>,
}

impl Supervisor {
    pub(super) fn new(messages: UnboundedSender<Message>, name: Arc<str>) -> Self {
        Self { messages, name }
    }

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
        self.acquire().await?.running().ensure_ready(service).await
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
