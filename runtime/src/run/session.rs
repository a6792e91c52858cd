//! Sessions with a log for people, and observers of all sessions.

use crate::event::{self, Observer, ObserverHandle};
use crate::session::{Session, not_started};
use crate::{Result, report};

impl Session {
    /// A new session. It connects to an engine when something first has to run.
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

/// Registers an observer of what happens in all sessions of the process, from now on: see [`event`]. [`Session::observe`]
/// is for a single session.
///
/// # Errors
/// [`Error::Engine`](crate::Error::Engine) when the observer's thread cannot be started.
pub fn observe(observer: impl Observer) -> Result<ObserverHandle> {
    event::observe(observer).map_err(not_started)
}
