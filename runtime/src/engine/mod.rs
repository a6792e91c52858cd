//! What runs containers, behind one narrow trait.
//!
//! A session speaks to its engine through [`Engine`] alone and knows nothing of Docker; an engine knows nothing of
//! caches, services, health or sharing. Written for more than one engine: nothing here may name what only one has.
//! One `Engine` value belongs to one session: what it starts is registered under that session before it exists, so
//! that nothing leaks when an answer is lost or the process dies.
//!
//! Every call may be dropped at any time: what it had begun is then undone in the background. Every call bounds its
//! own waiting, except those that wait for the user's processes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::event::EventKind;
use crate::lock::lock;
use crate::model::{
    Access, ContentDigest, Digest, Entry, Existing, Exit, ImageName, Port, SessionId, Snapshot, Stat, Stream,
};

#[cfg(feature = "docker")]
mod channel;
mod choice;
#[cfg(any(feature = "docker", native_engine))]
mod command;
#[cfg(feature = "docker")]
pub(crate) mod docker;
mod doctor;
#[cfg(any(feature = "docker", native_engine))]
mod ending;
#[cfg(all(any(test, fuzzing), feature = "docker", native_engine))]
pub mod fuzz;
#[cfg(native_engine)]
pub(crate) mod native;
mod oci;
mod output;
#[cfg(any(feature = "docker", native_engine))]
mod probe;
mod prune;
#[cfg(native_engine)]
mod source;
#[cfg(any(feature = "docker", native_engine))]
mod user;

#[cfg(test)]
#[cfg(feature = "docker")]
mod testing;

pub(crate) use self::choice::open;
pub use self::doctor::{Diagnosis, doctor};
pub(crate) use self::oci::ImageSpec;
#[cfg(feature = "docker")]
pub(crate) use self::output::Elsewhere;
pub use self::output::OutputReader;
#[cfg(native_engine)]
pub(crate) use self::output::Part;
pub(crate) use self::output::{Recording, Spool, StepOutput, Written, place};
pub use self::prune::{Prune, Pruned, prune};

/// What an engine's call gives: a future, boxed so that the trait can be an object.
pub(crate) type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A thing that runs containers for one session.
pub(crate) trait Engine: Send + Sync + fmt::Debug {
    /// Which engine this is and what it runs on.
    fn describe(&self) -> &Description;

    /// Finds an image, pulling it when it is absent; `progress` hears of a pull.
    fn resolve<'a>(&'a self, image: &'a ImageName, progress: &'a Progress) -> Call<'a, Image>;

    /// Finds what an earlier step left under this key, in this run or another.
    fn lookup<'a>(&'a self, key: &'a Digest) -> Call<'a, Option<Kept>>;

    /// Waits until no other process runs the step of this key with this limit of its time, which is told once to
    /// `waiting`, and keeps others from it as long as the claim is there. An engine on which processes cannot know of each
    /// other lets everybody have one.
    fn claim<'a>(
        &'a self,
        _key: &'a Digest,
        _limit: Option<Duration>,
        _waiting: &'a (dyn Fn() + Sync),
    ) -> Call<'a, Claim> {
        Box::pin(async { Ok(Claim(None)) })
    }

    /// Makes a file system of a tar archive and keeps it under a key, for good, as if a step had left it. An error in
    /// place of a piece is the end of it, and nothing is kept.
    fn import<'a>(
        &'a self,
        key: &'a Digest,
        archive: tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>,
    ) -> Call<'a, Snapshot>;

    /// Makes ready a step: everything but running it. It may be called before the step's services are ready.
    fn prepare(&self, step: StepSpec) -> Call<'_, Box<dyn Prepared>>;

    /// Waits until no service of another session has any of these caches, and keeps them for a service of this name;
    /// `waiting` hears once of each service that has one. Services of one session may share them.
    fn hold_caches<'a>(
        &'a self,
        service: &'a str,
        caches: &'a [String],
        waiting: &'a (dyn Fn(InUse) + Sync),
    ) -> Call<'a, Arc<dyn HeldCaches>>;

    /// Makes ready a service: everything but its process.
    fn prepare_service(&self, service: ServiceSpec) -> Call<'_, Box<dyn Startable>>;

    /// Starts a service and returns once its process runs, ready or not. `log` hears every piece of output.
    #[cfg(test)]
    fn start(&self, service: ServiceSpec, log: Sink) -> Call<'_, Arc<dyn Instance>> {
        Box::pin(async move { self.prepare_service(service).await?.start(log).await })
    }

    /// What is known of a path in a snapshot; `None` when nothing is there. Symbolic links in the path's last part
    /// are followed.
    fn stat<'a>(&'a self, snapshot: &'a Snapshot, path: &'a str) -> Call<'a, Option<Stat>>;

    /// What is in a directory, in any order, each once.
    fn list<'a>(&'a self, snapshot: &'a Snapshot, path: &'a str) -> Call<'a, Vec<Entry>>;

    /// The file or directory at a path as one tar archive; entries are relative, below the path's last part. Pieces
    /// of the archive go to `sink`, in order; the call ends with the archive. `sink` gives the piece back-pressure by
    /// answering late and ends the transfer with an error.
    fn read<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        path: &'a str,
        sink: tokio::sync::mpsc::Sender<Vec<u8>>,
    ) -> Call<'a, ()>;

    /// Makes an image of a file system and pushes it to a registry, under a reference with a tag; gives the digest of its
    /// manifest, as `sha256:…`. What the registry has already is not sent. `progress` hears of it.
    fn publish<'a>(
        &'a self,
        image: &'a ImageSpec,
        name: &'a ImageName,
        progress: &'a Progress,
    ) -> Call<'a, String>;

    /// Makes an image of a file system and writes it into an empty file, as one archive that `docker load` reads.
    fn export<'a>(&'a self, image: &'a ImageSpec, to: std::fs::File) -> Call<'a, ()>;

    /// Removes all that the session made and has not kept, running or not. The engine value is of no use afterwards.
    fn close(&self) -> Call<'_, ()>;

    /// As [`close`](Self::close), for a program that is about to end: nothing runs any more when this returns, but for
    /// what was [handed over](Instance::leave), and the removal of what is dead may go on without this process, where the
    /// engine has somebody to see to it.
    fn leave(&self) -> Call<'_, ()> {
        self.close()
    }
}

