//! Looking at the engine under test.

use std::sync::LazyLock;
use std::time::SystemTime;

use bowline::{Service, Session};

use crate::docker::Docker;
use crate::inspector::Inspector;
use crate::native::Native;

/// The engine under test, as `BOWLINE_ENGINE` says.
#[must_use]
pub fn inspector() -> &'static dyn Inspector {
    static CHOSEN: LazyLock<&'static dyn Inspector> =
        LazyLock::new(|| match std::env::var("BOWLINE_ENGINE").as_deref() {
            Ok("native") => &Native,
            _ => &Docker,
        });
    *CHOSEN
}

/// The names of a session's containers: [`Inspector::containers`].
#[must_use]
pub fn containers(session: &Session) -> Vec<String> {
    inspector().containers(&session.id())
}

/// How many of a session's containers have a running process.
#[must_use]
pub fn running(session: &Session) -> usize {
    inspector().running(&session.id()).len()
}

/// All that is left of a session in the engine.
#[must_use]
pub fn remains(session: &str) -> Vec<String> {
    inspector().remains(session)
}

/// Whether a service has a running process in a session.
#[must_use]
pub fn is_running(session: &Session, service: &Service) -> bool {
    inspector().running(&session.id()).iter().any(|name| name.ends_with(&service.hostname()))
}

/// The address of a session's running service.
///
/// # Panics
/// When it is not running.
#[must_use]
pub fn address(session: &Session, service: &Service) -> String {
    inspector().address(&session.id(), &service.hostname()).expect("it runs")
}

/// Makes an empty file in a running service's file system.
///
/// # Panics
/// When it is not running.
pub fn touch(session: &Session, hostname: &str, path: &str) {
    inspector().touch(&session.id(), hostname, path);
}

/// Whether a running service has something at a path.
#[must_use]
pub fn has(session: &Session, hostname: &str, path: &str) -> bool {
    inspector().has(&session.id(), hostname, path)
}

/// How many containers a session has created since a time, where somebody counts them.
#[must_use]
pub fn created_since(session: &Session, since: SystemTime) -> Option<usize> {
    inspector().created_since(&session.id(), since)
}
