//! Results on other machines: taken where there are none here, and written for others.
//!
//! Nothing that goes wrong here fails a pipeline: what cannot be taken is made, and what cannot be written is said.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::steps::Evaluation;
use super::stored::{Need, StepResult};
use super::{Inner, Session, age};
use crate::engine::{Arrival, CachePlace, Entry, Image, Kept, RemoteCache, Trouble};
use crate::event::{EventKind, Span, Waiting};
use crate::graph::{Fs, Step};
use crate::lock::lock;
use crate::model::Digest;
use crate::terminal;
use crate::{Error, Result};

mod progress;
mod write;

use self::progress::Fetching;

/// The variables that say where results are taken from and written to.
const FROM: &str = "BOWLINE_CACHE_FROM";
const TO: &str = "BOWLINE_CACHE_TO";

/// How many results are written at once.
const AT_ONCE: usize = 4;

/// Where results are kept elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CachePlaces {
    /// In the order in which they are asked.
    pub(crate) from: Vec<CachePlace>,
    pub(crate) to: Option<CachePlace>,
}

impl CachePlaces {
    /// What the environment says.
    pub(super) fn from_environment() -> Result<Self> {
        let said = |name| std::env::var_os(name).unwrap_or_default().to_string_lossy().into_owned();
        let invalid = |name: &str, why| Error::invalid(None, format!("{name}: {why}"));
        let from = Self::several(&said(FROM)).map_err(|why| invalid(FROM, why))?;
        let to = said(TO);
        let to = match to.trim() {
            "" => None,
            to => Some(place(to).map_err(|why| invalid(TO, why))?),
        };
        Ok(Self { from, to })
    }

    /// Several, separated by commas.
    pub(crate) fn several(text: &str) -> std::result::Result<Vec<CachePlace>, String> {
        text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(place).collect()
    }
}

/// A place that this build can reach.
pub(crate) fn place(text: &str) -> std::result::Result<CachePlace, String> {
    let place = text.parse()?;
    RemoteCache::new(&place).map_err(|error| error.to_string())?;
    Ok(place)
}

/// The caches elsewhere of a session.
#[derive(Default)]
pub(super) struct Remote {
    from: Vec<Source>,
    to: Option<Target>,
}

/// A cache that results are taken from.
struct Source {
    cache: Arc<RemoteCache>,
    /// Set once it cannot be read: then it is asked no more.
    is_given_up: AtomicBool,
    /// Results that were taken from it.
    taken: Mutex<HashMap<Digest, Entry>>,
    /// Results that it should have, and could not be taken.
    damaged: Mutex<HashSet<Digest>>,
}

/// A cache that results are written to.
struct Target {
    cache: Arc<RemoteCache>,
    slots: Semaphore,
    writing: Mutex<JoinSet<()>>,
    /// Results whose files may still be kept: they are written at the end.
    left: Mutex<Vec<Offer>>,
    /// The last result of each key: a step may have run again since.
    offered: Mutex<HashMap<Digest, Arc<StepResult>>>,
    /// Bytes of layers, so far and in total.
    done: AtomicU64,
    total: AtomicU64,
    /// Why nothing more is written.
    failed: Mutex<Option<Error>>,
}

/// A result that this run has used.
#[derive(Clone)]
struct Offer {
    name: Arc<str>,
    key: Digest,
    result: Arc<StepResult>,
    image: Option<Image>,
}

