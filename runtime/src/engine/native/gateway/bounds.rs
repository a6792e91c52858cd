//! Limits on the pipeline's open files that containers use: each of their connections to the world is one or two open
//! files of the pipeline, which needs files for other things. Half of its limit is reserved for it, whatever containers
//! do, and no container gets all of the rest.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;

/// How many may be open at once: for all containers together, and for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Most {
    /// For all containers together.
    pub(super) all: usize,
    /// For one container.
    pub(super) one: usize,
}

impl Most {
    /// Connections, of two files each: a quarter of the limit.
    pub(super) fn connections() -> Self {
        Self::of(files(), 8)
    }

    /// Flows of datagrams: an eighth.
    pub(super) fn flows() -> Self {
        Self::of(files(), 8)
    }

    /// DNS queries: an eighth.
    pub(super) fn questions() -> Self {
        Self::of(files(), 8)
    }

    fn of(files: u64, part: u64) -> Self {
        let all = usize::try_from(files / part).unwrap_or(usize::MAX).clamp(16, 4096);
        Self { all, one: all / 2 }
    }
}

fn files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Warns the user once.
#[derive(Debug, Default)]
pub(super) struct Told(AtomicBool);

impl Told {
    pub(super) fn say(&self, what: &str, most: Most) {
        if !self.0.swap(true, Ordering::Relaxed) {
            let Most { all, one } = most;
            // A closed terminal is no reason to fail.
            let _ = writeln!(
                std::io::stderr().lock(),
                "bowline: containers have as many {what} open as may be, {one} of one or {all} in all: for more, older ones have to end; more may be open where the pipeline may open more files (`ulimit -n`)"
            );
        }
    }
}

/// What is open, by container.
#[derive(Debug)]
pub(super) struct Openings {
    /// What is counted, for the warning.
    what: &'static str,
    most: Most,
    by: Mutex<HashMap<Ipv4Addr, Own>>,
    told: Told,
}

#[derive(Debug, Default)]
struct Own {
    open: usize,
    ended: Arc<Notify>,
}

/// One open connection, flow or query, until it is dropped.
#[derive(Debug)]
pub(super) struct Opening {
    all: Arc<Openings>,
    container: Ipv4Addr,
    ended: Arc<Notify>,
}

impl Openings {
    pub(super) fn new(what: &'static str, most: Most) -> Arc<Self> {
        Arc::new(Self { what, most, by: Mutex::default(), told: Told::default() })
    }

    /// Opens one more, if the limits allow it.
    pub(super) fn open(self: &Arc<Self>, container: Ipv4Addr) -> Option<Opening> {
        let mut by = lock(&self.by);
        let all: usize = by.values().map(|own| own.open).sum();
        let open = by.get(&container).map_or(0, |own| own.open);
        if all >= self.most.all || open >= self.most.one {
            drop(by);
            self.told.say(self.what, self.most);
            return None;
        }
        let own = by.entry(container).or_default();
        own.open += 1;
        Some(Opening { all: Arc::clone(self), container, ended: Arc::clone(&own.ended) })
    }

    /// Notes that a container has ended.
    pub(super) fn end(&self, container: Ipv4Addr) {
        if let Some(own) = lock(&self.by).get(&container) {
            own.ended.notify_waiters();
        }
    }
}

impl Opening {
    /// Returns once the container has ended, if it has not when this is called.
    pub(super) fn ended(&self) -> tokio::sync::futures::Notified<'_> {
        self.ended.notified()
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut by = lock(&self.all.by);
        if let Some(own) = by.get_mut(&self.container) {
            own.open -= 1;
            if own.open == 0 {
                by.remove(&self.container);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_files_are_left_whatever_is_open() {
        for files in [256, 1024, 20_000] {
            let most = |part| u64::try_from(Most::of(files, part).all).unwrap();
            assert!(2 * most(8) + most(8) + most(8) <= files / 2, "{files}");
        }
        assert_eq!(Most::of(1024, 8), Most { all: 128, one: 64 });
        assert_eq!(Most::of(u64::MAX, 8), Most { all: 4096, one: 2048 });
    }

    #[test]
    fn no_container_takes_what_is_left_to_others() {
        let [a, b, c] = [1, 2, 3].map(|last| Ipv4Addr::new(10, 204, 0, last));
        let all = Openings::new("connections", Most { all: 5, one: 3 });
        let mut open: Vec<_> = std::iter::from_fn(|| all.open(a)).collect();
        assert_eq!(open.len(), 3);
        open.extend(std::iter::from_fn(|| all.open(b)));
        assert_eq!((open.len(), all.open(c).is_none()), (5, true));
        drop(open.remove(0));
        assert!(all.open(c).is_some() && all.open(b).is_some() && all.open(a).is_some());
        drop(open);
        assert!(lock(&all.by).is_empty());
    }
}
