//! SIGINT and SIGTERM end all sessions cleanly, and then the process by the same signal; a second one ends it at once.
//!
//! This applies only where bowline owns `main` or a test. Elsewhere the process dies as usual, and the watchdog stops
//! what it leaves.

use std::sync::Once;

use tokio::sync::watch;

use super::current;

static WATCHING: Once = Once::new();
static RECEIVED: std::sync::LazyLock<watch::Sender<bool>> =
    std::sync::LazyLock::new(|| watch::channel(false).0);

/// Starts to watch for signals, once per process.
#[cfg(unix)]
pub(crate) fn watch() {
    use tokio::signal::unix::SignalKind;

    WATCHING.call_once(|| {
        let Ok(handle) = current::handle() else { return };
        let _guard = handle.enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            // If the handler cannot be installed, the signal ends the process as it would without bowline.
            if let Ok(mut signals) = tokio::signal::unix::signal(kind) {
                handle.spawn(async move {
                    signals.recv().await;
                    RECEIVED.send_replace(true);
                    let closing = async {
                        let sessions = current::all();
                        futures_util::future::join_all(sessions.iter().map(super::Session::stop)).await;
                    };
                    tokio::select! {
                        () = closing => {}
                        _ = signals.recv() => {}
                    }
                    die_of(kind);
                });
            }
        }
    });
}

#[cfg(not(unix))]
pub(crate) fn watch() {
    WATCHING.call_once(|| {});
}

/// Returns at once if no signal has come, and otherwise never, as the signal is about to end the process.
pub(crate) async fn settled() {
    if *RECEIVED.borrow() {
        std::future::pending::<()>().await;
    }
}

/// Ends the process by the signal itself, so that its parent sees the reason.
#[cfg(unix)]
#[allow(unsafe_code)]
fn die_of(kind: tokio::signal::unix::SignalKind) {
    crate::terminal::undo::all();
    // SAFETY: both calls only change and use this process's own signal disposition.
    unsafe {
        libc::signal(kind.as_raw_value(), libc::SIG_DFL);
        libc::raise(kind.as_raw_value());
    }
}
