//! Runs values: one session is one connection to an engine, with everything it started.
//!
//! Every promise about running is kept here, whatever the engine: run-once and caching of steps (`steps`), the life of
//! services (`supervise`, with `service`, `start`, `running`, `demand`, `turns`, `health` and `log`), replay of steps that
//! share a service (`replay`), reading results (`results`), and the end (`close` below). A session works on a runtime of its
//! own (`current`), so that it neither depends on the user's runtime nor is stopped by it: users' futures only wait, and
//! dropping them cancels what nobody else waits for. No clean-up depends on asynchronous work in `Drop`. What happens is
//! emitted as events of spans (`crate::event`); the session does not know who shows them, or how.

mod age;
mod bindings;
mod caching;
mod chains;
pub(crate) mod current;
mod demand;
mod environment;
mod execute;
#[cfg(feature = "cli")]
mod explain;
mod failed;
mod find;
mod forward;
mod health;
mod hints;
mod holder;
mod host;
mod journal;
mod lines;
mod local;
mod locking;
mod log;
mod logs;
mod missing;
mod order;
mod outputs;
mod pins;
mod prepared;
mod process;
mod publishing;
mod remote;
mod renewal;
mod replay;
mod results;
mod running;
mod save;
mod scrub;
mod service;
mod services;
#[cfg(unix)]
mod shared;
#[cfg(not(unix))]
#[path = "shared/elsewhere.rs"]
mod shared;
mod sharing;
pub(crate) mod signals;
mod single_flight;
mod start;
mod steps;
mod stored;
mod supervise;
mod tail;
mod terminal;
#[cfg(test)]
mod tests;
mod transfer;
#[cfg(unix)]
mod tty;
mod tunnel;
mod turns;
mod waiters;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

pub(crate) use self::caching::Caching;
#[cfg(feature = "cli")]
pub(crate) use self::environment::check_environment;
pub(crate) use self::execute::{InService, address, execute};
#[cfg(feature = "cli")]
pub(crate) use self::explain::{Earlier, Explained, explain};
use self::local::Reading;
pub(crate) use self::local::planned_files;
pub use self::logs::LogReader;
pub(crate) use self::logs::{LogOptions, logs};
pub(crate) use self::outputs::{exit_code, output, save_stream, stream, text};
#[cfg(feature = "cli")]
pub(crate) use self::pins::place as lock_file;
use self::pins::{Meaning, Pins};
pub(crate) use self::publishing::{export_image, publish};
pub(crate) use self::remote::CachePlaces;
#[cfg(feature = "cli")]
pub(crate) use self::remote::place as cache_place;
use self::service::Services;
pub(crate) use self::services::{kill, start, stop};
use self::single_flight::SingleFlight;
use self::stored::StepResult;
pub(crate) use self::terminal::{Opened, container_terminal, service_terminal};
pub(crate) use self::tunnel::{OpenTunnel, TunnelSpec, tunnel};
use self::turns::Turns;
use crate::engine::{Description, Engine, Image};
use crate::event::{DirectObserver, Emitter, EventKind, Observer, ObserverHandle, Outcome, Span, Subject};
use crate::graph::{self, Requirements};
use crate::lock::lock;
use crate::model::{Digest, Entry, ImageName, Location, SessionId, Stat};
use crate::value::{Container, PathIn};
use crate::{Error, Result};

/// One connection to a container engine, with everything that was started over it.
///
/// Programs rarely name it: [`bowline::main`](crate::main) and [`bowline::test`](macro@crate::test) open a session and
/// close it at the end, and anything awaited elsewhere uses one session of the whole process, whose remains are removed
/// when the process ends, however it ends. Two sessions share cached results and cache volumes, but no running service,
/// and cannot reach each other's; except those that ask to be [shared](crate::Service::shared) by processes.
///
/// ```no_run
/// # async fn example(tests: bowline::Container) -> bowline::Result<()> {
/// use bowline::Session;
/// let session = Session::new();
/// session.scope(tests.sync()).await?; // in this session, whatever the caller's is
/// session.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