impl Remote {
    pub(super) fn new(places: &CachePlaces) -> Self {
        // Those that this build cannot reach were an error when they were named.
        let open = |place: &CachePlace| RemoteCache::new(place).ok().map(Arc::new);
        let from = places.from.iter().filter_map(open).map(|cache| Source {
            cache,
            is_given_up: AtomicBool::new(false),
            taken: Mutex::default(),
            damaged: Mutex::default(),
        });
        let to = places.to.as_ref().and_then(open).map(|cache| Target {
            cache,
            slots: Semaphore::new(AT_ONCE),
            writing: Mutex::default(),
            left: Mutex::default(),
            offered: Mutex::default(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            failed: Mutex::default(),
        });
        Self { from: from.collect(), to }
    }
}

impl Session {
    /// Takes results of steps from another machine, where there are none here: from `dir:PATH`, a directory, or
    /// `registry:HOST/NAME`, a repository of a registry, which needs the feature `registry`. Several are asked in the order in
    /// which they were named; they replace what `BOWLINE_CACHE_FROM` says.
    ///
    /// A result that is missing there, or damaged, is made as if nobody had it. If the place cannot be read, a warning says so
    /// once. See [the guide](crate::guide::caching).
    ///
    /// ```no_run
    /// # async fn example(tests: bowline::Container) -> bowline::Result<()> {
    /// use bowline::Session;
    /// let session = Session::new();
    /// session.cache_from("registry:ghcr.io/acme/cache")?;
    /// session.scope(tests.sync()).await?;
    /// session.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text names no such place, or if the session has used its caches already.
    pub fn cache_from(&self, place: &str) -> Result<()> {
        self.inner.choose(place, |places, place| places.from.push(place))
    }

    /// Writes the results that this session uses, found or made, for other machines: to `dir:PATH` or `registry:HOST/NAME`, as
    /// for [`cache_from`](Self::cache_from). It replaces what `BOWLINE_CACHE_TO` says. Results are written while others are
    /// made, and [`close`](Self::close) waits for the last of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text names no such place, or if the session has used its caches already.
    pub fn cache_to(&self, place: &str) -> Result<()> {
        self.inner.choose(place, |places, place| places.to = Some(place))
    }
}

impl Inner {
    fn choose(&self, text: &str, add: impl FnOnce(&mut CachePlaces, CachePlace)) -> Result<()> {
        let place = place(text).map_err(|why| Error::invalid(None, why))?;
        if self.remote.get().is_some() {
            let text = terminal::plain(text);
            return Err(Error::invalid(
                None,
                format!(
                    "`{text}` comes too late: the session has looked for results\n\nhelp: name it before"
                ),
            ));
        }
        add(&mut lock(&self.places), place);
        Ok(())
    }

    /// The caches elsewhere. A variable that means nothing is an error before anything asks.
    pub(super) fn remote(&self) -> &Remote {
        self.remote.get_or_init(|| {
            let said = CachePlaces::from_environment().unwrap_or_default();
            let chosen = lock(&self.places).clone();
            let from = if chosen.from.is_empty() { said.from } else { chosen.from };
            Remote::new(&CachePlaces { from, to: chosen.to.or(said.to) })
        })
    }
}

impl Evaluation {
    /// Takes a result from another machine, if one has it and it is whole.
    pub(super) async fn fetch(
        &self,
        span: &Arc<Span>,
        step: &Arc<Step>,
        key: Digest,
        need: Need,
    ) -> Result<Option<Kept>> {
        for source in &self.session.remote().from {
            if source.is_given_up.load(Ordering::Relaxed) {
                continue;
            }
            let entry = match source.cache.find(&key).await {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(trouble) => {
                    source.complain(span, key, trouble);
                    continue;
                }
            };
            if need == Need::Files && entry.facts.files.is_none()
                || age::too_old(step, &entry.facts.from, SystemTime::now()).is_some()
            {
                continue;
            }
            // Another process may run the step, or fetch it too.
            let waiting = || span.emit(|| EventKind::Waiting(Waiting::Process));
            let _claim = self.engine.claim(&key, step.options.timeout, &waiting).await?;
            if let Some(kept) = self.engine.lookup(&key).await?
                && self.is_enough(&kept, need).await?
            {
                return Ok(Some(kept));
            }
            if let Err(trouble) = self.receive(source, span, step, &entry, need).await {
                source.complain(span, key, trouble);
                continue;
            }
            let kept = self.engine.lookup(&key).await?;
            if kept.is_some() {
                lock(&source.taken).insert(key, entry);
                span.emit(|| EventKind::Fetched { from: source.cache.place().to_string().into() });
                return Ok(kept);
            }
        }
        Ok(None)
    }

