//! Containers without a daemon: Linux, as root or in a user namespace. ARCHITECTURE.md says what it cannot do yet.
//!
//! ```text
//!   store     layers, results and caches on disk
//!   caches    those that services have
//!   files     what is put into file systems, and looked for
//!   netns       networks of containers
//!   netlink   what the kernel is told of networks, and asked
//!   image     images: files, those of a Docker engine, those of registries; and the way back
//!   step  service  spec  process     what a session asks for
//!   transfer  results for other machines, and from them
//!   gateway   the way to the world
//!   client    the socket to the shim, a process of its own …
//!   wire      … and what is said over it
//!   shim      … where containers are made: namespaces, mounts, network
//! ```

mod address;
mod caches;
mod capabilities;
mod client;
mod files;
#[cfg(all(any(test, fuzzing), feature = "docker"))]
pub(in crate::engine) mod fuzz;
mod gateway;
mod image;
mod ingress;
mod model;
mod netlink;
mod netns;
mod process;
mod service;
pub(crate) mod shim;
mod spec;
mod step;
mod store;
mod terminal;
#[cfg(all(test, feature = "docker"))]
mod tests;
mod transfer;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::{OnceCell, mpsc};

use self::address::Addresses;
use self::client::Shim;
use self::gateway::{Gateway, Names, Reach};
use self::model::Root;
use self::netns::Idle;
use self::store::{Scratch, Store, StoredOutput, snapshot_of};
use self::wire::{Answer, Files, Request};
use super::source::ImageSource;
use super::turns::Turns;
use super::{
    Arrival, CacheLocks, Call, Claim, Description, Engine, Image, ImageSpec, ImageStore, InUse, Ingress,
    InstanceId, Kept, LayerSink, LayerSource, Layers, NoFiles, PortNumber, Prepared, Progress, Prune,
    ResultStore, ResultTransfer, Sandbox, ServiceSpec, SnapshotReader, Startable, StepSpec, Tallies,
};
use crate::lock::lock;
use crate::model::{CacheKey, Digest, Entry, ImageName, Provenance, SessionId, Snapshot, Stat};
use crate::{Error, Result};

/// The engine of one session.
#[derive(Debug)]
pub(crate) struct Native {
    description: Description,
    shared: Arc<Shared>,
}

/// What everything of a session uses.
struct Shared {
    shim: Arc<Shim>,
    tried: Vec<String>,
    store: Store,
    addresses: Arc<Addresses>,
    /// The addresses of the running services, by instance.
    running: Mutex<BTreeMap<InstanceId, u16>>,
    /// Where images are that the store has not; none where there is no such place.
    images: Option<Box<dyn ImageSource>>,
    /// Made for the first container; or why there is none.
    gateway: OnceCell<std::result::Result<Gateway, String>>,
    /// Where the gateway leads besides.
    reach: Arc<Reach>,
    /// What each container knows by name.
    names: Arc<Names>,
    /// Its own, as `os/architecture`.
    platform: String,
    /// Networks of steps that have ended.
    idle: Mutex<Idle>,
    /// File systems that are kept until the end.
    held: Mutex<Vec<Scratch>>,
    /// Cache volumes that services have.
    cache_users: Mutex<caches::Users>,
    /// Who packs or unpacks which layer.
    layer_turns: Turns,
    /// What services use that were told to leave; none were where there is nothing.
    left: Mutex<Option<LeftBehind>>,
}

/// What stays in use when the pipeline has ended.
#[derive(Debug, Default)]
struct LeftBehind {
    scratches: Vec<Scratch>,
    volumes: Vec<PathBuf>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("host", &self.shim).field("store", &self.store).finish_non_exhaustive()
    }
}

/// As often is looked whether another process is done.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// As long is it waited for a shim to end, which has to remove what its containers left.
const END: Duration = Duration::from_secs(10);

/// What a pipeline cannot have on this engine, on this machine: for people.
pub(super) fn lacks() -> Vec<String> {
    let always = [
        #[cfg(not(feature = "registry"))]
        "images out of registries, and into them: bowline was built without the feature `registry`",
        "a way to the world for anything but TCP and UDP",
        "emulation of other platforms, unless this machine has it (binfmt_misc)",
    ];
    always.into_iter().map(str::to_owned).chain(shim::lacks()).collect()
}

/// Checks the variables that only this engine reads.
pub(super) fn check_environment() -> Result<()> {
    Reach::from_environment()?;
    super::registry::check()
}

/// For `map_err`: what was being done.
fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::engine(what, error)
}

impl Native {
    /// Takes images out of `images` that nothing else has. `tried` is what is said of other engines where this one cannot
    /// run either.
    pub(super) async fn open(
        session: &SessionId,
        images: Option<Box<dyn ImageSource>>,
        tried: Vec<String>,
    ) -> Result<Arc<Self>> {
        Self::open_at(crate::home::place(), session, images, tried).await
    }