/// What a program may choose for a session.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The engine's name, in the place of what the environment says.
    pub(crate) engine: Option<String>,
    /// What is done with stored results, in the place of what the environment says.
    pub(crate) caching: Option<Caching>,
    /// Where results are kept elsewhere, in the place of what the environment says.
    pub(crate) places: CachePlaces,
    /// How many processes of steps may run at once; any number if nobody says.
    pub(crate) jobs: Option<tokio::sync::Semaphore>,
    /// Who remembers what results were made of.
    #[cfg(feature = "cli")]
    pub(crate) recorder: Option<Arc<dyn graph::Recorder>>,
}

/// The state of a session.
pub(super) struct Inner {
    /// The session's random name, used in labels and names of what it makes.
    id: SessionId,
    /// What the program has chosen for it.
    settings: Settings,
    /// The engine, connected to by the first thing that needs it.
    engine: OnceCell<Arc<dyn Engine>>,
    /// Images that were found, once a session.
    images: SingleFlight<ImageName, Arc<Image>>,
    /// What is done with stored results, as the settings or the environment say.
    caching: std::sync::OnceLock<Caching>,
    /// Where results are kept elsewhere, as the program says.
    places: Mutex<CachePlaces>,
    /// The caches elsewhere, once something is looked for.
    remote: std::sync::OnceLock<remote::Remote>,
    /// What tags mean, as the environment says when the first image is looked up.
    pins: std::sync::OnceLock<Result<Pins>>,
    /// What of this machine's directories and files has been read, and will be until the next `refresh`.
    reading: Mutex<Arc<Reading>>,
    /// Snapshots of this machine's files that the engine holds, by the files' digest.
    sent: SingleFlight<Digest, crate::model::Snapshot>,
    /// Steps that ran or are running, by key and timeout.
    steps: SingleFlight<(Digest, Option<Duration>), Arc<StepResult>>,
    /// File systems of prepared services that were found or are being made, by key.
    prepared: SingleFlight<Digest, crate::model::Snapshot>,
    /// Replays that ran or are running, by the step's key and the generations of the service instances it runs against.
    replays: SingleFlight<(Digest, Vec<u64>), ()>,
    /// The services and their supervisors.
    services: Mutex<Services>,
    /// Who needs the files of which steps, of all that was asked for in this session.
    uses: Mutex<graph::Uses>,
    /// The names by which services are known.
    names: Mutex<hints::Names>,
    /// Which instances of services write to which caches.
    turns: Turns,
    /// When it began.
    began: std::time::SystemTime,
    /// What services have written in their present run, or in their last, by key.
    logs: watch::Sender<HashMap<Digest, log::WrittenLog>>,
    /// Results that are being stored by the engine; awaited before the session ends.
    keeping: Mutex<JoinSet<()>>,
    /// The session's own span, the ancestor of all its others.
    span: Arc<Span>,
    /// Set once the session begins to close.
    closing: watch::Sender<bool>,
    /// The result of closing, which every call of `close` gets.
    closed: OnceCell<Result<()>>,
    /// Why nothing runs in it.
    refused: Option<Error>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("engine", &self.engine.get()).finish_non_exhaustive()
    }
}

impl Session {
    /// A new session with an observer that is called directly, on the thread where an event happens. If there is an error
    /// in its place, nothing runs: everything that is awaited gets that error.
    pub(crate) fn observed_by(direct: Result<Option<Arc<dyn DirectObserver>>>) -> Self {
        Self::with(direct, Settings::default())
    }

