//! Engines that speak the Docker API from 1.41 on: Docker, Docker Desktop, Colima … Podman is not supported yet.
//!
//! From the ground up:
//!
//! ```text
//!   transport failure  memory  connection    what is said to an engine and how much of an answer is read; which it is
//!   context   connect  source        … where it is looked for, found, and taken from by others
//!   names     labels   own   helper  what its objects are called; images made of nothing, and our programs in one
//!   cleaner   spares   network       what is removed when it is dropped, and what is left for others
//!   facts     wanted   pull  load  image   names → images: known, looked for, pulled, sent
//!   import    commit                 images made of what is sent, and of containers
//!   held      idle     readers       containers that are there for their files
//!   entries   path     scaffold      what is in them, and what of it is the engine's own
//!   rewrite   flatten  snapshot      images made of others; what file systems are called
//!   read                             what is in a file system
//!   clear     publish                images → registries and files, without the engine's own
//!   recipe    place    room  mount   create   containers: filled, given mounts, made
//!   ends      attach   kill   inside   followed; commands in a running container, and the end of those
//!   records   keep                   what steps wrote, on this machine; images of what they left
//!   chain     results                containers in which steps run one after another; what they wrote, and left
//!   transfer                         results for other machines, and from them
//!   chained   step     probe         run to the end, stored; probed
//!   caches                           held by one session at a time
//!   living    prune                  who uses what is kept; what nobody uses, removed
//!   relay     service                connected where no address can be reached; started, watched
//!   sweep     watchdog               removed: when its owner died; when this process dies
//! ```
//!
//! bollard is used in here and nowhere else. Objects have deterministic [names] and [labels], and a guard
//! ([`cleaner::Container`]) before they exist.

mod attach;
mod caches;
mod chain;
mod chained;
mod cleaner;
mod clear;
mod commit;
mod connect;
mod connection;
mod context;
mod create;
mod ends;
mod entries;
mod facts;
mod failure;
mod flatten;
#[cfg(all(any(test, fuzzing), native_engine))]
pub(in crate::engine) mod fuzz;
mod held;
mod helper;
mod idle;
mod image;
mod import;
mod inside;
mod keep;
mod kill;
mod labels;
mod living;
mod load;
mod memory;
mod mount;
mod names;
mod network;
mod own;
mod path;
mod place;
mod probe;
mod prune;
mod publish;
mod pull;
mod read;
mod readers;
mod recipe;
mod records;
mod relay;
mod results;
mod rewrite;
mod room;
mod scaffold;
mod service;
mod snapshot;
#[cfg(native_engine)]
mod source;
mod spares;
mod step;
mod sweep;
#[cfg(test)]
mod tests;
mod transfer;
mod transport;
mod ulimits;
mod wanted;
pub(crate) mod watchdog;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{RwLock, Semaphore, mpsc};

use self::cleaner::Cleaner;
pub(crate) use self::connect::connect;
pub(crate) use self::connection::Connection;
#[cfg(native_engine)]
pub(crate) use self::source::DockerImages;
use self::watchdog::Watchdog;
use super::{
    Arrival, CacheLocks, Call, Claim, Description, Engine, Image, ImageSpec, ImageStore, InUse, Ingress,
    InstanceId, Kept, LayerSink, LayerSource, Layers, PortNumber, Prepared, Progress, Prune, ResultStore,
    ResultTransfer, Sandbox, ServiceSpec, SnapshotReader, Startable, StepSpec, Tallies,
};
use crate::model::{CacheKey, Digest, Entry, ImageName, Provenance, SessionId, Snapshot, Stat};
use crate::{Error, Result};

/// One session's Docker engine.
pub(crate) struct Docker {
    shared: Arc<Shared>,
}

/// State shared by all parts of one engine value.
struct Shared {
    client: bollard::Docker,
    session: SessionId,
    description: Description,
    cleaner: Cleaner,
    /// The session's network, found or made when it is known to be needed.
    network: network::Network,
    /// Tells of containers that have ended.
    ends: ends::Ends,
    /// The pulls under way.
    pulls: pull::Pulls,
    /// Facts about inspected images.
    images: facts::Images,
    /// Containers pinned for their file systems.
    held: held::HeldContainers,
    /// Containers in which steps run one after another, between two of them.
    chains: chain::Chains,
    /// What is recorded of results on this machine.
    records: records::Records,
    /// Lets others see that this session uses what is kept.
    living: living::Living,
    /// Who moves layers in or out.
    layers: transfer::Moving,
    /// Images made for containers to start from.
    bases: snapshot::Bases,
    /// Containers through which files are read.
    readers: readers::Readers,
    /// Volumes and holders of this session's mounts.
    mounts: mount::Mounts,
    /// Connects to services whose addresses cannot be reached from here.
    dialer: relay::Dialer,
    /// Cache volumes held by this session's services.
    cache_users: caches::Users,
    /// Limits concurrent starts. Starting is bound by the engine's processor time: more at once would only wait for each
    /// other (measured).
    starts: Semaphore,
    /// The number of the next container, for its name.
    numbers: AtomicU64,
    /// Set once the session closes: nothing may be made any more.
    closed: AtomicBool,
    /// How to reach the engine, for the watchdog.
    connection: Connection,
    /// Removes everything if this process dies. `None` before the first container, and where a watchdog is impossible.
    watchdog: OnceLock<RwLock<Option<Watchdog>>>,
}