    async fn open_at(
        place: PathBuf,
        session: &SessionId,
        images: Option<Box<dyn ImageSource>>,
        tried: Vec<String>,
    ) -> Result<Arc<Self>> {
        let reach = Arc::new(Reach::from_environment()?);
        let (id, at) = (session.clone(), place.clone());
        let opened = tokio::task::spawn_blocking(move || Store::open(at, &id)).await;
        let opened = opened.unwrap_or_else(|error| Err(io::Error::other(error)));
        let shim = |store: &Store| Shim::new(store.root(), session, store.lock());
        let opened = opened.and_then(|store| Ok((shim(&store)?, store)));
        let (shim, store) = opened.map_err(|error| Error::io(place, error))?;
        let shim = Arc::new(shim);
        if !rustix::process::geteuid().is_root() {
            let by = Arc::clone(&shim);
            // What is left where the shim has ended is removed at its end.
            store.remove_by(Box::new(move |path| {
                by.tell(&Request::Files(Files::Remove { path: path.to_owned() }));
            }));
        }
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let platform = format!("linux/{architecture}");
        Ok(Arc::new(Self {
            description: Description {
                name: "native",
                version: env!("CARGO_PKG_VERSION").to_owned(),
                platform: platform.clone(),
                place: store.root().display().to_string(),
            },
            shared: Arc::new(Shared {
                shim,
                tried,
                store,
                addresses: Arc::default(),
                running: Mutex::default(),
                images,
                gateway: OnceCell::new(),
                reach,
                names: Arc::default(),
                platform,
                idle: Mutex::default(),
                held: Mutex::default(),
                cache_users: Mutex::default(),
                layer_turns: Turns::default(),
                left: Mutex::default(),
            }),
        }))
    }
}

impl Native {
    /// Finds out whether the store is where layers can be laid on each other: not every file system will do.
    pub(super) async fn try_overlay(&self) -> Result<()> {
        self.shared.ready().await?;
        let what = || format!("an overlay in {}", self.shared.store.root().display());
        let scratch = || self.shared.store.scratch().map_err(failed(what()));
        let (lower, upper) = (scratch()?, scratch()?);
        let root = Root { layers: vec![lower.changes.upper.clone()], changes: Some(upper.changes.clone()) };
        let request = Request::Files(Files::Stat { root, path: "/".to_owned() });
        match self.shared.shim.ask_once(&request, &[]).await.map_err(failed(what()))? {
            Answer::Stat(_) => Ok(()),
            Answer::Failed(text) => {
                let help = "help: name a directory on another file system (ext4, xfs, btrfs) in BOWLINE_HOME";
                Err(Error::engine(what(), format!("{text}\n\n{help}")))
            }
            other => Err(failed(what())(client::unexpected(&other))),
        }
    }

    /// What it lacks of what it has elsewhere, found out by trying.
    pub(super) async fn lacks(&self) -> Vec<String> {
        let mut lacks = match self.shared.gateway().await {
            Ok(gateway) => gateway.lacks().into_iter().collect(),
            Err(error) => vec![format!("any way to the world: {error}")],
        };
        if let Ok(Answer::Failed(error)) = self.shared.shim.ask_once(&Request::Guard, &[]).await {
            lacks.push(format!("raw sockets (`ping`): {error}"));
        }
        lacks
    }

    /// Removes from the store what is not needed.
    async fn prune_store(&self, what: &Prune) -> Result<Tallies> {
        self.shared.ready().await?;
        let doing = || format!("prune {}", self.shared.store.root().display());
        let scratch = self.shared.store.scratch().map_err(failed(doing()))?;
        let (what, aside) = (what.clone(), scratch.changes.upper.clone());
        let request = Request::Files(Files::Prune { what, aside });
        match self.shared.shim.ask_once(&request, &[]).await.map_err(failed(doing()))? {
            Answer::Pruned(removed) => Ok(removed),
            Answer::Failed(text) => Err(Error::engine(doing(), text)),
            other => Err(failed(doing())(client::unexpected(&other))),
        }
    }
}

impl Shared {
    /// Returns once there is somebody who runs what is asked for.
    async fn ready(&self) -> Result<()> {
        self.shim.ready().await.map_err(|error| {
            let tried = self.tried.iter().cloned().chain([format!("native: {error}")]);
            Error::EngineUnreachable { tried: tried.collect() }
        })
    }

    /// These are in use until a service has ended that was told to leave.
    fn keep_for_detached(&self, scratches: Vec<Scratch>, volumes: &[PathBuf]) {
        let mut left = lock(&self.left);
        let left = left.get_or_insert_default();
        left.scratches.extend(scratches);
        left.volumes.extend_from_slice(volumes);
    }

    fn hold(&self, scratch: Scratch) {
        lock(&self.held).push(scratch);
    }
}

impl Engine for Native {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn uses_since(&self, when: SystemTime) -> Result<()> {
        self.shared.store.began_at(when).map_err(failed("keep what a service is made of"))
    }

    fn prune<'a>(&'a self, what: &'a Prune) -> Call<'a, Tallies> {
        Box::pin(self.prune_store(what))
    }

