//! The runtime side of `#[bowline::main]` and `#[bowline::test]`: a runtime, a session, and its end.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::runtime::{Builder, Runtime};

use crate::session::{Session, current, signals};

/// Runs a program's future in a session, which is closed whether the future succeeds, fails or panics.
pub fn main<R>(future: impl Future<Output = R>) -> R {
    in_session(Builder::new_multi_thread(), future)
}

/// Runs one test, in a session of its own.
pub fn test<R>(_name: &str, future: impl Future<Output = R>) -> R {
    in_session(Builder::new_current_thread(), future)
}

fn in_session<R>(mut builder: Builder, future: impl Future<Output = R>) -> R {
    let runtime = start(&mut builder);
    let session = Session::new();
    let _bound = current::bind(runtime.handle(), &session);
    signals::watch();
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)));
    if let Err(error) = runtime.block_on(session.detach()) {
        // The program's own result matters more; the watchdog and the next session clean up what is left.
        eprintln!("bowline: the session did not close cleanly: {error}");
    }
    // If a signal came in the meantime, the signal ends the process and not this function's return.
    runtime.block_on(signals::settled());
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

fn start(builder: &mut Builder) -> Runtime {
    match builder.enable_all().build() {
        Ok(runtime) => runtime,
        // Panics as tokio's own `main` does: nothing works without threads or file descriptors.
        Err(error) => {
            eprintln!("bowline: cannot start the runtime: {error}");
            std::process::exit(1)
        }
    }
}
