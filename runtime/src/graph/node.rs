//! The nodes of the graph, made of values by checking and folding them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::locations::Locations;
use crate::model::{
    Access, CacheUse, Digest, Existing, HostServer, Hostname, ImageName, Limits, Location, Port,
    SecurityContext, SessionId, Snapshot,
};
use crate::value::{Check, ExecOptions, LocalSource, Prepare, Secret};

/// A file system, by what makes it.
#[derive(Debug, Clone)]
pub(crate) enum Fs {
    /// An image by its name, and where it is named.
    Image(ImageName, Location),
    /// Files of the pipeline's machine, and where they are asked for.
    Local(Arc<LocalSource>, Location),
    /// The file system that a failed step left.
    Held(Arc<Held>),
    /// The file system that a step leaves.
    Step(Arc<Step>),
    /// The file system that a service leaves once the program has prepared it.
    Prepared(Arc<Prepared>),
}

/// A service that the program prepares, so that others start from what it leaves.
pub(crate) struct Prepared {
    pub(crate) service: Arc<ServiceNode>,
    /// The user's key, which stands for what `prepare` does.
    pub(crate) key: String,
    pub(crate) prepare: Prepare,
    /// Where the preparation is written.
    pub(crate) at: Location,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("service", &self.service)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The file system that a failed step left, which the engine of a session holds while the session lives.
#[derive(Debug)]
pub(crate) struct Held {
    /// The engine's name for it.
    pub(crate) snapshot: Snapshot,
    /// The session that holds it.
    pub(crate) session: SessionId,
    /// What the step ran with: its configuration, its mounts, its services.
    pub(crate) config: Arc<Config>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) bindings: Vec<Binding>,
    /// Keeps those services from being stopped.
    #[expect(dead_code, reason = "it is there to be dropped")]
    pub(crate) pins: Arc<dyn std::any::Any + Send + Sync>,
}

/// One command run in a file system, or files placed in it.
#[derive(Debug)]
pub(crate) struct Step {
    /// The definition's identity, with images by reference; see [`super::Identities`] for the key that results are kept
    /// under.
    pub(crate) digest: Digest,
    /// The item it belongs to.
    pub(crate) name: Arc<str>,
    /// Where it is written: several places if equal steps are one.
    pub(crate) locations: Locations,
    /// The file system that it starts in.
    pub(crate) base: Fs,
    /// What is put into that file system before the command runs.
    pub(crate) places: Vec<Place>,
    /// The command; `None` for a step that only places files or only comes after others.
    pub(crate) args: Option<Vec<String>>,
    pub(crate) options: ExecOptions,
    /// Whether the result must not outlive the session: this step, or one it depends on, is `uncached`.
    pub(crate) is_volatile: bool,
    /// Which steps before it have to be looked at first.
    pub(crate) expiring: Expiring,
    /// Whether it goes on from an earlier step of its own container, at which no other value ends.
    pub(crate) goes_on: bool,
    pub(crate) config: Arc<Config>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) bindings: Vec<Binding>,
    /// Steps that must have succeeded before, as `after` asks.
    pub(crate) after: Vec<Arc<Step>>,
}

/// The nearest steps before a step or service whose results are taken for a limited time: each is found or run before a
/// result is looked for that was made of theirs.
pub(crate) type Expiring = Arc<[Arc<Step>]>;

impl Step {
    /// The steps whose results this one needs before it can run.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Arc<Step>> {
        made_of(Some(&self.base), &self.places, &self.mounts).chain(&self.after)
    }

    /// Whether it changes nothing, and only comes after others.
    pub(crate) fn passes_by(&self) -> bool {
        self.args.is_none() && self.places.is_empty()
    }

    /// The value of [`is_volatile`](Self::is_volatile) that follows from the step's parts.
    pub(crate) fn would_be_volatile(&self) -> bool {
        self.options.uncached
            || self.inputs().any(|input| input.is_volatile)
            || self.bindings.iter().any(|binding| binding.service.is_volatile())
    }

    /// The prepared services whose file systems it has.
    pub(crate) fn prepared(&self) -> impl Iterator<Item = &Arc<Prepared>> {
        prepared(Some(&self.base), &self.places, &self.mounts)
    }
}

