//! Plans: what would run, in order, each thing once. A plan needs no engine.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::locations::Locations;
use super::lower::Lowering;
use super::node::{
    Binding, Config, ContainerNode, Fs, Mount, MountSource, Place, ServiceBase, ServiceNode, Step, Var,
};
use crate::error::{command_line, show_duration};
use crate::model::{Access, Digest, Existing, Location, Port};
use crate::value::{
    Check, Container, Directory, ExecOptions, Expect, File, Item, ItemHandle, LocalKind, LocalSource,
    PortRef, Ready, Service,
};
use crate::{Error, Result};

/// What would run: every service and step once, each after what it needs, with the digest of its definition.
///
/// A digest takes an image by its reference and files of the pipeline's machine by their paths, so a plan needs no
/// engine, reads nothing, and is the same on every machine. A tag that moves or a file that is edited does not change it
/// (but does change the keys that results are kept under). [`with_files`](Self::with_files) adds hashes of the files'
/// contents.
///
/// A plan is deterministic, so that tests can pin it: `insta::assert_snapshot!(p.plan())`, or `assert_json_snapshot!`. It
/// includes the mistakes that only show at run time.
///
/// ```
/// use bowline::{Container, Service};
/// let redis = Service::from_image("redis:7").expose(6379).named("redis");
/// let ping = Container::from_image("redis:7").bind("db", &redis).exec(["redis-cli", "-h", "db", "ping"]);
/// let plan = ping.plan().check().unwrap();
/// assert!(plan.to_string().contains("exec redis-cli -h db ping"));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The services, dependencies first.
    pub services: Vec<PlannedService>,
    /// The steps, in an order they could run in.
    pub steps: Vec<PlannedStep>,
    /// The files of the pipeline's machine, if [`with_files`](Self::with_files) was called.
    pub files: Vec<PlannedFiles>,
    /// The mistakes in the definitions; while there are any, nothing runs. They show where they are written if
    /// [`with_locations`](Self::with_locations) was called.
    pub errors: Vec<Error>,
    pub(crate) hosts: Vec<Arc<LocalSource>>,
    places: Places,
}

/// Whether a plan shows where things are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    Hidden,
    Shown,
}

/// A service in a [`Plan`].
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct PlannedService {
    /// The item's name.
    pub name: String,
    /// The content-addressed name, which clients can resolve.
    pub hostname: String,
    /// The digest of its definition.
    pub digest: Digest,
    /// What it starts from: an image reference, or the digest of a step.
    pub base: String,
    /// What it is given and what it runs, one line each.
    pub details: Vec<String>,
    /// The exposed ports.
    pub ports: Vec<Port>,
    /// Where it is written, if [`Plan::with_locations`] was called: several places if equal services are one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    #[serde(skip)]
    written: Locations,
}

/// A step in a [`Plan`].
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The name of the item it belongs to.
    pub name: String,
    /// The digest of its definition.
    pub digest: Digest,
    /// What it starts from: an image reference, or the digest of a step.
    pub base: String,
    /// What it is given and what it runs, one line each.
    pub details: Vec<String>,
    /// Where it is written, if [`Plan::with_locations`] was called: several places if equal steps are one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    #[serde(skip)]
    written: Locations,
}

/// A directory or file of the pipeline's machine in a [`Plan`], as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PlannedFiles {
    /// The path, as the pipeline has it.
    pub path: String,
    /// A hash of what counts: names, contents, which files are executable, link targets.
    pub contents: Digest,
    /// How many files there are. Directories and links are not counted.
    pub files: usize,
    /// Their total size in bytes.
    pub bytes: u64,
}

/// Builds a [`Plan`].
#[derive(Default)]
pub struct PlanBuilder {
    lowering: Lowering,
    seen: HashSet<Digest>,
    services: Vec<PlannedService>,
    steps: Vec<PlannedStep>,
    pub(crate) hosts: Vec<Arc<LocalSource>>,
}

