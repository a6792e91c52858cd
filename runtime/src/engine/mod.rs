//! What runs containers, behind one narrow trait for each of its roles.
//!
//! A session speaks to its engine through [`Engine`] alone and knows nothing of Docker; an engine knows nothing of
//! caches, services, health or sharing. Written for more than one engine: nothing here may name what only one has.
//! One `Engine` value belongs to one session: what it starts is registered under that session before it exists, so
//! that nothing leaks when an answer is lost or the process dies.
//!
//! Every call may be dropped at any time: what it had begun is then undone in the background. Every call bounds its
//! own waiting, except those that wait for the user's processes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Access, ContentDigest, Existing, Limits, SecurityContext, Snapshot};

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
mod progress;
mod prune;
mod roles;
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
pub(crate) use self::progress::ProbeProgress;
pub use self::prune::{Prune, Pruned, prune};
pub(crate) use self::roles::{
    Call, Claim, Detached, Engine, Finished, Held, HeldCaches, ImageStore, InUse, Instance, Prepared,
    Progress, ResultStore, Sandbox, Sink, SnapshotReader, Startable,
};

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
    /// What it may do.
    pub(crate) security: SecurityContext,
    /// What it may use, with all that it starts.
    pub(crate) limits: Limits,
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