    fn close(&self) -> Call<'_, ()> {
        Box::pin(async move {
            self.shared.shim.end();
            lock(&self.shared.held).clear();
            *lock(&self.shared.idle) = Idle::default();
            // Only then does nothing run any more.
            let _ = tokio::time::timeout(END, self.shared.shim.gone()).await;
            let shared = Arc::clone(&self.shared);
            // What cannot be removed now is by the next session.
            let _ = tokio::task::spawn_blocking(move || shared.store.close()).await;
            Ok(())
        })
    }

    fn detach(&self) -> Call<'_, ()> {
        Box::pin(async move {
            let left = lock(&self.shared.left).take();
            let Some(LeftBehind { scratches, volumes }) = left else { return self.close().await };
            let left = match self.shared.store.detach(&volumes) {
                Ok(()) => self.shared.shim.detach().await,
                failed => failed,
            };
            // Not before: the store removes them no more.
            drop(scratches);
            left.map_err(failed("leave services to their end"))
        })
    }
}

impl ImageStore for Native {
    fn resolve<'a>(&'a self, name: &'a ImageName, progress: &'a Progress) -> Call<'a, Image> {
        Box::pin(image::resolve(&self.shared, name, progress))
    }

    fn publish<'a>(
        &'a self,
        image: &'a ImageSpec,
        name: &'a ImageName,
        progress: &'a Progress,
    ) -> Call<'a, String> {
        Box::pin(image::publish(&self.shared, image, name, progress))
    }

    fn export<'a>(&'a self, image: &'a ImageSpec, to: std::fs::File) -> Call<'a, ()> {
        Box::pin(image::write(&self.shared, image, to))
    }
}

impl ResultStore for Native {
    fn lookup<'a>(&'a self, key: &'a Digest) -> Call<'a, Option<Kept>> {
        Box::pin(async move {
            let whole = self.shared.store.step(key).map(|step| Kept {
                files: Arc::new(snapshot_of(&step.layers)),
                output: step.output,
                from: step.from,
            });
            Ok(whole.or_else(|| {
                let StoredOutput { from, output } = self.shared.store.output(key)?;
                Some(Kept { output, from, files: Arc::new(NoFiles) })
            }))
        })
    }

    fn sees(&self, key: &Digest, from: &Provenance) -> bool {
        self.shared.store.sees(key, from)
    }

    fn is_current(&self, from: &Provenance) -> bool {
        self.shared.store.is_current(from)
    }

    fn claim<'a>(
        &'a self,
        key: &'a Digest,
        limit: Option<Duration>,
        waiting: &'a (dyn Fn() + Sync),
    ) -> Call<'a, Claim> {
        Box::pin(async move {
            let mut tell = Some(waiting);
            loop {
                if let Some(lock) = self.shared.store.claim(key, limit).map_err(failed("claim a step"))? {
                    return Ok(Claim::new(lock));
                }
                if let Some(tell) = tell.take() {
                    tell();
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        })
    }

    fn import<'a>(
        &'a self,
        key: &'a Digest,
        archive: mpsc::Receiver<io::Result<Vec<u8>>>,
    ) -> Call<'a, Snapshot> {
        Box::pin(async move {
            self.shared.ready().await?;
            self.shared.import(key, archive).await.map_err(failed("keep a directory"))
        })
    }
}

impl ResultTransfer for Native {
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

impl SnapshotReader for Native {
    fn stat<'a>(&'a self, snapshot: &'a Snapshot, path: &'a str) -> Call<'a, Option<Stat>> {
        Box::pin(async move {
            self.shared.ready().await?;
            self.shared.stat(snapshot, path).await
        })
    }

    fn list<'a>(&'a self, snapshot: &'a Snapshot, path: &'a str) -> Call<'a, Vec<Entry>> {
        Box::pin(async move {
            self.shared.ready().await?;
            self.shared.list(snapshot, path).await
        })
    }

    fn read<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        path: &'a str,
        sink: mpsc::Sender<Vec<u8>>,
    ) -> Call<'a, ()> {
        Box::pin(async move {
            self.shared.ready().await?;
            self.shared.read(snapshot, path, sink).await
        })
    }
}

impl Sandbox for Native {
    fn prepare(&self, step: StepSpec) -> Call<'_, Box<dyn Prepared>> {
        Box::pin(async move {
            self.shared.ready().await?;
            step::prepare(&self.shared, step).await
        })
    }

    fn lock_caches<'a>(
        &'a self,
        service: &'a str,
        caches: &'a [CacheKey],
        waiting: &'a (dyn Fn(InUse) + Sync),
    ) -> Call<'a, Arc<dyn CacheLocks>> {
        Box::pin(caches::hold(&self.shared, service, caches, waiting))
    }

    fn prepare_service(&self, service: ServiceSpec) -> Call<'_, Box<dyn Startable>> {
        Box::pin(async move {
            self.shared.ready().await?;
            service::prepare(&self.shared, service).await
        })
    }

    fn listen<'a>(
        &'a self,
        name: &'a str,
        instance: &'a InstanceId,
        ports: &'a [PortNumber],
    ) -> Call<'a, Ingress> {
        Box::pin(async move {
            self.shared.ready().await?;
            ingress::listen(&self.shared, name, instance, ports).await
        })
    }
}
