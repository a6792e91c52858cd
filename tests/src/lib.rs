//! What the conformance suite stands on: real services, and looking at the engine from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

mod docker;
mod inspector;
pub mod kills;
mod look;
mod native;
#[cfg(target_os = "linux")]
mod pty;
pub mod receiver;
mod servers;
mod skips;
mod tmux;

pub use docker::{docker, images_of};
pub use inspector::Inspector;
pub use look::{address, containers, created_since, has, inspector, is_running, remains, running, touch};
#[cfg(target_os = "linux")]
pub use pty::Pty;
pub use servers::{
    age, busybox, client, database, datagrams, echo, fetch, late, python_service, redis_says, relay, server,
    shared_redis, stopping,
};
pub use skips::{has_program, has_time, may_limit, may_mount, on_docker, on_native};
pub use tmux::Tmux;

/// A text that no other test, run or machine has: a definition that holds it is not in any cache.
#[must_use]
pub fn nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{time:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The engine's own platform, as `os/architecture`.
#[must_use]
pub fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

/// Waits until something is so, looking often; the time it took.
///
/// # Panics
/// When it is not so in time.
pub fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}