impl Docker {
    /// A session's engine, which records results in the user's directory, if it is to record any. Does no I/O.
    ///
    /// # Errors
    /// [`Error::EngineUnreachable`] when the certificates of a TLS connection cannot be read any more.
    pub(crate) async fn open(
        connection: &Connection,
        session: SessionId,
        home: Option<PathBuf>,
    ) -> Result<Arc<Self>> {
        Self::open_with(connection, session, home, snapshot::LAYERS_AT_MOST).await
    }

    async fn open_with(
        connection: &Connection,
        session: SessionId,
        home: Option<PathBuf>,
        layers: usize,
    ) -> Result<Arc<Self>> {
        let client =
            connection.client().await.map_err(|reason| Error::EngineUnreachable { tried: vec![reason] })?;
        let cleaner = Cleaner::new(client.clone());
        let shared = Arc::new(Shared {
            network: network::Network::default(),
            ends: ends::Ends::default(),
            pulls: pull::Pulls::default(),
            images: facts::Images::default(),
            held: held::HeldContainers::default(),
            chains: chain::Chains::default(),
            records: records::Records::new(home, connection.id()),
            living: living::Living::default(),
            layers: transfer::Moving::default(),
            bases: snapshot::Bases::new(layers),
            readers: readers::Readers::default(),
            mounts: mount::Mounts::default(),
            dialer: relay::Dialer::default(),
            cache_users: caches::Users::default(),
            starts: Semaphore::new(cleaner::slots()),
            numbers: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            connection: connection.clone(),
            watchdog: OnceLock::new(),
            description: connection.describe(),
            client,
            session,
            cleaner,
        });
        Ok(Arc::new(Self { shared }))
    }
}

impl Shared {
    /// Where results are recorded; `None` if they are not.
    fn records_at(&self) -> Option<&Path> {
        self.records.directory()
    }

    /// Lets nobody remove what the engine has under this name while this session lives.
    fn uses(&self, name: &str) {
        if let Some(directory) = self.records_at() {
            self.living.begin(directory, &self.session);
            living::mark(directory, name);
        }
    }

    /// There is nothing under this name.
    fn forgets(&self, name: &str) {
        if let Some(directory) = self.records_at() {
            living::forget(directory, name);
        }
    }

    /// A new name for a container of this session.
    fn number(&self, letter: char) -> String {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        format!("{}-{letter}{number}", names::prefix(&self.session))
    }

    /// Starts the watchdog, and the removal of what unwatched sessions left, unless that was begun. Called only when
    /// something is made: a run that finds everything stored takes a few milliseconds, and needs neither.
    fn guard(self: &Arc<Self>) -> &RwLock<Option<Watchdog>> {
        self.watchdog.get_or_init(|| {
            sweep::begin(self);
            self.ends.begin(&self.client, &self.session);
            RwLock::new(Watchdog::spawn(&self.connection, &self.session).ok())
        })
    }

    /// Waits until the watchdog is armed, so that what is made now is removed if this process dies. A session without a
    /// watchdog goes on all the same: the next one sweeps.
    async fn guarded(self: &Arc<Self>) {
        if let Some(watchdog) = self.guard().read().await.as_ref() {
            let _ = watchdog.armed().await;
        }
    }

    /// Begins what takes long and will be needed when something runs.
    fn expect(self: &Arc<Self>, services: bool) {
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        self.guard();
        if services {
            drop(self.network.begin(self));
        }
    }

    /// Nothing may be made once the session closes: nobody would remove it.
    fn check_open(&self, what: &str) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Cancelled {
                what: what.to_owned(),
                reason: "the session has closed".to_owned(),
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Docker").field("session", &self.shared.session).finish_non_exhaustive()
    }
}

impl Engine for Docker {
    fn describe(&self) -> &Description {
        &self.shared.description
    }