/// The prepared services whose file systems these are.
fn prepared<'a>(
    base: Option<&'a Fs>,
    places: &'a [Place],
    mounts: &'a [Mount],
) -> impl Iterator<Item = &'a Arc<Prepared>> {
    parts(base, places, mounts).filter_map(|fs| match fs {
        Fs::Prepared(prepared) => Some(prepared),
        Fs::Image(..) | Fs::Local(..) | Fs::Held(_) | Fs::Step(_) => None,
    })
}

/// The steps that make a file system and what is placed in it.
fn made_of<'a>(
    base: Option<&'a Fs>,
    places: &'a [Place],
    mounts: &'a [Mount],
) -> impl Iterator<Item = &'a Arc<Step>> {
    parts(base, places, mounts).filter_map(|fs| match fs {
        Fs::Step(step) => Some(step),
        Fs::Image(..) | Fs::Local(..) | Fs::Held(_) | Fs::Prepared(_) => None,
    })
}

/// A file system and all others that are placed or mounted in it.
fn parts<'a>(base: Option<&'a Fs>, places: &'a [Place], mounts: &'a [Mount]) -> impl Iterator<Item = &'a Fs> {
    let copied = places.iter().filter_map(|place| match place {
        Place::Copy { fs, .. } => Some(fs),
        Place::File { .. } => None,
    });
    base.into_iter().chain(copied).chain(mounts.iter().filter_map(|mount| mount.source.fs()))
}

/// Something put into a file system before a step or service runs.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    File {
        path: String,
        contents: Arc<[u8]>,
    },
    /// A directory if `from` ends in `/`, else a file.
    Copy {
        fs: Fs,
        from: String,
        to: String,
        existing: Existing,
    },
}

/// A mount: visible while a process runs, and not part of what the process leaves.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// The absolute path in the container.
    pub(crate) path: String,
    pub(crate) source: MountSource,
    pub(crate) access: Access,
}

#[derive(Debug, Clone)]
pub(crate) enum MountSource {
    /// A cache volume, and how it is shared meanwhile.
    Cache(CacheUse),
    /// A directory of another file system if `from` ends in `/`, else a file of it.
    Copy {
        fs: Fs,
        from: String,
    },
    Secret(Secret),
    /// A tmpfs: an empty directory in memory.
    Memory,
    /// A Unix socket of the engine's machine, by its path there.
    Socket(String),
}

impl Mount {
    pub(crate) fn is_file(&self) -> bool {
        match &self.source {
            MountSource::Cache(_) | MountSource::Memory => false,
            MountSource::Secret(_) | MountSource::Socket(_) => true,
            MountSource::Copy { from, .. } => !from.ends_with('/'),
        }
    }
}

impl MountSource {
    pub(super) fn fs(&self) -> Option<&Fs> {
        match self {
            Self::Copy { fs, .. } => Some(fs),
            Self::Cache(_) | Self::Secret(_) | Self::Memory | Self::Socket(_) => None,
        }
    }
}

/// The configuration of a process apart from its file system. It overrides the configuration of the image at the root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// The image whose configuration applies where this one says nothing.
    pub(crate) image: Option<ImageName>,
    pub(crate) env: BTreeMap<String, Var>,
    /// Relative to the image's working directory unless it starts with `/`.
    pub(crate) workdir: Option<String>,
    pub(crate) user: Option<String>,
    /// Replaces the image's entry point and command.
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) hostname: Option<String>,
    pub(crate) security: SecurityContext,
    pub(crate) limits: Limits,
    /// Labels for the engine's users; not part of an identity.
    pub(crate) labels: BTreeMap<String, String>,
}

/// The value of a variable.
#[derive(Debug, Clone)]
pub(crate) enum Var {
    Plain(String),
    Secret(Secret),
}

/// A service that a step or another service can reach.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) service: Arc<ServiceNode>,
    /// At least one; several if one service is bound more than once.
    pub(crate) aliases: Vec<String>,
}

/// What a service starts from.
#[derive(Debug, Clone)]
pub(crate) enum ServiceBase {
    /// A container, with this file system.
    Fs(Fs),
    /// Nothing: a server outside of all containers serves it.
    Server(HostServer),
}

impl ServiceBase {
    pub(crate) fn fs(&self) -> Option<&Fs> {
        match self {
            Self::Fs(fs) => Some(fs),
            Self::Server(_) => None,
        }
    }
}

