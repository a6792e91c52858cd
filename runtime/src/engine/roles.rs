//! The roles of an engine, one trait each, and the objects it returns.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Connection, Flow, Listener, PortNumber};
use super::output::{Recording, StepOutput};
use super::progress::ProbeProgress;
use super::sockets::Listening;
use super::storage::{Prune, Tallies};
use super::{
    Description, Image, ImageSpec, InstanceId, Kept, Placement, ResultTransfer, ServiceSpec, StepSpec, Stored,
};
use crate::Result;
use crate::event::EventKind;
use crate::lock::lock;
use crate::model::{
    CacheKey, Digest, Entry, Exit, ImageName, MadeOf, Port, Provenance, RunId, Snapshot, Stat, Stream,
    WindowSize,
};

/// The result of an engine's call: a future, boxed so that the traits are object-safe.
pub(crate) type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// The result of an attempt to connect: an error is that of the network, which whoever wanted to connect is to see.
pub(crate) type Dialing<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Runs containers for one session: all of an engine's roles, each a trait of its own, and its end.
pub(crate) trait Engine:
    ImageStore + ResultStore + ResultTransfer + SnapshotReader + Sandbox + fmt::Debug
{
    /// Which engine this is and what it runs on.
    fn describe(&self) -> &Description;

    /// Lets everything that another session has looked up since then be in use by this one too, and not be pruned.
    fn uses_since(&self, _when: SystemTime) -> Result<()> {
        Ok(())
    }

    /// Removes what is kept beyond sessions and not in use, as far as it is asked for, and counts what there is.
    fn prune<'a>(&'a self, what: &'a Prune) -> Call<'a, Tallies>;

    /// Removes everything that the session made and did not store, running or not. The engine must not be used
    /// afterwards.
    fn close(&self) -> Call<'_, ()>;

    /// Like [`close`](Self::close), for a program that is about to exit: nothing runs any more when this returns, except
    /// what was [handed over](Instance::leave). The removal of what has stopped may go on without this process, if the
    /// engine has a process that outlives it.
    fn detach(&self) -> Call<'_, ()> {
        self.close()
    }
}

/// Images: found by name, and made of file systems.
pub(crate) trait ImageStore: Send + Sync {
    /// Finds an image, pulling it if it is absent; `progress` is told of a pull.
    fn resolve<'a>(&'a self, image: &'a ImageName, progress: &'a Progress) -> Call<'a, Image>;

    /// Makes an image of a file system and pushes it to a registry, under a reference with a tag; returns the digest of
    /// its manifest, as `sha256:…`. Blobs that the registry already has are not sent. `progress` is told of the push.
    fn publish<'a>(
        &'a self,
        image: &'a ImageSpec,
        name: &'a ImageName,
        progress: &'a Progress,
    ) -> Call<'a, String>;

    /// Makes an image of a file system and writes it to an empty file, as one archive that `docker load` reads.
    fn export<'a>(&'a self, image: &'a ImageSpec, to: std::fs::File) -> Call<'a, ()>;
}

/// Stored results of steps, by key.
pub(crate) trait ResultStore: Send + Sync {
    /// Finds the result that an earlier step stored under this key, in this run or another, if nothing that it was made of
    /// has been run again since. Its files may be gone.
    fn lookup<'a>(&'a self, key: &'a Digest) -> Call<'a, Option<Kept>>;

    /// The same for who has looked before, and now wants to know what processes of this machine have stored since: an engine
    /// that is asked by requests need not be asked again.
    fn lookup_anew<'a>(&'a self, key: &'a Digest) -> Call<'a, Option<Kept>> {
        self.lookup(key)
    }

    /// Takes note of the run that the session sees, stored or not: what was made of another one is not found any more. Says
    /// whether the session may have such results already; then it asks of each whether it [still counts](Self::is_current).
    fn sees(&self, key: &Digest, from: &Provenance) -> bool;

    /// Whether nothing that a result was made of, however far below, has been run again since.
    fn is_current(&self, from: &Provenance) -> bool;

