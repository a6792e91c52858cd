//! Those who wait for a service to start.

use tokio::sync::oneshot;

use super::running::Lease;
use super::service::Origin;
use crate::{Error, Result};

type ForLease = oneshot::Sender<Result<Lease>>;
type ForReady = oneshot::Sender<Result<()>>;

/// Those who wait for a start.
#[derive(Default)]
pub(super) struct Waiters {
    /// Requests for a lease.
    acquire: Vec<ForLease>,
    /// Requests of definitions to keep the service running.
    hold: Vec<(Origin, ForReady)>,
    /// What the service is to be made of: the newest that was asked for.
    origin: Option<Origin>,
}

impl Waiters {
    pub(super) fn acquire(&mut self, origin: Origin, waiter: ForLease) {
        self.acquire.push(waiter);
        self.made_of(origin);
    }

    pub(super) fn hold(&mut self, origin: Origin, waiter: ForReady) {
        self.hold.push((origin.clone(), waiter));
        self.made_of(origin);
    }

    fn made_of(&mut self, origin: Origin) {
        if self.origin.as_ref().is_none_or(|other| other.reading.number <= origin.reading.number) {
            self.origin = Some(origin);
        }
    }

    pub(super) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Those who wait for a lease, and those who want it kept running.
    pub(super) fn split(self) -> (Vec<ForLease>, Vec<(Origin, ForReady)>) {
        (self.acquire, self.hold)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acquire.is_empty() && self.hold.is_empty()
    }

    pub(super) fn fail(self, error: &Error) {
        self.acquire.into_iter().for_each(|waiter| drop(waiter.send(Err(error.clone()))));
        self.hold.into_iter().for_each(|(_, waiter)| drop(waiter.send(Err(error.clone()))));
    }

    /// Adds the others to these.
    pub(super) fn join(&mut self, others: Self) {
        self.acquire.extend(others.acquire);
        self.hold.extend(others.hold);
        others.origin.into_iter().for_each(|origin| self.made_of(origin));
    }
}
