//! The runtime side of `#[bowline::main]` and `#[bowline::test]`: a runtime, a session, and its end.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::report::{self, TestReport};
use crate::session::{Session, current, signals};

/// Runs a program's future in a session, which is closed whether the future succeeds, fails or panics.
pub fn main<R>(future: impl Future<Output = R>) -> R {
    main_in(&Session::new(), future)
}

/// The same in a session that somebody has made.
pub(crate) fn main_in<R>(session: &Session, future: impl Future<Output = R>) -> R {
    let runtime = start(&mut Builder::new_multi_thread());
    #[cfg(unix)]
    runtime.spawn(tell_on_signal());
    let result = in_session(&runtime, session, future);
    close(&runtime, session);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// SIGUSR1 asks what goes on at the moment.
#[cfg(unix)]
async fn tell_on_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    // Without the handler the signal ends the process, as it would without bowline.
    if let Ok(mut asked) = signal(SignalKind::user_defined1()) {
        while asked.recv().await.is_some() {
            report::tell_all();
        }
    }
}

/// Which session a test runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestSession {
    /// One of its own.
    Own,
    /// That of all tests of the process that share one.
    Shared,
}

/// Whether a test's result is a failure. This is for results that are a `Result`.
pub trait ResultOutcome {
    /// Whether it is.
    fn has_failed(&self) -> bool;
}

impl<T, E> ResultOutcome for Result<T, E> {
    fn has_failed(&self) -> bool {
        self.is_err()
    }
}

/// As [`ResultOutcome`], for all other results: only a panic is a failure. It is for a reference to the result, so that
/// the other trait is found first.
pub trait OtherOutcome {
    /// Whether it is.
    fn has_failed(&self) -> bool {
        false
    }
}

impl<T> OtherOutcome for &T {}

/// Runs one test. If it fails, the last lines of its services are printed.
pub fn test<R>(
    session: TestSession,
    future: impl Future<Output = R>,
    has_failed: impl FnOnce(&R) -> bool,
) -> R {
    report::begin_tests();
    let runtime = start(&mut Builder::new_current_thread());
    let own = (session == TestSession::Own).then(open);
    let (session, report) = own.as_ref().unwrap_or_else(|| shared());
    let began = report.as_deref().map_or(0, TestReport::now);
    let result = in_session(&runtime, session, future);
    if result.as_ref().map_or(true, has_failed)
        && let Some(report) = report
    {
        // By this thread, and not to standard error itself: test runners show what is printed with the test it is from.
        print!("{}", report.since(began));
    }
    if own.is_some() {
        close(&runtime, session);
    }
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A session of tests.
type Observed = (Session, Option<std::sync::Arc<TestReport>>);

fn open() -> Observed {
    let report = report::of_test();
    let observer = match report.clone() {
        Some(report) => Ok(Some(report as _)),
        None => report::from_environment(),
    };
    (Session::observed_by(observer), report)
}

/// The session of all tests that share one, closed when the process ends.
fn shared() -> &'static Observed {
    static SHARED: OnceLock<Observed> = OnceLock::new();
    SHARED.get_or_init(|| {
        #[cfg(unix)]
        at_exit();
        open()
    })
}

/// Closes the shared session when the process ends.
#[cfg(unix)]
#[allow(unsafe_code)]
fn at_exit() {
    extern "C" fn close_shared() {
        let (session, _) = shared();
        let close = || close(&start(&mut Builder::new_current_thread()), session);
        // The process ends in any case, and nobody could be told of a panic.
        let _ = catch_unwind(AssertUnwindSafe(close));
    }
    // SAFETY: the function is there as long as the process. Should it not be called, the watchdog removes what is left.
    unsafe { libc::atexit(close_shared) };
}

fn in_session<R>(
    runtime: &Runtime,
    session: &Session,
    future: impl Future<Output = R>,
) -> std::thread::Result<R> {
    let _bound = current::bind(runtime.handle(), session);
    signals::watch();
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)))
}

fn close(runtime: &Runtime, session: &Session) {
    if let Err(error) = runtime.block_on(session.detach()) {
        // The program's own result matters more; the watchdog and the next session clean up what is left.
        report::say(&format!("bowline: the session did not close cleanly: {error}"));
    }
    // If a signal came in the meantime, the signal ends the process and not this function's return.
    runtime.block_on(signals::settled());
}

fn start(builder: &mut Builder) -> Runtime {
    match builder.enable_all().build() {
        Ok(runtime) => runtime,
        // Panics as tokio's own `main` does: nothing works without threads or file descriptors.
        Err(error) => {
            report::say(&format!("bowline: cannot start the runtime: {error}"));
            std::process::exit(1)
        }
    }
}