/// A service, checked and complete.
#[derive(Debug)]
pub(crate) struct ServiceNode {
    /// The definition's identity, with images by reference.
    pub(crate) digest: Digest,
    /// The name its clients resolve, derived from the digest.
    pub(crate) hostname: Hostname,
    /// The name of its item, for messages.
    pub(crate) name: Arc<str>,
    /// Where it is written: several places if equal services are one.
    pub(crate) locations: Locations,
    pub(crate) base: ServiceBase,
    /// What is put into its file system before the process starts.
    pub(crate) places: Vec<Place>,
    pub(crate) config: Arc<Config>,
    pub(crate) mounts: Vec<Mount>,
    /// The services that it uses itself.
    pub(crate) bindings: Vec<Binding>,
    /// The command in place of the image's.
    pub(crate) run: Option<Vec<String>>,
    /// Distinguishes equal services that are to run separately.
    pub(crate) instance: Option<String>,
    /// Whether processes share it.
    pub(crate) is_shared: bool,
    /// Which steps before it have to be looked at first.
    pub(crate) expiring: Expiring,
    pub(crate) ports: Vec<Port>,
    /// The `ready` conditions, each with its limit. The ports are probed in any case.
    pub(crate) ready: Vec<(Check, Duration)>,
    /// The longest of the limits.
    pub(crate) within: Duration,
    /// The stop signal and grace period, if the definition gives them.
    pub(crate) stop: Option<(&'static str, Duration)>,
    /// How long it keeps running after its last client.
    pub(crate) linger: Duration,
}

impl ServiceNode {
    /// All conditions, each with its limit.
    pub(crate) fn checks(&self) -> Vec<(&Check, Duration)> {
        let mut checks: Vec<_> = self.ready.iter().map(|(check, within)| (check, *within)).collect();
        if !checks.iter().any(|(check, _)| **check == Check::Ports) {
            checks.push((&Check::Ports, self.within));
        }
        checks
    }

    /// Whether a condition other than the ports says when it is ready.
    pub(crate) fn says_when_ready(&self) -> bool {
        self.ready.iter().any(|(check, _)| *check != Check::Ports)
    }

    /// The steps whose results this one needs before it can start.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Arc<Step>> {
        made_of(self.base.fs(), &self.places, &self.mounts)
    }

    /// The prepared services whose file systems it has.
    pub(crate) fn prepared(&self) -> impl Iterator<Item = &Arc<Prepared>> {
        prepared(self.base.fs(), &self.places, &self.mounts)
    }

    /// Whether it is made of what a failed step left.
    pub(super) fn has_left_overs(&self) -> bool {
        parts(self.base.fs(), &self.places, &self.mounts).any(|fs| matches!(fs, Fs::Held(_)))
    }

    /// Whether only one session has what it is made of, or what it is bound to.
    pub(super) fn is_volatile(&self) -> bool {
        matches!(&self.base, ServiceBase::Server(server) if !server.is_cached)
            || matches!(self.base.fs(), Some(Fs::Prepared(prepared)) if prepared.service.is_volatile())
            || self.inputs().any(|input| input.is_volatile)
            || self.bindings.iter().any(|binding| binding.service.is_volatile())
    }
}

/// A container, checked and complete.
#[derive(Debug)]
pub(crate) struct ContainerNode {
    pub(crate) digest: Digest,
    pub(crate) name: Arc<str>,
    /// The file system once all steps have run.
    pub(crate) fs: Fs,
    pub(crate) config: Arc<Config>,
    /// The mounts at its end, outer before inner.
    pub(crate) mounts: Vec<Mount>,
    /// The last step that runs a command of this container itself, and so has its output.
    pub(crate) last: Option<Arc<Step>>,
}

/// All services that these bindings need, directly or through other services, by digest.
pub(crate) fn closure(bindings: &[Binding]) -> BTreeMap<Digest, Arc<ServiceNode>> {
    let mut found = BTreeMap::new();
    let mut open: Vec<&Arc<ServiceNode>> = bindings.iter().map(|binding| &binding.service).collect();
    while let Some(service) = open.pop() {
        if found.insert(service.digest, service.clone()).is_none() {
            open.extend(service.bindings.iter().map(|binding| &binding.service));
        }
    }
    found
}
