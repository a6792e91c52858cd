//! Steps that share a service and depend on each other are one unit: what one did to the service, the next one sees.
//!
//! While a step waits to run it pins its services, so that they are not stopped between the steps before it and
//! itself. And before it runs, the steps before it whose effects its services have not seen are run again: see
//! `Request::replay_missing`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;

use super::running::Running;
use super::service::Lease;
use crate::Error;
use crate::graph::{Binding, Digest, Reach, Step, closure};

/// How long the engine may take to say that a service ended, once a client failed.
const EXIT_NOTICE: Duration = Duration::from_millis(150);

/// The services that one step or service uses, each ready and kept from stopping.
pub(super) struct Leases {
    direct: Vec<(Binding, Lease)>,
}

impl Leases {
    pub(super) fn new(direct: Vec<(Binding, Lease)>) -> Self {
        Self { direct }
    }

    /// Waits until one of the services ends, and says so; never, when there is none.
    pub(super) async fn broken(&self) -> Error {
        if self.direct.is_empty() {
            return std::future::pending().await;
        }
        let broken = self.direct.iter().map(|(binding, lease)| {
            Box::pin(
                async move { lease.running().broken().await.aliased(&binding.service, &binding.aliases) },
            )
        });
        select_all(broken).await.0
    }

    /// The end of a service that may have caused a failure seen just now.
    pub(super) async fn broken_just_now(&self) -> Option<Error> {
        if self.direct.is_empty() {
            return None;
        }
        tokio::time::timeout(EXIT_NOTICE, self.broken()).await.ok()
    }

    /// Notes that a step has run against all of these services, and those they use.
    pub(super) fn mark(&self, key: Digest) {
        self.instances().values().for_each(|running| running.saw(key));
    }

    /// The instances that a step uses too.
    pub(super) fn shared_with(&self, step: &Step) -> Vec<Arc<Running>> {
        let theirs = closure(&step.bindings);
        self.instances()
            .into_iter()
            .filter(|(digest, _)| theirs.contains_key(digest))
            .map(|(_, running)| running)
            .collect()
    }

    /// All instances in use, those that services use among themselves included.
    fn instances(&self) -> BTreeMap<Digest, Arc<Running>> {
        let mut found = BTreeMap::new();
        let mut open: Vec<Arc<Running>> = self.running().collect();
        while let Some(running) = open.pop() {
            open.extend(running.dependencies.running());
            found.insert(running.service.digest, running);
        }
        found
    }

    fn running(&self) -> impl Iterator<Item = Arc<Running>> {
        self.direct.iter().map(|(_, lease)| lease.running().clone())
    }
}

/// The steps that must have run before this one against a service they share with it, earliest first.
pub(super) fn ancestors(step: &Arc<Step>) -> Vec<Arc<Step>> {
    let mine = closure(&step.bindings);
    let shares = |other: &Step| closure(&other.bindings).keys().any(|digest| mine.contains_key(digest));
    let before = Reach::of_step(step).steps;
    before.into_iter().filter(|other| other.digest != step.digest && shares(other)).collect()
}
