//! The nodes: what is left of values once they are checked and folded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::locations::Locations;
use crate::model::{
    Access, Digest, Existing, ImageName, Limits, Location, Port, SecurityContext, SessionId, Snapshot,
};
use crate::value::{Check, ExecOptions, HostSource, Secret};

/// A file system, by what makes it.
#[derive(Debug, Clone)]
pub(crate) enum Fs {
    /// An image by its name, and where it is named.
    Image(ImageName, Location),
    /// Files of the pipeline's machine, and where they are asked for.
    Host(Arc<HostSource>, Location),
    /// What a failed step left.
    Held(Arc<Held>),
    /// What a step leaves.
    Step(Arc<Step>),
}

/// A file system that the engine of a session holds, as long as that lives: what a failed step left.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) snapshot: Snapshot,
    pub(crate) session: SessionId,
    /// What was mounted while the step ran.
    pub(crate) mounts: Vec<Mount>,
}

/// One command run in a file system, or files placed in it.
#[derive(Debug)]
pub(crate) struct Step {
    /// With images by their references; see [`super::Identities`] for the identity that results are kept under.
    pub(crate) digest: Digest,
    /// The item it belongs to.
    pub(crate) name: Arc<str>,
    pub(crate) locations: Locations,
    pub(crate) base: Fs,
    pub(crate) places: Vec<Place>,
    /// None for a step that only places files or only comes after others.
    pub(crate) args: Option<Vec<String>>,
    pub(crate) options: ExecOptions,
    /// Whether the result is for this session alone: this step or one it is made of is `uncached`.
    pub(crate) is_volatile: bool,
    pub(crate) config: Arc<Config>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) after: Vec<Arc<Step>>,
}

impl Step {
    /// The steps whose results this one needs before it can run.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Arc<Step>> {
        made_of(&self.base, &self.places, &self.mounts).chain(&self.after)
    }

    /// What [`is_volatile`](Self::is_volatile) is for a step of these parts.
    pub(crate) fn would_be_volatile(&self) -> bool {
        self.options.uncached
            || self.inputs().any(|input| input.is_volatile)
            || self.bindings.iter().any(|binding| binding.service.is_volatile())
    }
}

/// The steps that a file system is made of, with what is put into it.
fn made_of<'a>(
    base: &'a Fs,
    places: &'a [Place],
    mounts: &'a [Mount],
) -> impl Iterator<Item = &'a Arc<Step>> {
    fn step(fs: &Fs) -> Option<&Arc<Step>> {
        match fs {
            Fs::Step(step) => Some(step),
            Fs::Image(..) | Fs::Host(..) | Fs::Held(_) => None,
        }
    }
    let copied = places.iter().filter_map(|place| match place {
        Place::Copy { fs, .. } => step(fs),
        Place::File { .. } => None,
    });
    let mounted = mounts.iter().filter_map(|mount| mount.source.fs().and_then(step));
    step(base).into_iter().chain(copied).chain(mounted)
}

/// Something put into a file system before a step or service runs.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    File {
        path: String,
        contents: Arc<[u8]>,
    },
    /// A directory where `from` ends in `/`, else a file.
    Copy {
        fs: Fs,
        from: String,
        to: String,
        existing: Existing,
    },
}

/// Something that is there while a process runs, and no part of what it leaves.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub(crate) path: String,
    pub(crate) source: MountSource,
    pub(crate) access: Access,
}

#[derive(Debug, Clone)]
pub(crate) enum MountSource {
    /// A cache volume, by its key.
    Cache(String),
    Copy {
        fs: Fs,
        from: String,
    },
    Secret(Secret),
    /// An empty directory in memory.
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
    fn fs(&self) -> Option<&Fs> {
        match self {
            Self::Copy { fs, .. } => Some(fs),
            Self::Cache(_) | Self::Secret(_) | Self::Memory | Self::Socket(_) => None,
        }
    }
}

/// What a process is given besides its file system, on top of the configuration of the image at the root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// The image whose configuration is the ground.
    pub(crate) image: Option<ImageName>,
    pub(crate) env: BTreeMap<String, Var>,
    /// Relative to the image's working directory unless it starts with `/`.
    pub(crate) workdir: Option<String>,
    pub(crate) user: Option<String>,
    /// In place of the image's entry point and command.
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) hostname: Option<String>,
    pub(crate) security: SecurityContext,
    pub(crate) limits: Limits,
    /// Shown to the engine's users, and no part of an identity.
    pub(crate) labels: BTreeMap<String, String>,
}

/// What a variable is set to.
#[derive(Debug, Clone)]
pub(crate) enum Var {
    Plain(String),
    Secret(Secret),
}

/// A service that a step or another service can reach.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) service: Arc<ServiceNode>,
    /// At least one; several when one service is bound more than once.
    pub(crate) aliases: Vec<String>,
}

