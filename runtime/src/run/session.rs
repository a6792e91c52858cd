//! Sessions as programs make them: with a log for people.

use crate::report;
use crate::session::Session;

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