    /// Claims the right to run the step with this key and timeout. Waits while another process holds the claim, and then
    /// tells `waiting` so, once; nobody else runs the step while the claim is held. Where processes cannot know of each
    /// other, every claim is granted.
    fn claim<'a>(
        &'a self,
        _key: &'a Digest,
        _limit: Option<Duration>,
        _waiting: &'a (dyn Fn() + Sync),
    ) -> Call<'a, Claim> {
        Box::pin(async { Ok(Claim::granted()) })
    }

    /// Makes a file system of a tar archive and stores it under a key for good, as if a step had left it. An error
    /// instead of a piece ends the import, and nothing is stored.
    fn import<'a>(
        &'a self,
        key: &'a Digest,
        archive: tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>,
    ) -> Call<'a, Snapshot>;
}

/// Reads file systems.
pub(crate) trait SnapshotReader: Send + Sync {
    /// The metadata of a path in a snapshot; `None` when nothing is there. A symbolic link in the path's last part is
    /// followed.
    fn stat<'a>(&'a self, snapshot: &'a Snapshot, path: &'a str) -> Call<'a, Option<Stat>>;

    /// The entries of a directory, in any order, each once.
    fn list<'a>(&'a self, snapshot: &'a Snapshot, path: &'a str) -> Call<'a, Vec<Entry>>;

    /// The file or directory at a path as one tar archive; entries are relative, below the path's last part. Pieces of
    /// the archive go to `sink`, in order; the call ends with the archive. `sink` applies back-pressure by completing
    /// late, and ends the transfer with an error.
    fn read<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        path: &'a str,
        sink: tokio::sync::mpsc::Sender<Vec<u8>>,
    ) -> Call<'a, ()>;
}

/// Runs processes, in file systems and networks of their own.
pub(crate) trait Sandbox: Send + Sync {
    /// Tells that something will run, with services or without, before it is known what: an engine may begin what that will
    /// wait for.
    fn expect(&self, _services: bool) {}

    /// Prepares a step: everything but running it. This may be called before the step's services are ready.
    fn prepare(&self, step: StepSpec) -> Call<'_, Box<dyn Prepared>>;

    /// Waits until no other session holds any of these caches, and holds them for a service or a container of this name;
    /// `waiting` is told once of each that holds one. One session may hold a cache for several: it knows who may share it.
    fn lock_caches<'a>(
        &'a self,
        user: &'a str,
        caches: &'a [CacheKey],
        waiting: &'a (dyn Fn(InUse) + Sync),
    ) -> Call<'a, Arc<dyn CacheLocks>>;

    /// Prepares a service: everything but its process.
    fn prepare_service(&self, service: ServiceSpec) -> Call<'_, Box<dyn Startable>>;

    /// Makes an address in the session's network at which the pipeline itself serves these ports, for clients that are
    /// [linked](super::Link) to this instance.
    fn listen<'a>(
        &'a self,
        name: &'a str,
        instance: &'a InstanceId,
        ports: &'a [PortNumber],
    ) -> Call<'a, Ingress>;

    /// Starts a service and returns once its process runs, ready or not. `log` receives every piece of output.
    #[cfg(test)]
    fn start(&self, service: ServiceSpec, log: Sink) -> Call<'_, Arc<dyn Instance>> {
        Box::pin(async move { self.prepare_service(service).await?.start(log).await })
    }
}

/// A step whose file system and network exist.
pub(crate) trait Prepared: Send {
    /// Runs the process to its end (if the step has one). `sink` receives every piece of output as it comes. Dropping the
    /// future kills the process and removes what was made.
    fn run(self: Box<Self>, sink: Sink) -> Call<'static, Box<dyn Finished>>;

    /// Starts the process of a step that was prepared with a [terminal](StepSpec::terminal). Dropping the terminal kills
    /// the process and removes what was made.
    fn open(self: Box<Self>) -> Call<'static, Terminal>;
}

/// A step whose process has ended. Dropping it removes its file system.
pub(crate) trait Finished: Send {
    fn exit(&self) -> Exit;

    /// Whether the process was killed at its timeout.
    fn timed_out(&self) -> bool;

    /// Puts files into its file system, before [`keep`](Self::keep) or [`hold`](Self::hold).
    fn place(&mut self, placements: Vec<Placement>) -> Call<'_, ()>;

    /// Which run of the step it is.
    fn run_id(&self) -> RunId;

    /// Stores the output under a key, for good, with what it was made of. The file system is there as long as the session
    /// lives; whether it is kept beyond that depends on what that costs, and on whether somebody needs it.
    fn keep(self: Box<Self>, key: Digest, output: Recording, made_of: Vec<MadeOf>) -> Call<'static, Stored>;