    /// The same with settings.
    pub(crate) fn with(direct: Result<Option<Arc<dyn DirectObserver>>>, settings: Settings) -> Self {
        let id = SessionId::random();
        let (direct, refused) = match direct {
            Ok(direct) => (direct, None),
            Err(error) => (None, Some(error)),
        };
        let inner = Inner {
            span: Arc::new(Span::root(Emitter::new(id.as_str().into(), direct))),
            id,
            engine: OnceCell::new(),
            images: SingleFlight::default(),
            pins: std::sync::OnceLock::new(),
            caching: std::sync::OnceLock::new(),
            places: Mutex::new(settings.places.clone()),
            settings,
            remote: std::sync::OnceLock::new(),
            reading: Mutex::new(Arc::new(Reading::first())),
            sent: SingleFlight::default(),
            steps: SingleFlight::default(),
            prepared: SingleFlight::default(),
            replays: SingleFlight::default(),
            services: Mutex::default(),
            uses: Mutex::default(),
            names: Mutex::default(),
            turns: Turns::default(),
            began: std::time::SystemTime::now(),
            logs: watch::Sender::default(),
            keeping: Mutex::default(),
            closing: watch::channel(false).0,
            closed: OnceCell::new(),
            refused,
        };
        let session = Self { inner: Arc::new(inner) };
        current::register(&session);
        session
    }

    /// The current session, in which values awaited here run.
    #[must_use]
    pub fn current() -> Self {
        current::session()
    }

    /// The name of the session: the engine labels its containers and networks with it, as `bowline.session`.
    #[must_use]
    pub fn id(&self) -> String {
        self.inner.id.to_string()
    }

    /// Runs a future; the values it awaits run in this session.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        current::scope(self.clone(), future).await
    }

    /// Registers an observer of what happens in this session, from now on: see [`event`](crate::event).
    ///
    /// # Errors
    /// [`Error::Engine`] when the observer's thread cannot be started.
    pub fn observe(&self, observer: impl Observer) -> Result<ObserverHandle> {
        self.inner.span.observe(observer).map_err(not_started)
    }

    /// Makes everything that is awaited in this session from now on look at this machine's files again. Directories and files
    /// ([`host`](crate::host), [`host_file`](crate::host_file)) are otherwise read once a session.
    ///
    /// What has changed makes other steps and services, and everything else is what it was: a step that takes nothing from
    /// a changed file does not run again. What was awaited before goes on with the files that it began with, so nothing is
    /// ever made of two versions of one directory. Images are not looked up again.
    ///
    /// A service that is made of changed files is a new instance, with the same host name. Clients that are running keep the
    /// old instance, which ends as any service does once they have; new clients, and [`start`](crate::Service::start), get
    /// the new one. If a service writes to a cache volume, the new instance starts when the old one has ended, which does
    /// not linger then: the two never write to the volume at once. [`stop`](crate::Service::stop) and
    /// [`kill`](crate::Service::kill) end both.
    ///
    /// ```no_run
    /// # async fn example() -> bowline::Result<()> {
    /// use bowline::{Container, Session, host};
    /// let tests = Container::from_image("python:3.11")
    ///     .mount("/src", host("./src"))
    ///     .workdir("/src")
    ///     .exec(["python3", "-m", "unittest"]);
    /// tests.sync().await?;
    /// // … somebody edits a file in `./src` …
    /// Session::current().refresh();
    /// tests.sync().await?; // runs again, as the files are others
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh(&self) {
        let mut reading = lock(&self.inner.reading);
        *reading = Arc::new(reading.next());
    }

    /// Ends the session: cancels what runs, stops every service with its stop signal, users before what they use, and
    /// removes everything but cached results and cache volumes. Closing twice has no further effect; awaiting a value
    /// afterwards is an error.
    pub async fn close(&self) -> Result<()> {
        self.finish(End::Removed).await
    }

    /// Ends the session of a program that is interrupted: like [`close`](Self::close), but the removal of what has
    /// stopped may continue without this process.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.finish(End::Stopped).await
    }

    /// Ends the session of a program that is about to exit by itself: like [`stop`](Self::stop), but services may take
    /// their time to stop without this process, if the engine has a process that outlives it.
    pub(crate) async fn detach(&self) -> Result<()> {
        self.finish(End::Detached).await
    }

    async fn finish(&self, end: End) -> Result<()> {
        let inner = self.inner.clone();
        current::run(async move { inner.close(end).await }).await
    }
}