/// A service, checked and complete.
#[derive(Debug)]
pub(crate) struct ServiceNode {
    pub(crate) digest: Digest,
    pub(crate) hostname: String,
    pub(crate) name: Arc<str>,
    pub(crate) locations: Locations,
    pub(crate) base: Fs,
    pub(crate) places: Vec<Place>,
    pub(crate) config: Arc<Config>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) run: Option<Vec<String>>,
    pub(crate) instance: Option<String>,
    pub(crate) ports: Vec<Port>,
    /// What the definition says has to hold before its clients run, each with its limit. The ports hold anyhow.
    pub(crate) ready: Vec<(Check, Duration)>,
    /// The longest of the limits.
    pub(crate) within: Duration,
    pub(crate) stop: Option<(&'static str, Duration)>,
    pub(crate) linger: Duration,
}

impl ServiceNode {
    /// All that has to hold, and for how long it is waited for each.
    pub(crate) fn checks(&self) -> Vec<(&Check, Duration)> {
        let mut checks: Vec<_> = self.ready.iter().map(|(check, within)| (check, *within)).collect();
        if !checks.iter().any(|(check, _)| **check == Check::Ports) {
            checks.push((&Check::Ports, self.within));
        }
        checks
    }

    /// Whether something says that it is ready although it exposes no port.
    pub(crate) fn says_when_ready(&self) -> bool {
        self.ready.iter().any(|(check, _)| *check != Check::Ports)
    }

    /// The steps whose results this one needs before it can start.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Arc<Step>> {
        made_of(&self.base, &self.places, &self.mounts)
    }

    fn is_volatile(&self) -> bool {
        self.inputs().any(|input| input.is_volatile)
            || self.bindings.iter().any(|binding| binding.service.is_volatile())
    }
}

/// A container, checked and complete.
#[derive(Debug)]
pub(crate) struct ContainerNode {
    pub(crate) digest: Digest,
    pub(crate) name: Arc<str>,
    /// What it holds once all its steps have run.
    pub(crate) fs: Fs,
    pub(crate) config: Arc<Config>,
    /// What is mounted in it when it ends, the outer before the inner.
    pub(crate) mounts: Vec<Mount>,
    /// The last step that runs a command of this container's own.
    pub(crate) last: Option<Arc<Step>>,
}

/// All services that are needed by these bindings, directly or through other services, by identity.
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

/// The images, and what of this machine is read, of everything that the roots are made of, each with where that is
/// written. Found without recursion: chains may be long.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    pub(crate) images: BTreeMap<ImageName, BTreeSet<Location>>,
    pub(crate) hosts: HashMap<Arc<HostSource>, BTreeSet<Location>>,
    seen: HashSet<Digest>,
}

enum Visit<'a> {
    Step(&'a Arc<Step>),
    Service(&'a Arc<ServiceNode>),
}

impl Reach {
    pub(crate) fn of_fs(fs: &Fs) -> Self {
        let mut reach = Self::default();
        let open = reach.fs(fs).into_iter().collect();
        reach.walk(open);
        reach
    }

    pub(crate) fn of_step(step: &Arc<Step>) -> Self {
        let mut reach = Self::default();
        reach.walk(vec![Visit::Step(step)]);
        reach
    }

    pub(crate) fn of_service(service: &Arc<ServiceNode>) -> Self {
        let mut reach = Self::default();
        reach.walk(vec![Visit::Service(service)]);
        reach
    }

    fn walk(&mut self, mut open: Vec<Visit<'_>>) {
        while let Some(visit) = open.pop() {
            match visit {
                Visit::Step(step) => {
                    if self.seen.insert(step.digest) {
                        self.ground(&step.config);
                        open.extend(step.after.iter().map(Visit::Step));
                        open.extend(self.parts(&step.base, &step.places, &step.mounts, &step.bindings));
                    }
                }
                Visit::Service(service) => {
                    if self.seen.insert(service.digest) {
                        self.ground(&service.config);
                        open.extend(self.parts(
                            &service.base,
                            &service.places,
                            &service.mounts,
                            &service.bindings,
                        ));
                    }
                }
            }
        }
    }

    /// Where it is named, the file system says that starts from it.
    fn ground(&mut self, config: &Config) {
        if let Some(image) = &config.image {
            self.images.entry(image.clone()).or_default();
        }
    }

    fn parts<'a>(
        &mut self,
        base: &'a Fs,
        places: &'a [Place],
        mounts: &'a [Mount],
        bindings: &'a [Binding],
    ) -> Vec<Visit<'a>> {
        let mut parts: Vec<_> = bindings.iter().map(|binding| Visit::Service(&binding.service)).collect();
        for place in places {
            if let Place::Copy { fs, .. } = place {
                parts.extend(self.fs(fs));
            }
        }
        parts.extend(mounts.iter().filter_map(|mount| self.fs(mount.source.fs()?)));
        parts.extend(self.fs(base));
        parts
    }

    fn fs<'a>(&mut self, fs: &'a Fs) -> Option<Visit<'a>> {
        match fs {
            Fs::Step(step) => Some(Visit::Step(step)),
            Fs::Held(_) => None,
            Fs::Host(source, at) => {
                self.hosts.entry(source.clone()).or_default().insert(*at);
                None
            }
            Fs::Image(image, at) => {
                self.images.entry(image.clone()).or_default().insert(*at);
                None
            }
        }
    }
}