    async fn receive(
        &self,
        source: &Source,
        span: &Span,
        step: &Step,
        entry: &Entry,
        need: Need,
    ) -> std::result::Result<(), Trouble> {
        let output = source.cache.output(entry).await?;
        let facts = &entry.facts;
        let files = facts.files.clone().filter(|_| need == Need::Files);
        let total = files.iter().flat_map(|files| &files.own).map(|layer| layer.size).sum();
        let arrival = Arrival {
            key: facts.key,
            from: facts.from.clone(),
            output,
            files,
            image: self.ground(step).cloned(),
        };
        let from = Fetching::new(&source.cache);
        let received = from.told(span, total, self.engine.receive(arrival, &from)).await;
        received.map_err(|error| from.trouble().unwrap_or_else(|| Trouble::Damaged(error.to_string())))
    }

    /// The image that a step's file system began with, if it began with one.
    fn ground(&self, step: &Step) -> Option<&Image> {
        let mut base = &step.base;
        loop {
            match base {
                Fs::Step(step) => base = &step.base,
                Fs::Image(name, _) => return self.image(Some(name)),
                Fs::Local(..) | Fs::Held(_) | Fs::Prepared(_) => return None,
            }
        }
    }

    /// Lets a result be written for other machines, if there is a place for it. Those that are there already stay.
    pub(super) fn offer(&self, step: &Step, key: Digest, result: &Arc<StepResult>) {
        let Some(to) = &self.session.remote().to else { return };
        if step.is_volatile {
            return;
        }
        let before = lock(&to.offered).insert(key, result.clone());
        if before.is_some_and(|before| Arc::ptr_eq(&before, result)) {
            return;
        }
        let (name, image) = (step.name.clone(), self.ground(step).cloned());
        let offer = Offer { name: name.as_ref().into(), key, result: result.clone(), image };
        let (session, engine) = (self.session.clone(), self.engine.clone());
        lock(&to.writing).spawn(async move { session.write_offer(&*engine, offer, false).await });
    }
}

impl Source {
    /// Says what is wrong: of a result each time, of the place once.
    fn complain(&self, span: &Span, key: Digest, trouble: Trouble) {
        let place = self.cache.place();
        match trouble {
            Trouble::Damaged(why) => {
                lock(&self.damaged).insert(key);
                span.emit(|| {
                    EventKind::warning(format!(
                        "its result in {place} is damaged, and is made again: {}",
                        terminal::plain(&why)
                    ))
                });
            }
            Trouble::Unreadable(error) => {
                if !self.is_given_up.swap(true, Ordering::Relaxed) {
                    span.emit(|| EventKind::warning(format!("no results are taken from {place}: {error}")));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_places_are_asked_in_order() {
        let places = CachePlaces::several(" dir:a, dir:b ,").unwrap();
        assert_eq!(places.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dir:a", "dir:b"]);
        assert!(CachePlaces::several("dir:a,b").unwrap_err().contains("`b` is no place"));
        assert_eq!(CachePlaces::several("").unwrap(), []);
    }

    #[tokio::test]
    async fn a_place_is_named_before_the_session_looks() {
        let session = Session::observed_by(Ok(None));
        session.cache_from("dir:/a").unwrap();
        assert!(session.cache_to("nowhere").unwrap_err().to_string().contains("`nowhere` is no place"));
        session.inner.remote();
        let late = session.cache_to("dir:/b").unwrap_err().to_string();
        assert!(late.contains("`dir:/b` comes too late") && late.contains("help: "), "{late}");
    }
}
