//! Access to services: each service of a session has one supervisor ([`supervise`](super::supervise)), a task that owns
//! the service's state and alone changes it.
//!
//! Everybody else sends it messages, and holds leases (the service is in use) and pins (the service will be needed).
//! Leases and pins are released by a message sent from `Drop`, so nothing has to be awaited for a service to end.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use super::End;
use super::demand::{Need, Successor};
use super::local::Reading;
use super::running::Lease;
use crate::Result;
use crate::event::Subject;
use crate::graph::ServiceNode;
use crate::model::{Digest, MadeOf, Snapshot};

/// A message to a supervisor.
pub(super) enum Message {
    /// Start the service if need be, and answer once it is ready.
    Acquire(Origin, oneshot::Sender<Result<Lease>>),
    /// A lease ended, of the run with this generation.
    Release(u64),
    /// The demand for the service has changed.
    Need(Need),
    /// Keep the service running until `Stop` or the end of the session, and answer once it is ready.
    Hold(Origin, oneshot::Sender<Result<()>>),
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
    pub(super) made_of: Vec<MadeOf>,
    pub(super) done: oneshot::Sender<Result<Snapshot>>,
}

/// What an instance is made of: a definition, and the reading of this machine's files in which it has the instance's key.
/// Equal definitions may take their files from different places, so of an instance's origins one may be out of date.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) service: Arc<ServiceNode>,
    pub(super) reading: Arc<Reading>,
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
    /// for images. A definition has a key for each version of its files, with the number of the last reading of it.
    pub(super) keys: HashMap<Digest, HashMap<Digest, u64>>,
    /// Definitions that are being started and whose keys may not be known yet, by digest; the channel tells the starters
    /// to stop.
    starting: HashMap<Digest, watch::Sender<()>>,
}

impl Services {
    /// The supervisors of a definition that has been evaluated, one for each version of its files.
    pub(super) fn of(&self, definition: Digest) -> impl Iterator<Item = &Supervisor> {
        let keys = self.keys.get(&definition).into_iter().flat_map(HashMap::keys);
        keys.filter_map(|key| self.supervisors.get(key))
    }

    /// Tells older instances of a definition that this one takes their place.
    pub(super) fn supersede(&self, definition: Digest, key: Digest) {
        let Some(versions) = self.keys.get(&definition).filter(|versions| versions.len() > 1) else { return };
        let (Some(new), Some(&reading)) = (self.supervisors.get(&key), versions.get(&key)) else { return };
        let older = versions.iter().filter(|(_, other)| **other < reading).map(|(key, _)| key);
        for old in older.filter_map(|key| self.supervisors.get(key)) {
            // Weak, so that a session that nobody holds any more can end.
            let new = new.messages.downgrade();
            let inherit = Box::new(move || {
                if let Some(new) = new.upgrade() {
                    let _ = new.send(Message::Need(Need::Inherit(definition)));
                }
            });
            old.tell(Need::Supersede(Successor { definition, reading, inherit }));
        }
    }

    /// Tells an instance that another one cannot start before it has ended.
    pub(super) fn make_way(&self, instance: Digest, other: Digest) {
        for definition in self.common(instance, other) {
            self.supersede(definition, other);
        }
        if let Some(supervisor) = self.supervisors.get(&instance) {
            supervisor.tell(Need::Hurry);
        }
    }

    /// The definitions that both instances are versions of.
    pub(super) fn common(&self, one: Digest, other: Digest) -> impl Iterator<Item = Digest> {
        let have =
            self.keys.iter().filter(move |(_, keys)| keys.contains_key(&one) && keys.contains_key(&other));
        have.map(|(definition, _)| *definition)
    }

    /// Forgets an instance that is superseded, if nobody holds its supervisor any more.
    pub(super) fn forget(&mut self, key: Digest, inbox: &UnboundedReceiver<Message>) -> bool {
        // One sender is that of the supervisor here, and others are only made of it.
        let is_alone = inbox.is_empty() && inbox.sender_strong_count() == 1;
        if is_alone && self.supervisors.remove(&key).is_some() {
            for keys in self.keys.values_mut() {
                keys.remove(&key);
            }
            return true;
        }
        false
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

    pub(super) async fn acquire(&self, origin: Origin) -> Result<Lease> {
        self.ask(|answer| Message::Acquire(origin, answer)).await?
    }

    pub(super) fn pin(&self) -> Pin {
        self.tell(Need::Pin);
        Pin(self.messages.clone())
    }

    pub(super) fn tell(&self, need: Need) {
        let _ = self.messages.send(Message::Need(need));
    }

    pub(super) async fn start(&self, origin: Origin) -> Result<()> {
        let service = origin.service.clone();
        let start = async {
            self.ask(|answer| Message::Hold(origin.clone(), answer)).await??;
            // The service is known to run: this only checks this definition's own ports and checks.
            self.acquire(origin).await?.running().ensure_ready(&service).await
        };
        start.await.map_err(|error| error.of_service(&self.service.hostname, service.locations.all()))
    }

    pub(super) async fn stop(&self) -> Result<()> {
        self.ask(Message::Stop).await
    }

    /// Stops a service that runs, and keeps what it leaves.
    pub(super) async fn stop_and_keep(&self, key: Digest, made_of: Vec<MadeOf>) -> Result<Snapshot> {
        self.ask(|done| Message::Keep(Keep { key, made_of, done })).await?
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
        let _ = self.0.send(Message::Need(Need::Unpin));
    }
}
