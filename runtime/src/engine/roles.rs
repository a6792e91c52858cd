//! An engine's roles, and what it hands out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::output::{Recording, StepOutput};
use super::progress::ProbeProgress;
use super::{Description, Image, ImageSpec, Kept, Placement, ServiceSpec, StepSpec};
use crate::Result;
use crate::event::EventKind;
use crate::model::{Digest, Entry, Exit, ImageName, Port, Snapshot, Stat, Stream};

/// What an engine's call gives: a future, boxed so that the trait can be an object.
pub(crate) type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A thing that runs containers for one session: all of an engine's roles, each a trait of its own, and its end.
pub(crate) trait Engine: ImageStore + ResultStore + SnapshotReader + Sandbox + fmt::Debug {
    /// Which engine this is and what it runs on.
    fn describe(&self) -> &Description;

    /// Removes all that the session made and has not kept, running or not. The engine value is of no use afterwards.
    fn close(&self) -> Call<'_, ()>;

    /// As [`close`](Self::close), for a program that is about to end: nothing runs any more when this returns, but for
    /// what was [handed over](Instance::leave), and the removal of what is dead may go on without this process, where the
    /// engine has somebody to see to it.
    fn leave(&self) -> Call<'_, ()> {
        self.close()
    }
}

/// Images: found by their names, and made of file systems.
pub(crate) trait ImageStore: Send + Sync {
    /// Finds an image, pulling it when it is absent; `progress` hears of a pull.
    fn resolve<'a>(&'a self, image: &'a ImageName, progress: &'a Progress) -> Call<'a, Image>;

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
}

/// What steps have left, under their keys.
pub(crate) trait ResultStore: Send + Sync {
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
}

/// What is in file systems.
pub(crate) trait SnapshotReader: Send + Sync {
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
}

/// Processes, in file systems and networks of their own.
pub(crate) trait Sandbox: Send + Sync {
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
    /// Whose service it is, in words: `process 4711`.
    pub(crate) owner: String,
}

impl InUse {
    /// Who has it, in words.
    pub(crate) fn by(&self) -> String {
        format!("service `{}` of {} uses it", self.service, self.owner)
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
    fn leave<'a>(
        &'a self,
        _signal: &'a str,
        _within: Duration,
        _users: Vec<Detached>,
    ) -> Call<'a, Option<Detached>> {
        Box::pin(async { Ok(None) })
    }
}

/// A service that has been handed over, under the engine's own name for it: nobody else knows what that means.
#[derive(Debug, Clone)]
pub(crate) struct Detached(pub(in crate::engine) String);

/// Where output goes, piece by piece, cut anywhere.
pub(crate) type Sink = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// Where an engine says what takes long, and what went wrong on the way.
pub(crate) type Progress = dyn Fn(EventKind) + Send + Sync;

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
