//! Who waits for a service.

use tokio::sync::oneshot;

use super::running::Lease;
use crate::{Error, Result};

/// Who waits for a start.
#[derive(Default)]
pub(super) struct Waiters {
    /// Those who use it.
    pub(super) acquire: Vec<oneshot::Sender<Result<Lease>>>,
    /// Those who keep it running.
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

    /// With these others.
    pub(super) fn join(&mut self, others: Self) {
        self.acquire.extend(others.acquire);
        self.hold.extend(others.hold);
    }
}