impl fmt::Debug for PlanBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanBuilder")
            .field("services", &self.services)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl Plan {
    /// An empty builder to add items to.
    #[must_use]
    pub fn builder() -> PlanBuilder {
        PlanBuilder::default()
    }

    /// What would run of these items: services, containers and what they need.
    pub(crate) fn of_items<'a>(items: impl IntoIterator<Item = &'a Item>) -> Self {
        let add = |plan: PlanBuilder, item: &Item| match &item.handle {
            ItemHandle::Service(service) => plan.service(&item.name, service),
            ItemHandle::Container(container) => plan.container(&item.name, container),
            ItemHandle::Directory(Directory { at }) | ItemHandle::File(File { at }) => {
                plan.container(&item.name, &at.container)
            }
            ItemHandle::Cache(_) | ItemHandle::Secret(_) => plan,
        };
        items.into_iter().fold(Self::builder(), add).build()
    }

    /// The plan itself if it has no mistakes.
    ///
    /// # Errors
    /// The first of [`errors`](Self::errors).
    pub fn check(self) -> Result<Self> {
        match self.errors.first() {
            Some(error) => Err(error.clone()),
            None => Ok(self),
        }
    }
}

impl PlanBuilder {
    /// Adds a container: its steps and everything they need.
    #[must_use]
    pub fn container(mut self, name: &str, container: &Container) -> Self {
        match self.lowering.container(container, name) {
            Ok(node) => self.add_container(&node),
            Err(error) => self.lowering.errors.push(error),
        }
        self
    }

    /// Adds a service and everything it needs.
    #[must_use]
    pub fn service(mut self, name: &str, service: &Service) -> Self {
        match self.lowering.service(service, name) {
            Ok(node) => self.add_service(&node),
            Err(error) => self.lowering.errors.push(error),
        }
        self
    }

    /// The finished plan.
    #[must_use]
    pub fn build(self) -> Plan {
        Plan {
            services: self.services,
            steps: self.steps,
            files: Vec::new(),
            errors: each_once(self.lowering.errors),
            hosts: self.hosts,
            places: Places::Hidden,
        }
    }

    fn add_container(&mut self, node: &ContainerNode) {
        self.add_fs(&node.fs);
    }

    fn add_fs(&mut self, fs: &Fs) {
        let step = match fs {
            Fs::Step(step) => step,
            Fs::Local(source, _) => return self.add_host(source),
            Fs::Prepared(prepared) => return self.add_service(&prepared.service),
            Fs::Image(..) | Fs::Held(_) => return,
        };
        // A loop and no recursion, as the chain may be hundreds of steps long.
        let mut chain: Vec<&Arc<Step>> = Vec::new();
        let mut next = Some(step);
        while let Some(step) = next.filter(|step| !self.seen.contains(&step.digest)) {
            chain.push(step);
            next = match &step.base {
                Fs::Step(base) => Some(base),
                _ => None,
            };
        }
        for step in chain.into_iter().rev() {
            self.add_step(step);
        }
    }

    fn add_host(&mut self, source: &Arc<LocalSource>) {
        if !self.hosts.contains(source) {
            self.hosts.push(source.clone());
        }
    }

    fn add_step(&mut self, step: &Arc<Step>) {
        if !self.seen.insert(step.digest) {
            return;
        }
        if let Fs::Local(source, _) = &step.base {
            self.add_host(source);
        }
        self.add_needs(&step.places, &step.mounts, &step.bindings);
        step.after.iter().for_each(|after| self.add_fs(&Fs::Step(after.clone())));
        let mut details = details(&step.config);
        details.extend(step.places.iter().map(place));
        details.extend(step.mounts.iter().map(mount));
        details.extend(step.bindings.iter().map(binding));
        details.extend(step.after.iter().map(|after| format!("after {} {:.12}", after.name, after.digest)));
        details.extend(step.args.as_ref().map(|args| format!("exec {}", command_line(args))));
        details.extend(options(&step.options));
        self.steps.push(PlannedStep {
            name: step.name.to_string(),
            digest: step.digest,
            base: base(&step.base),
            details,
            locations: Vec::new(),
            written: step.locations.clone(),
        });
    }