/// Which engine this is.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// `docker`, for example.
    pub(crate) name: &'static str,
    /// The engine's own version.
    pub(crate) version: String,
    /// The default platform, as `os/architecture`, for example `linux/amd64`.
    pub(crate) platform: String,
}

/// An image that is there.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// What identifies the image, whatever tag it was found by and whichever engine has it: the digest of what is used of its
    /// configuration.
    pub(crate) id: ContentDigest,
    pub(crate) snapshot: Snapshot,
    pub(crate) config: ImageConfig,
    /// What it is made for, as `os/architecture[/variant]`.
    pub(crate) platform: String,
}

/// An image's configuration (OCI image specification, "config").
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct ImageConfig {
    pub(crate) env: Vec<(String, String)>,
    pub(crate) workdir: String,
    pub(crate) user: String,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) stop_signal: Option<String>,
    pub(crate) healthcheck: Option<Healthcheck>,
    /// For a health check in shell form; `/bin/sh -c` where the image says nothing.
    pub(crate) shell: Vec<String>,
    /// `6379/tcp`, for example.
    pub(crate) exposed_ports: Vec<String>,
    /// Paths.
    pub(crate) volumes: Vec<String>,
    pub(crate) labels: std::collections::BTreeMap<String, String>,
}

/// An image's `HEALTHCHECK`; zero where the image says nothing.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", "…"]`.
    pub(crate) test: Vec<String>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) start_period: Duration,
    pub(crate) retries: u32,
}

/// The right to run a step, given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim(#[expect(dead_code, reason = "it is there to be dropped")] Option<Box<dyn Held>>);

impl Claim {
    #[cfg(native_engine)]
    pub(crate) fn new(held: impl Held + 'static) -> Self {
        Self(Some(Box::new(held)))
    }
}

/// Something that ends when it is dropped.
pub(crate) trait Held: Send + Sync + fmt::Debug {}

/// What a step left behind.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) snapshot: Snapshot,
    pub(crate) output: Recording,
}

/// A process to run, complete: nothing is taken from the image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Process {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Variables that hold secrets: given to the process, never stored in a snapshot, never shown.
    pub(crate) secret_env: Vec<(String, String)>,
    pub(crate) workdir: String,
    /// `name`, `uid`, `name:group`, `uid:gid`; empty for root.
    pub(crate) user: String,
    /// What it sees as its host's name; the engine's choice for steps and the service's own name where it is `None`.
    pub(crate) hostname: Option<String>,
    /// Whether it has all the rights that the engine can give.
    pub(crate) privileged: bool,
    /// Processors, as a number that may be a fraction; no limit otherwise.
    pub(crate) cpu: Option<f64>,
    /// Memory in bytes, with all that it starts; no limit otherwise.
    pub(crate) memory: Option<u64>,
    /// Processes and threads, with all that it starts; no limit otherwise.
    pub(crate) pids: Option<u32>,
    /// Files that each process may have open; the engine's default otherwise.
    pub(crate) nofile: Option<u32>,
    /// Shown to the engine's users.
    pub(crate) labels: Vec<(String, String)>,
}

