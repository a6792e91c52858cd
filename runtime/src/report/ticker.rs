//! A thread that does something again and again.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::lock::lock;

/// Ends when this is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_ended: bool,
    is_awake: bool,
}

impl Ticker {
    /// Calls a function at this interval as long as there is what it is about. It returns whether it wants to be called
    /// again before somebody [wakes](Self::wake) it. Nothing is called if there is no thread for it.
    pub(super) fn start<T: Send + Sync + 'static>(
        interval: Duration,
        about: Weak<T>,
        tick: impl Fn(&T) -> bool + Send + 'static,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("bowline-progress".to_owned());
        let _ = thread.spawn(move || {
            while own.wait(interval) {
                let Some(about) = about.upgrade() else { return };
                if !tick(&about) {
                    lock(&own.state).is_awake = false;
                }
            }
        });
        Self { shared }
    }

    /// Lets it tick again.
    pub(super) fn wake(&self) {
        let state = &mut *lock(&self.shared.state);
        if !std::mem::replace(&mut state.is_awake, true) {
            self.shared.changed.notify_one();
        }
    }
}

impl Shared {
    /// Waits until it is time; `false` if it never will be.
    fn wait(&self, interval: Duration) -> bool {
        let mut state = lock(&self.state);
        while !state.is_awake && !state.is_ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let wait = self.changed.wait_timeout_while(state, interval, |state| !state.is_ended);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        !state.is_ended
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        lock(&self.shared.state).is_ended = true;
        self.shared.changed.notify_one();
    }
}
