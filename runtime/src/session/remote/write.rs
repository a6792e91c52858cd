//! Results that are written for other machines.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::progress::{Fetching, TELL_EVERY};
use super::{Inner, Offer, Remote, Target};
use crate::engine::{Call, Engine, Facts, LayerSink, LayerSource as _, Layers, Packed, RemoteCache, Trouble};
use crate::event::{EventKind, Outcome, Span, Subject, Verb};
use crate::lock::lock;
use crate::{Error, Result};

/// What became of an offer.
enum Written {
    /// It is there.
    Done,
    /// It is better written at the end: its files may still be kept, or cost less then.
    Later,
}

/// Why an offer was not written.
enum Failed {
    /// Because of the result: others may be.
    This(Error),
    /// Because of the place.
    All(Error),
}

/// A cache that layers are put into.
struct Sink<'a> {
    to: &'a Target,
    /// Whether what seems to be there is written again.
    is_anew: bool,
    failure: Mutex<Option<Error>>,
}

impl Sink<'_> {
    /// The error if it was the cache that failed.
    fn blame(&self, error: Error) -> Failed {
        match lock(&self.failure).take() {
            Some(error) => Failed::All(error),
            None => Failed::This(error),
        }
    }

    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| *lock(&self.failure) = Some(error.clone()))
    }
}

impl LayerSink for Sink<'_> {
    fn has<'a>(&'a self, layer: &'a Packed) -> Call<'a, bool> {
        Box::pin(
            async move { if self.is_anew { Ok(false) } else { self.noted(self.to.cache.has(layer).await) } },
        )
    }

    fn put<'a>(&'a self, layer: &'a Packed, archive: File) -> Call<'a, ()> {
        Box::pin(async move {
            self.to.total.fetch_add(layer.size, Ordering::Relaxed);
            let put = self.to.cache.put(layer, archive).await;
            self.to.done.fetch_add(layer.size, Ordering::Relaxed);
            self.noted(put)
        })
    }
}

impl Inner {
    /// Writes a result, unless its files may still be kept and this is not the end.
    pub(super) async fn write_offer(&self, engine: &dyn Engine, offer: Offer, is_end: bool) {
        let Some(to) = &self.remote().to else { return };
        let Ok(_slot) = to.slots.acquire().await else { return };
        let is_last = lock(&to.offered).get(&offer.key).is_some_and(|last| Arc::ptr_eq(last, &offer.result));
        if !is_last || lock(&to.failed).is_some() {
            return;
        }
        match self.write(to, engine, &offer, is_end).await {
            Ok(Written::Done) => {}
            Ok(Written::Later) => lock(&to.left).push(offer),
            Err(Failed::All(error)) => drop(lock(&to.failed).get_or_insert(error)),
            Err(Failed::This(error)) => {
                let (name, place) = (&offer.name, to.cache.place());
                self.span.emit(|| {
                    EventKind::warning(format!("a result of `{name}` was not written to {place}: {error}"))
                });
            }
        }
    }

    async fn write(
        &self,
        to: &Target,
        engine: &dyn Engine,
        offer: &Offer,
        is_end: bool,
    ) -> std::result::Result<Written, Failed> {
        let Offer { key, result, image, .. } = offer;
        let Ok(files) = result.stored().await else { return Ok(Written::Done) };
        let kept = files.kept().await.map_err(Failed::This)?;
        let taken = self.remote().taken(offer);
        if !is_end && (engine.sends_at_the_end() || kept.is_none() && taken.is_none()) {
            return Ok(Written::Later);
        }
        let is_anew = self.remote().is_damaged(to, offer);
        let there = match to.cache.find(key).await {
            Ok(there) => there.filter(|_| !is_anew),
            Err(Trouble::Damaged(_)) => None,
            Err(Trouble::Unreadable(error)) => return Err(Failed::All(error)),
        };
        if let Some(there) = there {
            let is_same = there.facts.from.run == result.from.run;
            let has_files = there.facts.files.is_some();
            if has_files && is_same || kept.is_none() && taken.is_none() {
                return Ok(Written::Done);
            }
        }
        let sink = Sink { to, is_anew, failure: Mutex::default() };
        let layers = match (kept, taken) {
            (Some(snapshot), _) => Some(engine.send(&snapshot, image.as_ref(), &sink).await),
            (None, Some((from, layers))) => Some(copy(from, layers, &sink).await),
            (None, None) => None,
        };
        let layers = layers.transpose().map_err(|error| sink.blame(error))?;
        let facts = Facts::new(*key, result.from.clone(), result.output.exit_code, layers);
        to.cache.write(facts, &result.output, is_anew).await.map_err(Failed::All)?;
        Ok(Written::Done)
    }
}