/// Something put into a file system before the process runs.
#[derive(Debug, Clone)]
pub(crate) enum Placement {
    /// A file with these contents, mode 0644, owner root; missing parents are made with mode 0755.
    File { path: String, contents: Written },
    /// What another snapshot has at `from`: a directory's contents, where that ends in `/`, go to the directory `to` (made
    /// when missing), a file goes to the path `to`. Owners and modes are kept.
    Copy { snapshot: Snapshot, from: String, to: String, existing: Existing },
}

/// Why a file cannot take the place of what is at a path.
pub(crate) fn not_a_file(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    format!(
        "a file cannot be mounted at `{path}`: a directory is there\n\nhelp: mount it below, at `{path}/NAME`, or \
         remove `{name}` in a step before"
    )
}

/// A service that a process can reach: by any of these names, and by no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The service's own, content-addressed name; an [`ServiceSpec::hostname`] of this session.
    pub(crate) hostname: String,
    /// The aliases of this binding; the hostname itself resolves too.
    pub(crate) aliases: Vec<String>,
}

/// Where a step or a service starts from.
#[derive(Debug, Clone)]
pub(crate) struct Filesystem {
    pub(crate) base: Snapshot,
    /// In the order that they are put there.
    pub(crate) placements: Vec<Placement>,
    /// Over all that was placed; the outer before the inner, no two at one path.
    pub(crate) mounts: Vec<Mount>,
}

/// Something that is there while a process runs, and no part of what it leaves.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// Where, in the process's file system; made when missing.
    pub(crate) path: String,
    pub(crate) source: MountSource,
    pub(crate) access: Access,
}

/// What is mounted.
#[derive(Clone)]
pub(crate) enum MountSource {
    /// A cache volume, by its key. A new one has first what the file system has at the path it is mounted at.
    Cache(String),
    /// What a snapshot has at a path: a directory where it ends in `/`, else a file. Never written to.
    Snapshot { snapshot: Snapshot, from: String },
    /// A file with these contents, in memory, mode 0400, owned by the process's user. Nothing of it is ever stored.
    Secret(Arc<[u8]>),
    /// An empty directory in memory, for each process its own.
    Memory,
    /// A Unix socket of the engine's machine, by its path there.
    Socket(String),
}

impl fmt::Debug for MountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(key) => write!(f, "Cache({key})"),
            Self::Snapshot { snapshot, from } => write!(f, "Snapshot({}, {from})", snapshot.0),
            Self::Secret(_) => f.write_str("Secret(***)"),
            Self::Memory => f.write_str("Memory"),
            Self::Socket(host) => write!(f, "Socket({host})"),
        }
    }
}

/// A step, ready to be run.
#[derive(Debug, Clone)]
pub(crate) struct StepSpec {
    /// What people call it.
    pub(crate) name: String,
    pub(crate) filesystem: Filesystem,
    /// None for a step that only places files.
    pub(crate) process: Option<Process>,
    /// What the process reads from standard input, which is empty otherwise.
    pub(crate) stdin: Option<Arc<[u8]>>,
    /// How long the process may run before it is killed.
    pub(crate) limit: Option<Duration>,
    pub(crate) links: Vec<Link>,
}

/// A service, ready to be started.
#[derive(Debug, Clone)]
pub(crate) struct ServiceSpec {
    pub(crate) name: String,
    /// A DNS label of 26 characters; unique among the running services of a session.
    pub(crate) hostname: String,
    pub(crate) filesystem: Filesystem,
    pub(crate) process: Process,
    pub(crate) links: Vec<Link>,
}

/// A step whose file system and network are there.
pub(crate) trait Prepared: Send {
    /// Runs the process to its end (if the step has one). `sink` hears every piece of output as it comes. Dropping
    /// the future ends the process and removes what was made.
    fn run(self: Box<Self>, sink: Sink) -> Call<'static, Box<dyn Finished>>;
}

/// A step whose process has ended. Dropping it removes it.
pub(crate) trait Finished: Send {
    fn exit(&self) -> Exit;

    /// Whether the process was killed because its time was over.
    fn timed_out(&self) -> bool;

    /// Puts files into its file system, for [`keep`](Self::keep) and [`hold`](Self::hold) to find.
    fn place(&mut self, placements: Vec<Placement>) -> Call<'_, ()>;

    /// Keeps the file system and the output under a key, for good.
    fn keep(self: Box<Self>, key: Digest, output: Recording) -> Call<'static, Snapshot>;

    /// Keeps the file system until the session closes, under no key: for looking into what failed.
    fn hold(self: Box<Self>) -> Call<'static, Snapshot>;
}

/// A service whose file system and network are there.
pub(crate) trait Startable: Send {
    /// Starts the process and returns once it runs, ready or not. `log` hears every piece of output. Whoever drops this may
    /// have killed what had just begun.
    fn start(self: Box<Self>, log: Sink) -> Call<'static, Arc<dyn Instance>>;
}