    fn prune<'a>(&'a self, what: &'a Prune) -> Call<'a, Tallies> {
        Box::pin(prune::prune(&self.shared, what))
    }

    fn close(&self) -> Call<'_, ()> {
        Box::pin(sweep::close(&self.shared, sweep::Removal::Here))
    }

    fn detach(&self) -> Call<'_, ()> {
        Box::pin(sweep::close(&self.shared, sweep::Removal::HandedOver))
    }
}

impl ImageStore for Docker {
    fn resolve<'a>(&'a self, image: &'a ImageName, progress: &'a Progress) -> Call<'a, Image> {
        Box::pin(image::resolve(&self.shared, image, progress))
    }

    fn publish<'a>(
        &'a self,
        image: &'a ImageSpec,
        name: &'a ImageName,
        progress: &'a Progress,
    ) -> Call<'a, String> {
        Box::pin(publish::publish(&self.shared, image, name, progress))
    }

    fn export<'a>(&'a self, image: &'a ImageSpec, to: std::fs::File) -> Call<'a, ()> {
        Box::pin(publish::export(&self.shared, image, to))
    }
}

impl ResultStore for Docker {
    fn sees(&self, key: &Digest, from: &Provenance) -> bool {
        self.shared.records.see(key, from)
    }

    fn is_current(&self, from: &Provenance) -> bool {
        self.shared.records.is_current(from)
    }

    fn lookup<'a>(&'a self, key: &'a Digest) -> Call<'a, Option<Kept>> {
        Box::pin(results::lookup(&self.shared, key))
    }

    fn lookup_anew<'a>(&'a self, key: &'a Digest) -> Call<'a, Option<Kept>> {
        Box::pin(results::lookup_anew(&self.shared, key))
    }

    fn claim<'a>(
        &'a self,
        key: &'a Digest,
        limit: Option<Duration>,
        waiting: &'a (dyn Fn() + Sync),
    ) -> Call<'a, Claim> {
        Box::pin(async move { Ok(results::claim(&self.shared, key, limit, waiting).await) })
    }

    fn import<'a>(
        &'a self,
        key: &'a Digest,
        archive: mpsc::Receiver<std::io::Result<Vec<u8>>>,
    ) -> Call<'a, Snapshot> {
        Box::pin(keep::import(&self.shared, key, archive))
    }
}

impl ResultTransfer for Docker {
    fn sends_at_the_end(&self) -> bool {
        true
    }

    fn send<'a>(
        &'a self,
        files: &'a Snapshot,
        image: Option<&'a Image>,
        to: &'a dyn LayerSink,
    ) -> Call<'a, Layers> {
        Box::pin(transfer::send(&self.shared, files, image, to))
    }

    fn receive<'a>(&'a self, result: Arrival, from: &'a dyn LayerSource) -> Call<'a, ()> {
        Box::pin(transfer::receive(&self.shared, result, from))
    }
}

impl SnapshotReader for Docker {
    fn stat<'a>(&'a self, snapshot: &'a Snapshot, path: &'a str) -> Call<'a, Option<Stat>> {
        Box::pin(read::stat(&self.shared, snapshot, path))
    }

    fn list<'a>(&'a self, snapshot: &'a Snapshot, path: &'a str) -> Call<'a, Vec<Entry>> {
        Box::pin(read::list(&self.shared, snapshot, path))
    }

    fn read<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        path: &'a str,
        sink: mpsc::Sender<Vec<u8>>,
    ) -> Call<'a, ()> {
        Box::pin(read::read(&self.shared, snapshot, path, sink))
    }
}

impl Sandbox for Docker {
    fn expect(&self, services: bool) {
        self.shared.expect(services);
    }

    fn prepare(&self, step: StepSpec) -> Call<'_, Box<dyn Prepared>> {
        Box::pin(step::prepare(&self.shared, step))
    }

    fn lock_caches<'a>(
        &'a self,
        user: &'a str,
        caches: &'a [CacheKey],
        waiting: &'a (dyn Fn(InUse) + Sync),
    ) -> Call<'a, Arc<dyn CacheLocks>> {
        Box::pin(caches::hold(&self.shared, user, caches, waiting))
    }

    fn prepare_service(&self, service: ServiceSpec) -> Call<'_, Box<dyn Startable>> {
        Box::pin(service::prepare(&self.shared, service))
    }

    fn listen<'a>(
        &'a self,
        name: &'a str,
        instance: &'a InstanceId,
        ports: &'a [PortNumber],
    ) -> Call<'a, Ingress> {
        Box::pin(relay::listen(&self.shared, name, instance, ports))
    }
}