    /// Keeps the file system until the session closes, without a key: for reading what a failed step left.
    fn hold(self: Box<Self>) -> Call<'static, Snapshot>;
}

/// A service whose file system and network exist.
pub(crate) trait Startable: Send {
    /// Starts the process and returns once it runs, ready or not. `log` receives every piece of output. Dropping the
    /// future may kill a process that has just begun.
    fn start(self: Box<Self>, log: Sink) -> Call<'static, Arc<dyn Instance>>;
}

/// An address in the session's network at which the pipeline serves.
pub(crate) struct Ingress {
    /// The listeners, in the order of the ports that were asked for.
    pub(crate) listeners: Vec<Listener>,
    pub(crate) place: Box<dyn Place>,
}

/// Where an [`Ingress`] is. Dropping it removes it in the background.
pub(crate) trait Place: Send + Sync {
    /// Waits until it is gone, although nobody removed it: the error is the reason.
    fn lost(&self) -> Call<'_, ()>;

    /// Removes it. It is no error if it is already gone.
    fn remove(&self) -> Call<'_, ()>;
}

/// Cache volumes that a service writes to, held against other sessions.
///
/// If this is dropped without being released, the caches stay held while the session, and whatever it left running,
/// exists; then whoever cleans up after the session releases them.
pub(crate) trait CacheLocks: Send + Sync + fmt::Debug {
    /// A service that holds the caches is ready: what it wrote to new ones is valid and stays, but only once this has
    /// returned.
    fn settle(&self) -> Call<'_, ()>;

    /// The service is gone. Caches that were new when they were first held, and that no holder since has settled, are
    /// emptied when the last holder releases them; returns their keys.
    fn release(&self) -> Call<'_, Vec<CacheKey>>;
}

/// A cache held by somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InUse {
    pub(crate) cache: CacheKey,
    /// The name of the service or the container that holds it.
    pub(crate) user: String,
    /// Whose that is, in words: `process 4711`.
    pub(crate) owner: String,
}

impl InUse {
    /// The holder, in words.
    pub(crate) fn by(&self) -> String {
        format!("`{}` of {} uses it", self.user, self.owner)
    }
}

/// A service's running process.
pub(crate) trait Instance: Send + Sync + fmt::Debug {
    /// Waits until the process has ended and all its output was delivered. Any number of callers may wait.
    fn wait(&self) -> Call<'_, Exit>;

    /// Waits until every one of these ports accepts, probing all at once from the first moment; an open port is noticed
    /// within 25 ms. The latest findings go to `progress`.
    fn wait_ports<'a>(&'a self, ports: &'a [Port], progress: &'a ProbeProgress) -> Call<'a, ()>;

    /// Waits until a `GET` of `path` at a TCP port is answered with 2xx or 3xx.
    fn wait_http<'a>(&'a self, port: u16, path: &'a str, progress: &'a ProbeProgress) -> Call<'a, ()>;

    /// The sockets in its network that wait for clients, at whatever address; `None` if its network is not its own. Nothing
    /// in its image is needed for that. Of one that has ended nothing can be told: then this may fail, or never return.
    fn listening(&self) -> Call<'_, Option<BTreeSet<Listening>>>;

    /// Connects to one of its TCP ports, as its clients do.
    fn connect(&self, port: u16) -> Dialing<'_, Connection>;

    /// Opens a flow of datagrams to one of its UDP ports.
    fn flow(&self, port: u16) -> Dialing<'_, Flow>;

    /// Its address in the network that its clients are in.
    fn address(&self) -> Call<'_, IpAddr>;

    /// Runs a command in the service to its end. `sink` receives every piece of output that was written by then; what the
    /// command leaves running is not waited for. Dropping the future kills the command, with what it started.
    fn execute(&self, command: Command, sink: Sink) -> Call<'_, Ended>;

    /// Starts a command in the service that has a terminal. Dropping the terminal kills the command.
    fn open(&self, command: Command, size: WindowSize) -> Call<'_, Terminal>;

    /// Runs a command that probes the service. Of long output only the end is returned.
    fn exec<'a>(&'a self, args: &'a [String]) -> Call<'a, StepOutput> {
        Box::pin(async move {
            let output = Arc::new(Mutex::new(StepOutput::default()));
            let heard = Arc::clone(&output);
            let sink: Sink = Arc::new(move |stream, piece: &[u8]| lock(&heard).hear_end(stream, piece));
            let ended = self.execute(Command::probe(args), sink).await?;
            let output = std::mem::take(&mut *lock(&output));
            Ok(StepOutput { exit_code: ended.exit.code, ..output })
        })
    }

    /// Sends a signal by its POSIX name. It is no error if the process has ended.
    fn signal<'a>(&'a self, signal: &'a str) -> Call<'a, ()>;

    /// Whether its process runs at this moment. The answer may precede the report of its end.
    fn is_alive(&self) -> Call<'_, bool>;

    /// Stores the file system under a key for good, as if a step had left it. The process must have ended, and nothing else
    /// can be done with the service but to remove it.
    fn keep(&self, key: Digest, made_of: Vec<MadeOf>) -> Call<'_, Snapshot>;

    /// Removes the service, killing it if it runs. It is no error if it is already gone.
    fn remove(&self) -> Call<'_, ()>;

    /// Detaches the service to a process that outlives the program: that process sends the signal once all of `users`
    /// have ended, and SIGKILL after `within`. Nothing more is reported of the service. Returns `None`, and does nothing,
    /// if the engine has no such process.
    fn detach<'a>(
        &'a self,
        _signal: &'a str,
        _within: Duration,
        _users: Vec<Detached>,
    ) -> Call<'a, Option<Detached>> {
        Box::pin(async { Ok(None) })
    }
}