/// Copies layers that are not here from one cache to another.
async fn copy(from: &RemoteCache, layers: Layers, to: &Sink<'_>) -> Result<Layers> {
    let from = Fetching::new(from);
    for layer in &layers.own {
        if !to.has(layer).await? {
            to.put(layer, from.get(layer).await?).await?;
        }
    }
    Ok(layers)
}

impl Target {
    /// Waits for work, and tells how far it is if that takes a while.
    async fn told(&self, session: &Span, work: impl Future<Output = ()>) {
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.tick().await;
        let (mut span, mut before) = (None, None);
        loop {
            tokio::select! {
                () = &mut work => break,
                _ = ticks.tick() => {
                    let name = || Subject::RemoteCache { name: self.cache.place().to_string().into() };
                    let span = span.get_or_insert_with(|| session.child(name()));
                    let now = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
                    if before.replace(now) != Some(now) {
                        let (done, total) = now;
                        span.emit(|| EventKind::transfer(Verb::Storing, done, (total > 0).then_some(total)));
                    }
                }
            }
        }
        // What has failed is a warning, of which nothing but this ends.
        let has_failed = lock(&self.failed).is_some();
        if let Some(span) = span {
            span.close(|| if has_failed { Outcome::Cancelled } else { Outcome::Succeeded });
        }
    }
}

impl Remote {
    /// Where the files of a result are to be had, if they were taken from another cache.
    fn taken(&self, offer: &Offer) -> Option<(&RemoteCache, Layers)> {
        self.from.iter().find_map(|source| {
            let taken = lock(&source.taken);
            let entry =
                taken.get(&offer.key).filter(|entry| entry.facts.from.run == offer.result.from.run)?;
            Some((&*source.cache, entry.facts.files.clone()?))
        })
    }

    /// Whether a result in a place was found damaged when it was to be taken from there.
    fn is_damaged(&self, to: &Target, offer: &Offer) -> bool {
        let mut same = self.from.iter().filter(|source| source.cache.place() == to.cache.place());
        same.any(|source| lock(&source.damaged).contains(&offer.key))
    }

    /// Writes what is left, and says if anything could not be written. Nothing is offered any more.
    pub(in crate::session) async fn finish(&self, session: &Inner, engine: Option<&dyn Engine>) {
        let Some(to) = &self.to else { return };
        let mut writing = std::mem::take(&mut *lock(&to.writing));
        let rest = async {
            while writing.join_next().await.is_some() {}
            let left = std::mem::take(&mut *lock(&to.left));
            if let Some(engine) = engine {
                let mut left = left.into_iter().rev();
                // Alone, as it may have the layers of all others.
                if let Some(last) = left.next() {
                    session.write_offer(engine, last, true).await;
                }
                let write = left.map(|offer| session.write_offer(engine, offer, true));
                futures_util::future::join_all(write).await;
            }
        };
        to.told(&session.span, rest).await;
        if let Some(error) = lock(&to.failed).take() {
            let place = to.cache.place();
            session
                .span
                .emit(|| EventKind::warning(format!("results could not be written to {place}: {error}")));
        }
    }

    /// Writes nothing more.
    pub(in crate::session) fn stop(&self) {
        if let Some(to) = &self.to {
            lock(&to.writing).abort_all();
            lock(&to.left).clear();
        }
    }
}
