//! How the events of a session are shown to people. Nothing here knows a session.

mod log;

use std::sync::Arc;

use crate::event::Observer;

/// The observer that shows events to people, unless the environment silences it.
pub(crate) fn from_environment() -> Option<Arc<dyn Observer>> {
    log::Log::from_environment().map(|log| Arc::new(log) as _)
}
