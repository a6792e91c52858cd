//! The current session of a value, and the runtime that sessions work on.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, Weak};

use tokio::runtime::{self, Handle, Runtime};
use tokio::task::JoinHandle;

use super::{Inner, Session};
use crate::lock::lock;
use crate::{Error, Result};

tokio::task_local! {
    static SCOPED: Session;
}

/// Sessions by the user's runtime that they are bound to: a task spawned there finds its session.
static BY_RUNTIME: LazyLock<Mutex<HashMap<runtime::Id, Session>>> = LazyLock::new(Mutex::default);

/// Every session of the process, for signal handling.
static ALL: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

/// The session of everything that is awaited outside any other session. It has a log, like those that programs make.
static DEFAULT: LazyLock<Session> = LazyLock::new(Session::new);

pub(super) fn session() -> Session {
    if let Ok(session) = SCOPED.try_with(Clone::clone) {
        return session;
    }
    let of_runtime = Handle::try_current().ok().and_then(|handle| by_runtime().get(&handle.id()).cloned());
    of_runtime.unwrap_or_else(|| DEFAULT.clone())
}

pub(super) async fn scope<F: Future>(session: Session, future: F) -> F::Output {
    SCOPED.scope(session, future).await
}

/// Makes a session the current one for everything awaited on a runtime, until the guard is dropped.
pub(crate) fn bind(handle: &Handle, session: &Session) -> Bound {
    by_runtime().insert(handle.id(), session.clone());
    Bound(handle.id())
}

/// See [`bind`].
pub(crate) struct Bound(runtime::Id);

impl Drop for Bound {
    fn drop(&mut self) {
        by_runtime().remove(&self.0);
    }
}

pub(super) fn register(session: &Session) {
    let mut all = lock(&ALL);
    all.retain(|session| session.strong_count() > 0);
    all.push(std::sync::Arc::downgrade(&session.inner));
}

/// All sessions that still exist.
pub(super) fn all() -> Vec<Session> {
    let all = lock(&ALL);
    all.iter().filter_map(Weak::upgrade).map(|inner| Session { inner }).collect()
}

fn by_runtime() -> MutexGuard<'static, HashMap<runtime::Id, Session>> {
    lock(&BY_RUNTIME)
}

/// The runtime of all sessions: its threads live as long as the process, and users' code cannot block them.
pub(super) fn handle() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("bowline")
            .enable_all()
            .build()
            .map_err(|error| Error::engine("start the session's threads", error))
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(error.clone()),
    }
}

/// Runs a future on the sessions' runtime, wherever the caller is; dropping the result cancels it.
pub(super) async fn run<T: Send + 'static>(
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    Task(handle()?.spawn(future)).join().await
}

/// A spawned task that is aborted when its handle is dropped.
pub(super) struct Task<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Task<T> {
    /// Spawns on the current runtime, which is the sessions' own.
    pub(super) fn spawn(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    pub(super) async fn join(mut self) -> Result<T> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) if error.is_cancelled() => {
                Err(Error::Cancelled { what: "work".to_owned(), reason: "the program is ending".to_owned() })
            }
            Err(error) => Err(Error::internal(error)),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
