//! Engines run containers, behind one narrow trait for each of their roles.
//!
//! A session uses its engine only through [`Engine`] and knows nothing of Docker; an engine knows nothing of caching, of
//! services as clients see them, of health or of sharing. There are several engines, so nothing here may name what only
//! one has. One `Engine` value belongs to one session: what it starts is registered under that session before it exists,
//! so that nothing leaks if an answer is lost or the process dies.
//!
//! Every call may be dropped at any time: what it had begun is then undone in the background. Every call has a timeout,
//! except those that wait for the user's processes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    Access, CacheKey, ContentDigest, Digest, Existing, Hostname, Limits, SecurityContext, Snapshot,
    WindowSize,
};

mod blocking;
mod bytes;
#[cfg(feature = "docker")]
mod channel;
mod choice;
#[cfg(any(feature = "docker", native_engine))]
mod command;
mod connection;
#[cfg(feature = "docker")]
pub(crate) mod docker;
mod doctor;
#[cfg(any(feature = "docker", native_engine))]
mod ending;
#[cfg(all(any(test, fuzzing), feature = "docker", native_engine))]
pub mod fuzz;
mod host;
mod kept;
#[cfg(native_engine)]
pub(crate) mod native;
mod oci;
mod output;
mod probe;
mod progress;
mod prune;
#[cfg(any(feature = "docker", native_engine))]
mod record;
#[cfg(any(feature = "registry", native_engine))]
mod registry;
mod remote_cache;
mod roles;
#[cfg(any(feature = "docker", native_engine))]
mod runs;
mod sockets;
#[cfg(native_engine)]
mod source;
#[cfg_attr(not(any(feature = "docker", native_engine)), allow(dead_code, reason = "no engine is built"))]
mod storage;
mod transfer;
#[cfg(any(feature = "docker", native_engine))]
mod turns;
#[cfg(any(feature = "docker", native_engine))]
mod user;

#[cfg(test)]
#[cfg(feature = "docker")]
mod testing;

pub(crate) use self::choice::{check_environment, open};
pub(crate) use self::connection::{Connection, Datagrams, Flow, Incoming, Listener, PortNumber, Relayed};
pub use self::doctor::{Diagnosis, doctor};
pub(crate) use self::host::{HostDialler, HostEnded, HostInstance};
pub(crate) use self::kept::{Choice, Files, Kept, NoFiles, Stored, TakeOver};
pub(crate) use self::oci::{ImageSpec, Packed};
#[cfg(feature = "docker")]
pub(crate) use self::output::Elsewhere;
pub use self::output::OutputReader;
pub(crate) use self::output::{Recording, Spool, StepOutput, Written, place, read_at, unnamed};
pub(crate) use self::probe::{is_silence, name_of_page};
pub(crate) use self::progress::ProbeProgress;
pub use self::prune::{KindUsage, Pruned, Usage, prune, usage};
pub(crate) use self::prune::{keep_small, kept_size};
pub(crate) use self::remote_cache::{Entry, Facts, Place as CachePlace, RemoteCache, Trouble};
pub(crate) use self::roles::{
    Attached, CacheLocks, Call, Claim, Command, Detached, Dialing, Ended, Engine, Finished, Held, ImageStore,
    InUse, Ingress, Instance, Place, Prepared, Progress, ResultStore, Sandbox, Sink, SnapshotReader,
    Startable, Terminal,
};
pub(crate) use self::sockets::Listening;
pub(crate) use self::storage::Tallies;
pub use self::storage::{Prune, StoredKind};
pub(crate) use self::transfer::{Arrival, LayerSink, LayerSource, Layers, ResultTransfer};

/// Identifies an engine.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// `docker`, for example.
    pub(crate) name: &'static str,
    /// The engine's own version.
    pub(crate) version: String,
    /// The default platform, as `os/architecture`, for example `linux/amd64`.
    pub(crate) platform: String,
    /// Where it is: what tells it from others of its name.
    pub(crate) place: String,
}

/// An image that the engine has.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The image's identity, whatever tag it was found by and whichever engine has it: the digest of the part of its
    /// configuration that is used.
    pub(crate) id: ContentDigest,
    pub(crate) snapshot: Snapshot,
    pub(crate) config: ImageConfig,
    /// The platform it was built for, as `os/architecture[/variant]`.
    pub(crate) platform: String,
    /// The digests of its uncompressed layers, the lowest first; none where they are not known.
    pub(crate) layers: Vec<ContentDigest>,
    /// The digest of its manifest, or of its index, in the registry of the reference that it was found by, if it came from
    /// there.
    pub(crate) digest: Option<ContentDigest>,
}

/// An image's configuration (OCI image specification, "config").
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ImageConfig {
    pub(crate) env: Vec<(String, String)>,
    pub(crate) workdir: String,
    pub(crate) user: String,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) stop_signal: Option<String>,
    pub(crate) healthcheck: Option<Healthcheck>,
    /// The shell of a health check in shell form; if the image does not say, `/bin/sh -c` is used.
    pub(crate) shell: Vec<String>,
    /// Ports as in `6379/tcp`.
    pub(crate) exposed_ports: Vec<String>,
    /// Paths of volumes.
    pub(crate) volumes: Vec<String>,
    pub(crate) labels: std::collections::BTreeMap<String, String>,
}

