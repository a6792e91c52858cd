//! Tests that cannot go on where they are run: each says so in words that `tests/run` counts.

use std::io::Write as _;

use crate::look::inspector;
use crate::{docker, native};

/// Whether a test can go on, where nothing is in its way.
fn goes_on(lacking: Option<&str>) -> bool {
    if let Some(why) = lacking {
        // Not captured by the test's harness, so that it can be counted.
        let _ = writeln!(std::io::stderr().lock(), "skipped on {}: {why}", inspector().name());
    }
    lacking.is_none()
}

/// Whether a test can go on that is about Docker alone; says why not where it cannot.
#[must_use]
pub fn on_docker(why_not_on_others: &str) -> bool {
    goes_on((inspector().name() != docker::NAME).then_some(why_not_on_others))
}

/// Whether a test can go on that is about the native engine alone; says why not where it cannot.
#[must_use]
pub fn on_native(why_not_on_others: &str) -> bool {
    goes_on((inspector().name() != native::NAME).then_some(why_not_on_others))
}

/// Whether there is time for a test of ten seconds or more on an engine that starts slowly, whose promise a session keeps in
/// the same way on every engine. `tests/run --long` has it, and sets `BOWLINE_TESTS_LONG`.
#[must_use]
pub fn has_time() -> bool {
    goes_on(inspector().lacks_time())
}

/// Whether this machine has a program, which `tests/run` installs where it can.
#[must_use]
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    let why = format!("this machine has no `{name}`");
    goes_on((!is_there).then_some(why.as_str()))
}

/// Whether containers can be limited.
#[must_use]
pub fn may_limit() -> bool {
    goes_on(inspector().lacks_limits())
}

/// Whether a test can go on that mounts something itself.
#[must_use]
pub fn may_mount() -> bool {
    goes_on((!native::is_root()).then_some("without root nothing can be mounted"))
}