    fn add_service(&mut self, node: &Arc<ServiceNode>) {
        if !self.seen.insert(node.digest) {
            return;
        }
        if let Some(fs) = node.base.fs() {
            self.add_fs(fs);
        }
        self.add_needs(&node.places, &node.mounts, &node.bindings);
        let mut details = details(&node.config);
        details.extend(node.places.iter().map(place));
        details.extend(node.mounts.iter().map(mount));
        details.extend(node.bindings.iter().map(binding));
        details.extend(node.instance.as_ref().map(|instance| format!("instance {instance}")));
        details.extend(node.is_shared.then(|| "shared".to_owned()));
        let entrypoint = node.config.entrypoint.as_ref();
        details.extend(entrypoint.map(|args| format!("entrypoint {}", command_line(args))));
        details.extend(node.run.as_ref().map(|args| format!("run {}", command_line(args))));
        details.extend(node.ports.iter().map(|port| {
            let name = port.name().map(|name| format!(" as {name}")).unwrap_or_default();
            let host = port.host().map(|host| format!(" on host {host}")).unwrap_or_default();
            format!("expose {port}{name}{host}{}", if port.probed { "" } else { " unprobed" })
        }));
        details.extend(ready(node));
        if let Some((signal, within)) = node.stop {
            details.push(format!("stop {signal} within {}", show_duration(within)));
        }
        if node.linger != Service::DEFAULT_LINGER {
            details.push(format!("linger {}", show_duration(node.linger)));
        }
        self.services.push(PlannedService {
            name: node.name.to_string(),
            hostname: node.hostname.to_string(),
            digest: node.digest,
            base: match &node.base {
                ServiceBase::Fs(fs) => base(fs),
                ServiceBase::Server(server) => server.to_string(),
            },
            details,
            ports: node.ports.clone(),
            locations: Vec::new(),
            written: node.locations.clone(),
        });
    }

    fn add_needs(&mut self, places: &[Place], mounts: &[Mount], bindings: &[Binding]) {
        for mount in mounts {
            if let MountSource::Copy { fs, .. } = &mount.source {
                self.add_fs(fs);
            }
        }
        for place in places {
            if let Place::Copy { fs, .. } = place {
                self.add_fs(fs);
            }
        }
        for binding in bindings {
            self.add_service(&binding.service);
        }
    }
}

/// Merges equal mistakes in several places.
fn each_once(errors: Vec<Error>) -> Vec<Error> {
    let mut found: Vec<(String, Error)> = Vec::new();
    for error in errors {
        let text = error.clone().without_locations().to_string();
        match found.iter_mut().find(|(other, _)| *other == text) {
            Some((_, known)) => *known = known.clone().also_at(error.locations().iter().copied()),
            None => found.push((text, error)),
        }
    }
    found.into_iter().map(|(_, error)| error).collect()
}

fn base(fs: &Fs) -> String {
    match fs {
        Fs::Image(name, _) => name.to_string(),
        Fs::Local(source, _) => source.to_string(),
        Fs::Held(held) => format!("snapshot {}", held.snapshot.0),
        Fs::Step(step) => format!("{} {:.12}", step.name, step.digest),
        Fs::Prepared(prepared) => {
            format!("{} {} prepared as {:?}", prepared.service.name, prepared.service.hostname, prepared.key)
        }
    }
}

