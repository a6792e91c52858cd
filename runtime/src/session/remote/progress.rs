//! Layers on their way here, and how far they are.

use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::{Call, LayerSource, Packed, RemoteCache, Trouble};
use crate::event::{EventKind, Span, Verb};
use crate::lock::lock;

/// The shortest interval between two progress events.
pub(super) const TELL_EVERY: Duration = Duration::from_millis(200);

/// A cache that layers are fetched from.
pub(super) struct Fetching<'a> {
    cache: &'a RemoteCache,
    /// The bytes that have arrived.
    done: AtomicU64,
    /// Why a layer could not be fetched.
    trouble: Mutex<Option<Trouble>>,
}

impl<'a> Fetching<'a> {
    pub(super) fn new(cache: &'a RemoteCache) -> Self {
        Self { cache, done: AtomicU64::new(0), trouble: Mutex::default() }
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        lock(&self.trouble).clone()
    }

    /// Waits for work that fetches so many bytes at most, and tells how far it is.
    pub(super) async fn told<T>(&self, span: &Span, total: u64, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.tick().await;
        let mut before = None;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => {
                    let done = self.done.load(Ordering::Relaxed).min(total);
                    if before.replace(done) == Some(done) {
                        continue;
                    }
                    span.emit(|| EventKind::transfer(Verb::Pulling, done, (total > 0).then_some(total)));
                }
            }
        }
    }
}

impl LayerSource for Fetching<'_> {
    fn get<'a>(&'a self, layer: &'a Packed) -> Call<'a, File> {
        Box::pin(async move {
            match self.cache.layer(layer, &self.done).await {
                Ok(archive) => Ok(archive),
                Err(trouble) => {
                    *lock(&self.trouble) = Some(trouble.clone());
                    Err(trouble.into())
                }
            }
        })
    }
}