/// A command in a running service. It has the environment, user and working directory of the service's own process,
/// except what is given here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) args: Vec<String>,
    /// Variables, which replace the service's of the same name.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) user: Option<String>,
    /// The absolute working directory.
    pub(crate) workdir: Option<String>,
    /// The contents of standard input; `None` for an empty one.
    #[serde(with = "super::bytes::optional")]
    pub(crate) stdin: Option<Arc<[u8]>>,
    /// The timeout, after which the command is killed.
    pub(crate) limit: Option<Duration>,
    /// Whether it only looks: then an engine that needs more than a signal to kill it may let it end by itself.
    pub(crate) is_probe: bool,
}

impl Command {
    fn probe(args: &[String]) -> Self {
        let args = args.to_vec();
        Self { args, env: Vec::new(), user: None, workdir: None, stdin: None, limit: None, is_probe: true }
    }

    /// The program, for messages.
    pub(in crate::engine) fn program(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }
}

/// How a command in a service ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// Whether it was killed at its timeout.
    pub(crate) timed_out: bool,
}

/// The terminal of a process, from the side of whoever sits at it.
pub(crate) struct Terminal {
    /// What is typed.
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
    /// What is shown. It ends, with or without an error, when nothing has the terminal open any more.
    pub(crate) output: Pin<Box<dyn AsyncRead + Send>>,
    pub(crate) process: Box<dyn Attached>,
}

/// The process of a [`Terminal`]. Dropping it kills the process.
pub(crate) trait Attached: Send + Sync {
    fn resize(&self, size: WindowSize) -> Call<'_, ()>;

    /// Waits for its end. What it left running may still have the terminal.
    fn wait(&self) -> Call<'_, Exit>;
}

/// A detached service, by the engine's own name for it, which only that engine understands.
#[derive(Debug, Clone)]
pub(crate) struct Detached(pub(in crate::engine) String);

/// Receives output, piece by piece, cut anywhere.
pub(crate) type Sink = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// Receives an engine's reports of long transfers and of warnings.
pub(crate) type Progress = dyn Fn(EventKind) + Send + Sync;

/// The right to run a step; released when dropped.
#[derive(Debug)]
pub(crate) struct Claim(#[expect(dead_code, reason = "it is there to be dropped")] Option<Box<dyn Held>>);

impl Claim {
    /// One that nobody can hold against another.
    pub(crate) fn granted() -> Self {
        Self(None)
    }

    #[cfg(unix)]
    pub(crate) fn new(held: impl Held + 'static) -> Self {
        Self(Some(Box::new(held)))
    }
}

/// A guard: something that ends when it is dropped.
pub(crate) trait Held: Send + Sync + fmt::Debug {}

#[cfg(unix)]
impl Held for crate::flock::FileLock {}
