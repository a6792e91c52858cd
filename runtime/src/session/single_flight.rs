//! Run-once: equal work is done once a session, for everyone who asks.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::current::Task;
use crate::Result;
use crate::lock::lock;

type Running<V> = BoxFuture<'static, Result<V>>;

/// Work by key. Whoever asks for a key while its work runs joins that work; when the last waiter gives up, the work is
/// cancelled. Successes are remembered; after a failure the next caller tries again.
pub(super) struct SingleFlight<K, V> {
    state: Arc<Mutex<State<K, V>>>,
}

struct State<K, V> {
    /// Results of work that succeeded.
    done: HashMap<K, V>,
    /// Running work. Each has a number, so that work which ends late does not remove its successor.
    running: HashMap<K, (u64, WeakShared<Running<V>>)>,
    /// The number of the last work started.
    started: u64,
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(State { done: HashMap::new(), running: HashMap::new(), started: 0 })),
        }
    }
}

enum Joined<V: Clone> {
    Done(V),
    Running(Shared<Running<V>>),
}

impl<V: Clone> Joined<V> {
    async fn result(self) -> Result<V> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Running(running) => running.await,
        }
    }
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The result for this key. Runs `work` unless that is done or running; otherwise drops `work` unused.
    pub(super) async fn get_or_run(
        &self,
        key: K,
        work: impl Future<Output = Result<V>> + Send + 'static,
    ) -> Result<V> {
        self.join(key, |_| false, work).result().await
    }

    /// The same, where some results do not do: `work` then makes another one, which takes its place.
    pub(super) async fn get_or_run_unless(
        &self,
        key: K,
        will_not_do: impl Fn(&V) -> bool,
        work: impl Future<Output = Result<V>> + Send + 'static,
    ) -> Result<V> {
        self.join(key, will_not_do, work).result().await
    }

    /// The result for this key, if there is one.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        lock(&self.state).done.get(key).cloned()
    }

    /// Looks at all results.
    pub(super) fn with_all(&self, mut look: impl FnMut(&K, &V)) {
        lock(&self.state).done.iter().for_each(|(key, value)| look(key, value));
    }

    /// Forgets results.
    pub(super) fn retain(&self, keep: impl Fn(&K, &V) -> bool) {
        lock(&self.state).done.retain(|key, value| keep(key, value));
    }

    fn join(
        &self,
        key: K,
        will_not_do: impl Fn(&V) -> bool,
        work: impl Future<Output = Result<V>> + Send + 'static,
    ) -> Joined<V> {
        // The work is a task of its own, so that it continues while its waiters do something else, and so that long
        // chains of work waiting for work do not become deep stacks.
        let mut state = lock(&self.state);
        if let Some(value) = state.done.get(&key).filter(|value| !will_not_do(value)) {
            return Joined::Done(value.clone());
        }
        if let Some(running) = state.running.get(&key).and_then(|(_, running)| running.upgrade()) {
            return Joined::Running(running);
        }
        state.started += 1;
        let number = state.started;
        let (shared_state, done_key) = (self.state.clone(), key.clone());
        let running = async move {
            Task::spawn(async move {
                let result = work.await;
                let mut state = lock(&shared_state);
                if state.running.get(&done_key).is_some_and(|(running, _)| *running == number) {
                    state.running.remove(&done_key);
                }
                if let Ok(value) = &result {
                    state.done.insert(done_key, value.clone());
                }
                result
            })
            .join()
            .await
        }
        .boxed()
        .shared();
        if let Some(weak) = running.downgrade() {
            state.running.insert(key, (number, weak));
        }
        Joined::Running(running)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Notify, oneshot};

    use super::*;
    use crate::Error;

    #[tokio::test]
    async fn equal_work_runs_once() {
        let once = SingleFlight::<u8, usize>::default();
        let runs = Arc::new(AtomicUsize::new(0));
        let work = || {
            let runs = runs.clone();
            async move {
                tokio::task::yield_now().await;
                Ok(runs.fetch_add(1, Ordering::SeqCst))
            }
        };
        let all = futures_util::future::join_all((0..10).map(|_| once.get_or_run(1, work()))).await;
        assert!(all.iter().all(|result| matches!(result, Ok(0))));
        assert!(matches!(once.get_or_run(1, work()).await, Ok(0)), "remembered");
        assert!(matches!(once.get_or_run(2, work()).await, Ok(1)), "another key runs again");
    }

    #[tokio::test]
    async fn failures_reach_all_and_are_tried_again() {
        let once = SingleFlight::<u8, usize>::default();
        let runs = Arc::new(AtomicUsize::new(0));
        let work = || {
            let runs = runs.clone();
            async move {
                tokio::task::yield_now().await;
                match runs.fetch_add(1, Ordering::SeqCst) {
                    0 => Err(Error::engine("work", "failed")),
                    run => Ok(run),
                }
            }
        };
        let (a, b) = tokio::join!(once.get_or_run(1, work()), once.get_or_run(1, work()));
        assert!(a.is_err() && b.is_err());
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(matches!(once.get_or_run(1, work()).await, Ok(1)));
    }

    #[tokio::test]
    async fn the_last_to_give_up_ends_the_work() {
        let once = Arc::new(SingleFlight::<u8, ()>::default());
        let (started, ended) = (Arc::new(Notify::new()), oneshot::channel::<()>());
        let (end_on_drop, ended) = ended;
        let begun = started.clone();
        let work = async move {
            let _held = end_on_drop;
            begun.notify_one();
            std::future::pending().await
        };
        let first = tokio::spawn({
            let once = once.clone();
            async move { once.get_or_run(1, work).await }
        });
        started.notified().await;
        let mut second = Box::pin(once.get_or_run(1, async { Ok(()) }));
        assert!(futures_util::poll!(&mut second).is_pending(), "joined the running work");
        first.abort();
        let _ = first.await;
        assert!(futures_util::poll!(&mut second).is_pending(), "one caller left, so it goes on");
        drop(second);
        assert!(ended.await.is_err(), "the work was dropped");
    }
}