/// Caches that a service writes to, and none of another session's.
///
/// What is dropped without having been released stays held, as long as the session and what it has left behind is there;
/// then it is released by whoever clears up after it.
pub(crate) trait HeldCaches: Send + Sync + fmt::Debug {
    /// A service that has them is ready: what it has made of new ones is good, and stays. Not before this has returned.
    fn settle(&self) -> Call<'_, ()>;

    /// The service is gone. Those that were new when they were first held, and that no service that has had them since has
    /// made good, are emptied with the last one: their keys.
    fn release(&self) -> Call<'_, Vec<String>>;
}

/// A cache that a service of another session has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InUse {
    pub(crate) cache: String,
    /// What people call it.
    pub(crate) service: String,
    pub(crate) process: u32,
}

impl InUse {
    /// Who has it, in words.
    pub(crate) fn by(&self) -> String {
        format!("service `{}` of process {} uses it", self.service, self.process)
    }
}

/// A service's running process.
pub(crate) trait Instance: Send + Sync + fmt::Debug {
    /// Waits until the process has ended and all its output has been heard. May be awaited by many.
    fn wait(&self) -> Call<'_, Exit>;

    /// Waits until every one of these ports accepts, trying from the first moment, all at once; a port that opens is
    /// seen within 25 ms. What was last found goes to `progress`.
    fn wait_ports<'a>(&'a self, ports: &'a [Port], progress: &'a ProbeProgress) -> Call<'a, ()>;

    /// Waits until a `GET` of `path` at a TCP port is answered with 2xx or 3xx.
    fn wait_http<'a>(&'a self, port: u16, path: &'a str, progress: &'a ProbeProgress) -> Call<'a, ()>;

    /// Runs a command inside, to its end, with the service's own environment, user and working directory. Of a lot of
    /// output it gives the end.
    fn exec<'a>(&'a self, args: &'a [String]) -> Call<'a, StepOutput>;

    /// Sends a signal by its POSIX name. No error when the process has ended.
    fn signal<'a>(&'a self, signal: &'a str) -> Call<'a, ()>;

    /// Whether its process runs at this moment, although nobody may have been told yet that it has ended.
    fn is_alive(&self) -> Call<'_, bool>;

    /// Removes the service, killing it when it runs. No error when it is gone already.
    fn remove(&self) -> Call<'_, ()>;

    /// Hands the service's end over to somebody who outlives the program: it is sent the signal once all of `users` have
    /// ended, and killed where it takes longer than `within`. Nothing is heard of it any more. `None`, and nothing has
    /// happened, where the engine has nobody to see to it.
    fn leave<'a>(&'a self, _signal: &'a str, _within: Duration, _users: Vec<Left>) -> Call<'a, Option<Left>> {
        Box::pin(async { Ok(None) })
    }
}

/// A service that has been handed over, under the engine's own name for it.
#[derive(Debug, Clone)]
pub(crate) struct Left(pub(crate) i32);

/// Where output goes, piece by piece, cut anywhere.
pub(crate) type Sink = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// Where an engine says what takes long, and what went wrong on the way.
pub(crate) type Progress = dyn Fn(EventKind) + Send + Sync;

/// What probes have found so far, for the error when time runs out.
#[derive(Default)]
pub(crate) struct ProbeProgress {
    found: std::sync::Mutex<Vec<(String, String)>>,
    /// Hears of a probe that fails otherwise than before, and of one that succeeds after that.
    changed: Option<Box<ProbeChanged>>,
}

/// A probe, with what it found unless it succeeded.
type ProbeChanged = dyn Fn(&str, Option<&str>) + Send + Sync;

impl fmt::Debug for ProbeProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProbeProgress").field(&self.found).finish()
    }
}

impl ProbeProgress {
    pub(crate) fn telling(changed: impl Fn(&str, Option<&str>) + Send + Sync + 'static) -> Self {
        Self { found: std::sync::Mutex::default(), changed: Some(Box::new(changed)) }
    }

    /// Notes the last result of a probe, for example `6379/tcp` and `connection refused`; `None` once it succeeded.
    pub(crate) fn note(&self, probe: &str, failure: Option<&str>) {
        let mut found = lock(&self.found);
        let before = found.iter().position(|(name, _)| name == probe).map(|place| found.remove(place).1);
        if let Some(failure) = failure {
            found.push((probe.to_owned(), failure.to_owned()));
        }
        if let Some(changed) = &self.changed
            && before.as_deref() != failure
        {
            changed(probe, failure);
        }
    }

    /// The probes that have not succeeded, with what was last found.
    pub(crate) fn failing(&self) -> Vec<(String, String)> {
        lock(&self.found).clone()
    }
}