fn details(config: &Config) -> Vec<String> {
    let mut details: Vec<String> = Vec::new();
    details.extend(config.env.iter().map(|(key, value)| match value {
        Var::Plain(value) => format!("env {key}={value}"),
        Var::Secret(secret) => format!("env {key}=secret {}", secret.name()),
    }));
    details.extend(config.labels.iter().map(|(key, value)| format!("label {key}={value}")));
    details.extend(config.workdir.as_ref().map(|path| format!("workdir {path}")));
    details.extend(config.user.as_ref().map(|user| format!("user {user}")));
    details.extend(config.hostname.as_ref().map(|name| format!("hostname {name}")));
    details.extend(config.security.shown());
    details.extend(config.limits.shown());
    details
}

fn options(options: &ExecOptions) -> impl Iterator<Item = String> {
    let expect = match options.expect {
        Expect::Success => None,
        Expect::Failure => Some("expect failure".to_owned()),
        Expect::Any => Some("expect any".to_owned()),
    };
    let details = [
        options.stdin.as_ref().map(|stdin| format!("stdin ({} bytes)", stdin.len())),
        expect,
        options.timeout.map(|limit| format!("timeout {}", show_duration(limit))),
        options.stdout.as_ref().map(|path| format!("stdout to {path}")),
        options.stderr.as_ref().map(|path| format!("stderr to {path}")),
        options.fresh.map(|limit| format!("fresh {}", show_duration(limit))),
        options.uncached.then(|| "uncached".to_owned()),
    ];
    details.into_iter().flatten()
}

fn place(place: &Place) -> String {
    match place {
        Place::File { path, contents } => format!("file {path} ({} bytes)", contents.len()),
        Place::Copy { fs, from, to, existing: Existing::Stays } => {
            format!("copy {} to {to}", place_in(fs, from))
        }
        Place::Copy { fs, from, to, existing: Existing::Goes } => {
            format!("mount {} at {to}", place_in(fs, from))
        }
    }
}

/// A path in a file system, as text.
fn place_in(fs: &Fs, path: &str) -> String {
    match (fs, path.strip_prefix(LocalSource::ROOT)) {
        (Fs::Local(source, _), Some(below)) if source.kind == LocalKind::File || below == "/" => {
            source.to_string()
        }
        (Fs::Local(source, _), Some(below)) => format!("{source}{below}"),
        _ => format!("{}:{path}", base(fs)),
    }
}

fn mount(mount: &Mount) -> String {
    let access = match mount.access {
        Access::ReadWrite => "",
        Access::ReadOnly => " readonly",
    };
    let source = match &mount.source {
        MountSource::Cache(cache) => match cache.sharing.word() {
            Some(word) => format!("cache {cache} {word}"),
            None => format!("cache {cache}"),
        },
        MountSource::Secret(secret) => format!("secret {}", secret.name()),
        MountSource::Copy { fs, from } => place_in(fs, from),
        MountSource::Memory => return format!("tmpfs {}", mount.path),
        MountSource::Socket(host) => return format!("socket {host} at {}", mount.path),
    };
    format!("mount {source} at {}{access}", mount.path)
}

fn binding(binding: &Binding) -> String {
    format!("bind {} {} as {}", binding.service.name, binding.service.hostname, binding.aliases.join(", "))
}

fn ready(node: &ServiceNode) -> impl Iterator<Item = String> {
    node.ready.iter().filter_map(|(check, within)| {
        let within =
            (*within != Ready::DEFAULT_WITHIN).then(|| format!(" within {}", show_duration(*within)));
        let check = match check {
            Check::Ports if within.is_none() => return None,
            Check::Ports => "port".to_owned(),
            Check::Http { path, port } => match port {
                None => format!("http {path}"),
                Some(PortRef::Number(number)) => format!("http {path} on {number}"),
                Some(PortRef::Name(name)) => format!("http {path} on {name}"),
            },
            Check::Exec(args) => format!("exec {}", command_line(args)),
            Check::Log { text, times: 1 } => format!("log {text:?}"),
            Check::Log { text, times } => format!("log {text:?} times {times}"),
            Check::Image => "image".to_owned(),
        };
        Some(format!("ready {check}{}", within.unwrap_or_default()))
    })
}

mod show;

#[cfg(test)]
mod tests;