/// What closing a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Everything is removed.
    Removed,
    /// Nothing runs any more.
    Stopped,
    /// Everything is stopped, or handed to a process that outlives this one.
    Detached,
}

impl Inner {
    async fn engine(&self) -> Result<Arc<dyn Engine>> {
        let open = || async {
            environment::check_environment(self.settings.engine.as_deref())?;
            self.span.open();
            let engine = crate::engine::open(&self.id, self.settings.engine.as_deref()).await?;
            self.span.emit(|| {
                let Description { name, version, platform, .. } = engine.describe();
                let (version, platform) = (version.as_str().into(), platform.as_str().into());
                EventKind::Connected { engine: name, version, platform }
            });
            Ok(engine)
        };
        self.engine.get_or_try_init(open).await.cloned()
    }

    /// What is done with stored results. A variable that means nothing is an error before anything asks.
    fn caching(&self) -> Caching {
        let said = || self.settings.caching.or_else(|| Caching::from_environment().ok()).unwrap_or_default();
        *self.caching.get_or_init(said)
    }

    /// Looks up an image, once a session: a tag that moves meanwhile does not matter.
    async fn image(self: &Arc<Self>, name: &ImageName, places: &[Location]) -> Result<Arc<Image>> {
        let pins = self.pins.get_or_init(Pins::from_environment).as_ref().map_err(Clone::clone)?;
        match pins.meaning(name)? {
            Meaning::Name => self.live_image(name, places).await,
            Meaning::Pinned(pinned) => self.live_image(&pinned, places).await,
            Meaning::Exactly(locked, path) => {
                let image = self.live_image(name, places).await?;
                pins::compare(name, &image, &locked, &path)?;
                Ok(image)
            }
        }
    }

    /// The image that a reference means today.
    async fn live_image(self: &Arc<Self>, name: &ImageName, places: &[Location]) -> Result<Arc<Image>> {
        let (inner, wanted, places) = (self.clone(), name.clone(), places.to_vec());
        let find = async move {
            let engine = inner.engine().await?;
            let span = inner.span.child_at(Subject::Image { name: wanted.to_string().into() }, places);
            let tell = span.clone();
            let progress = move |kind| tell.emit(|| kind);
            let found = engine.resolve(&wanted, &progress).await.map(Arc::new);
            span.close_with(&found);
            found
        };
        self.images.get_or_run(name.clone(), find).await
    }

    /// Waits until one more process of a step may run. It may while the returned guard is held, which is for as long as the
    /// process runs and no longer: what a step waits for before that may need a process itself.
    async fn job(&self) -> Result<Option<tokio::sync::SemaphorePermit<'_>>> {
        match &self.settings.jobs {
            // Nobody closes it.
            Some(jobs) => jobs.acquire().await.map(Some).map_err(Error::internal),
            None => Ok(None),
        }
    }

    /// The reading of this machine's files that an evaluation which begins now sees.
    fn reading(&self) -> Arc<Reading> {
        lock(&self.reading).clone()
    }

    fn services(&self) -> MutexGuard<'_, Services> {
        lock(&self.services)
    }

    fn keeping(&self) -> MutexGuard<'_, JoinSet<()>> {
        lock(&self.keeping)
    }

    fn check_open(&self, what: &str) -> Result<()> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        if *self.closing.borrow() { Err(closed(what)) } else { Ok(()) }
    }

    /// Runs work of this session until it is done or the session closes.
    async fn until_closed<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut closing = self.closing.subscribe();
        tokio::select! {
            result = work => result,
            _ = closing.wait_for(|closing| *closing) => Err(closed(what)),
        }
    }

    /// Ends the session once: every other caller waits for the same end.
    async fn close(self: Arc<Self>, end: End) -> Result<()> {
        self.closed.get_or_init(|| self.end(end)).await.clone()
    }

    async fn end(&self, end: End) -> Result<()> {
        self.closing.send_replace(true);
        // Steps see `closing` and release their services; services then end, users first, because each holds what it uses
        // until it is gone itself.
        let supervisors: Vec<_> =
            self.services().supervisors.drain().map(|(_, supervisor)| supervisor).collect();
        futures_util::future::join_all(supervisors.iter().map(|one| one.close(end))).await;
        let mut keeping = std::mem::take(&mut *self.keeping());
        while keeping.join_next().await.is_some() {}
        match (self.remote.get(), end) {
            (Some(remote), End::Stopped) => remote.stop(),
            (Some(remote), _) => remote.finish(self, self.engine.get().map(|engine| &**engine)).await,
            (None, _) => {}
        }
        let ended = match (self.engine.get(), end) {
            (Some(engine), End::Removed) => engine.close().await,
            (Some(engine), End::Stopped | End::Detached) => engine.detach().await,
            (None, _) => Ok(()),
        };
        self.span.close_with(&ended);
        self.span.heard().await;
        if let (Some(engine), Ok(Some(_))) = (self.engine.get(), crate::engine::kept_size()) {
            let name = engine.describe().name;
            // It may start a process.
            let _ = tokio::task::spawn_blocking(move || crate::engine::keep_small(name)).await;
        }
        ended
    }
}

