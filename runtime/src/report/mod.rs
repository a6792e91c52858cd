//! How the events of a session are shown to people. Nothing here knows a session.

mod held;
mod log;
mod test;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use self::test::TestReport;
use crate::event::Observer;

pub(crate) use self::held::pause;
/// Whether this process runs tests: a test runner shows what they print, and nothing else is to be shown.
static TESTS: AtomicBool = AtomicBool::new(false);

/// From here on this process runs tests.
pub(crate) fn begin_tests() {
    TESTS.store(true, Ordering::Relaxed);
}

/// The observer that shows events to people, unless the environment silences it.
pub(crate) fn from_environment() -> Option<Arc<dyn Observer>> {
    let is_test = TESTS.load(Ordering::Relaxed);
    log::Log::from_environment(is_test).map(|log| Arc::new(log) as _)
}

/// What a failed test prints of its services; `None` if the environment asks for everything as it happens, or for nothing.
pub(crate) fn of_test() -> Option<Arc<TestReport>> {
    log::is_unset().then(Arc::default)
}
