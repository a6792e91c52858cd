//! Sessions as programs make them, with a log for people; and who else is told what happens in them.

use crate::event::{self, Observer, ObserverHandle};
use crate::session::{Session, not_started};
use crate::{Result, report};

impl Session {
    /// A new session. It connects to an engine when something has to run.
    #[must_use]
    pub fn new() -> Self {
        Self::observed_by(report::from_environment())
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets somebody observe what happens in all sessions of the process, from now on: see [`event`].
/// [`Session::observe`] is for one of them.
///
/// # Errors
/// [`Error::Engine`](crate::Error::Engine) when the observer's thread cannot be started.
pub fn observe(observer: impl Observer) -> Result<ObserverHandle> {
    event::observe(observer).map_err(not_started)
}