/// The error for an observer whose thread cannot be started.
pub(crate) fn not_started(error: std::io::Error) -> Error {
    Error::engine("start an observer's thread", error)
}

/// Closes a span that ended in an error.
fn close_failed(span: &Span, error: &Error) {
    match error {
        Error::Cancelled { .. } => span.close(|| Outcome::Cancelled),
        _ => span.fail(error),
    }
}

fn closed(what: &str) -> Error {
    Error::Cancelled { what: what.to_owned(), reason: "the session closed".to_owned() }
}

/// Runs work in the caller's session, on the sessions' runtime.
async fn in_session<T: Send + 'static, F>(
    what: String,
    work: impl FnOnce(Arc<Inner>) -> F + Send + 'static,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    in_span(what, Vec::new(), |session, _| work(session)).await
}

/// The same for work that emits events of its own, and whose place in the source is known.
async fn in_span<T: Send + 'static, F>(
    what: String,
    places: Vec<Location>,
    work: impl FnOnce(Arc<Inner>, Arc<Span>) -> F + Send + 'static,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    let inner = current::session().inner;
    current::run(async move {
        inner.check_open(&what)?;
        let session = inner.clone();
        let span = inner.span.child_at(Subject::Request { name: what.as_str().into() }, places);
        let result = inner.until_closed(&what, work(session, span.clone())).await;
        match &result {
            Ok(_) => span.close(|| Outcome::Succeeded),
            Err(error) => close_failed(&span, error),
        }
        result
    })
    .await
}

pub(crate) async fn sync(container: Container) -> Result<()> {
    let node = graph::lower_container(&container)?;
    in_session(format!("container `{}`", node.name), |session| async move {
        session.evaluation(Requirements::of_fs(&node.fs)).await?.settle(&node.fs).await
    })
    .await
}

pub(crate) async fn entries(at: PathIn) -> Result<Vec<Entry>> {
    results::in_path(at, |reader| async move { reader.entries().await }).await
}

pub(crate) async fn stat(at: PathIn) -> Result<Stat> {
    results::in_path(at, |reader| async move { reader.stat().await }).await
}

pub(crate) async fn file_bytes(at: PathIn) -> Result<Vec<u8>> {
    results::in_path(at, |reader| async move { reader.bytes().await }).await
}

pub(crate) async fn save_directory(at: PathIn, to: PathBuf) -> Result<()> {
    results::in_path(at, |reader| async move { reader.save_directory(to).await }).await
}

pub(crate) async fn save_file(at: PathIn, to: PathBuf) -> Result<()> {
    results::in_path(at, |reader| async move { reader.save_file(to).await }).await
}