/// An image's `HEALTHCHECK`; durations and counts are zero where the image does not give them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", "…"]`.
    pub(crate) test: Vec<String>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) start_period: Duration,
    pub(crate) retries: u32,
}

/// A process to run, complete: nothing is added from the image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Variables that hold secrets: passed to the process, never stored in a snapshot, never shown.
    pub(crate) secret_env: Vec<(String, String)>,
    /// The absolute working directory.
    pub(crate) workdir: String,
    /// `name`, `uid`, `name:group`, `uid:gid`; empty for root.
    pub(crate) user: String,
    /// Its host name; `None` means the engine's choice for a step, and the service's own name for a service.
    pub(crate) hostname: Option<String>,
    /// What it may do.
    pub(crate) security: SecurityContext,
    /// What it may use, with all that it starts.
    pub(crate) limits: Limits,
    /// Labels for the engine's users.
    pub(crate) labels: Vec<(String, String)>,
}

/// Something put into a file system before the process runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Placement {
    /// A file with these contents, mode 0644, owner root; missing parent directories are created with mode 0755.
    File {
        path: String,
        #[serde(with = "bytes::of_written")]
        contents: Written,
    },
    /// A copy from another snapshot: if `from` ends in `/`, that directory's contents go into the directory `to` (created
    /// if missing); otherwise the file goes to the path `to`. Owners and modes are preserved.
    Copy { snapshot: Snapshot, from: String, to: String, existing: Existing },
}

/// The error for placing a file over something at a path that it cannot replace.
pub(crate) fn not_a_file(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    format!(
        "a file cannot be mounted at `{path}`: a directory is there\n\nhelp: mount it below, at `{path}/NAME`, or \
         remove `{name}` in a step before"
    )
}

/// An instance of a service in a session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct InstanceId {
    /// What it takes for its own name: a DNS label of 26 characters. A service that is made of other files has the same.
    pub(crate) hostname: Hostname,
    /// Distinguishes it from all others.
    pub(crate) key: Digest,
}

/// A service that a process can reach, by these names and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// A [`ServiceSpec::instance`] of this session.
    pub(crate) instance: InstanceId,
    /// The names, that which the user gave first.
    pub(crate) names: Vec<String>,
}

/// The file system that a step or a service starts in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Filesystem {
    pub(crate) base: Snapshot,
    /// In the order in which they are placed.
    pub(crate) placements: Vec<Placement>,
    /// Mounted over everything placed; outer before inner, at most one at each path.
    pub(crate) mounts: Vec<Mount>,
}

/// A mount: visible while a process runs, and not part of what the process leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// The mount point in the process's file system; created if missing.
    pub(crate) path: String,
    pub(crate) source: MountSource,
    pub(crate) access: Access,
}

/// The source of a mount.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum MountSource {
    /// A cache volume, by its key. A new volume is filled with what the file system has at the mount point.
    Cache(CacheKey),
    /// A path in a snapshot: a directory if it ends in `/`, else a file. Never written to.
    Snapshot { snapshot: Snapshot, from: String },
    /// A file with these contents, in memory, mode 0400, owned by the process's user. It is never stored.
    Secret(#[serde(with = "bytes::shared")] Arc<[u8]>),
    /// A tmpfs: an empty directory in memory, private to each process.
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

/// A step to run.
#[derive(Debug, Clone)]
pub(crate) struct StepSpec {
    /// The name for people.
    pub(crate) name: String,
    pub(crate) filesystem: Filesystem,
    /// `None` for a step that only places files.
    pub(crate) process: Option<Process>,
    /// The contents of standard input; `None` for an empty one.
    pub(crate) stdin: Option<Arc<[u8]>>,
    /// The timeout, after which the process is killed.
    pub(crate) limit: Option<Duration>,
    pub(crate) links: Vec<Link>,
    /// The size of the process's terminal, if it is to have one: then it is [opened](Prepared::open), and not run.
    pub(crate) terminal: Option<WindowSize>,
    /// Whether another step will [take over](Files::take_over) what it leaves, and nothing else needs that, as far as is
    /// known.
    #[cfg_attr(
        not(feature = "docker"),
        allow(dead_code, reason = "natively everything is kept, as it costs nothing")
    )]
    pub(crate) is_taken_over: bool,
}

/// A service to start. It can be passed to another process, which has the same engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServiceSpec {
    pub(crate) name: String,
    pub(crate) instance: InstanceId,
    pub(crate) filesystem: Filesystem,
    pub(crate) process: Process,
    pub(crate) links: Vec<Link>,
}

impl ServiceSpec {
    /// The cache volumes that it writes to, each once.
    pub(crate) fn written_caches(&self) -> Vec<CacheKey> {
        let written = self.filesystem.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Cache(key) if mount.access == Access::ReadWrite => Some(key.clone()),
            _ => None,
        });
        let caches: std::collections::BTreeSet<CacheKey> = written.collect();
        caches.into_iter().collect()
    }
}
