//! Those who wait for a service to start.

use tokio::sync::oneshot;

use super::running::Lease;
use crate::{Error, Result};

/// Those who wait for a start.
#[derive(Default)]
pub(super) struct Waiters {
    /// Requests for a lease.
    pub(super) acquire: Vec<oneshot::Sender<Result<Lease>>>,
    /// Requests to keep the service running.
    pub(super) hold: Vec<oneshot::Sender<Result<()>>>,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.acquire.is_empty() && self.hold.is_empty()
    }

    pub(super) fn fail(self, error: &Error) {
        self.acquire.into_iter().for_each(|waiter| drop(waiter.send(Err(error.clone()))));
        self.hold.into_iter().for_each(|waiter| drop(waiter.send(Err(error.clone()))));
    }

    /// Adds the others to these.
    pub(super) fn join(&mut self, others: Self) {
        self.acquire.extend(others.acquire);
        self.hold.extend(others.hold);
    }
}
