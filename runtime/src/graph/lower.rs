//! From values to nodes: folds operations into steps and checks what only whole definitions can show.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use self::checks::Locking;
use super::layout::{self, Layout, check_read};
use super::locations::{Locations, Written};
use super::node::{
    Binding, Config, ContainerNode, Expiring, Fs, Held, MountSource, Prepared, ServiceBase, ServiceNode, Step,
};
use super::{Identities, expiring};
use crate::model::{Access, Digest, ImageName, Located, Location};
use crate::paths::{plain_path, readable_path};
use crate::rules::{self, Problem};
use crate::value::{
    Base, Body, Container, CopyKind, EnvValue, EnvValueKind, Exec, ExecOptions, Invalid, Op, PathIn,
    Preparation, Service, ServiceBody, Setting, Stop,
};
use crate::{Error, Result};

mod checks;
mod parts;

/// The node of a container, or the first mistake in its definition.
pub(crate) fn lower_container(container: &Container) -> Result<Arc<ContainerNode>> {
    let mut lowering = Lowering::default();
    let node = lowering.container(container, "container");
    lowering.first_error(node)
}

/// The node of a service, or the first mistake in its definition.
pub(crate) fn lower_service(service: &Service) -> Result<Arc<ServiceNode>> {
    let mut lowering = Lowering::default();
    let node = lowering.service(service, "service");
    lowering.first_error(node)
}

/// The container that a path is in.
pub(crate) fn lower_path(at: &PathIn) -> Result<Arc<ContainerNode>> {
    let container = lower_container(&at.container)?;
    match readable_path("path", &at.path).and_then(|()| check_read(&container.mounts, &at.path)) {
        Ok(()) => Ok(container),
        Err(problem) => Err(Error::invalid(Some(&container.name), problem.to_string()).at([at.at])),
    }
}

/// What the host name of a service ends in that has none yet. `.invalid` is nobody's (RFC 2606, section 2).
const UNDEFINED: &str = ".undefined.invalid";

/// The host name of a service. One that is not defined yet, or cannot be, has a name that marks it: whatever is made of
/// it is a mistake that lowering finds.
pub(crate) fn hostname(service: &Service) -> String {
    match Lowering::default().service(service, "service") {
        Ok(node) => node.hostname.to_string(),
        Err(_) => format!("{}{UNDEFINED}", service.name().unwrap_or("service")),
    }
}

/// One pass over values that may share parts; every value is lowered once.
#[derive(Default)]
pub(super) struct Lowering {
    containers: HashMap<usize, Arc<ContainerNode>>,
    services: HashMap<usize, Arc<ServiceNode>>,
    /// Equal definitions become one node, unless they may run for different times, or take results of different ages.
    steps: HashMap<(Digest, [Option<Duration>; 2]), Arc<Step>>,
    identities: Identities,
    written: Written,
    /// What is being looked at: where mistakes are.
    at: Option<Location>,
    /// The values being lowered, outermost first: meeting one of them again is a cycle.
    stack: Vec<(usize, Arc<str>)>,
    pub(super) errors: Vec<Error>,
}

/// What a body starts from.
#[derive(Clone, Copy)]
enum Ground {
    Image,
    Other,
}

/// Where a file goes: into a directory under its own name, where the path ends in a slash.
fn copied_to(path: &str, from: &str) -> String {
    let name = plain_path(from).rsplit('/').next().unwrap_or_default().to_owned();
    plain_path(&if path.ends_with('/') { format!("{path}{name}") } else { path.to_owned() })
}

/// The running state of a fold over operations.
struct Fold {
    name: Arc<str>,
    base: Ground,
    fs: Option<Fs>,
    layout: Layout,
    config: Arc<Config>,
    bindings: Vec<Binding>,
    after: Vec<Arc<Step>>,
    last: Option<Arc<Step>>,
    /// Whether the file system is that of a step of this very body, at which no other value ends.
    is_own: bool,
    /// Where the first thing was written that the next step is made of.
    pending: Option<Location>,
}

impl Lowering {
    /// What was lowered, when nothing is wrong with it.
    fn first_error<T>(self, lowered: Result<T>) -> Result<T> {
        self.errors.into_iter().next().map_or(lowered, Err)
    }

    fn invalid(&mut self, item: &str, message: impl Into<String>) {
        self.errors.push(Error::invalid(Some(item), message).at(self.at));
    }

    fn problem(&mut self, item: &str, checked: std::result::Result<(), Problem>) {
        if let Err(problem) = checked {
            self.invalid(item, problem.to_string());
        }
    }

    pub(super) fn container(
        &mut self,
        container: &Container,
        default_name: &str,
    ) -> Result<Arc<ContainerNode>> {
        let address = container.identity();
        if let Some(known) = self.containers.get(&address) {
            return Ok(known.clone());
        }
        let (name, at) = (container.name().unwrap_or(default_name).into(), container.location());
        self.enter(address, &name, "containers wait for each other")?;
        let folded = container.get().cloned().and_then(|body| self.fold(&name, &body));
        self.stack.pop();
        let mut fold = folded?;
        if fold.layout.has_places() || !fold.after.is_empty() {
            self.step(&mut fold, None, at);
        }
        let Fold { name, fs, config, last, layout, .. } = fold;
        let Some(fs) = fs else {
            let message = "has no image\n\nhelp: start its body with `image \"...\";` or `from other;`";
            return Err(Error::invalid(Some(&name), format!("container `{name}` {message}")).at([at]));
        };
        let (_, mounts) = layout.into_parts();
        let digest = self.identities.container(&fs, &config, &mounts);
        let node = Arc::new(ContainerNode { digest, name, fs, config, mounts, last });
        self.containers.insert(address, node.clone());
        Ok(node)
    }

    pub(super) fn service(&mut self, service: &Service, default_name: &str) -> Result<Arc<ServiceNode>> {
        let address = service.identity();
        if let Some(known) = self.services.get(&address) {
            return Ok(known.clone());
        }
        let name: Arc<str> = service.name().unwrap_or(default_name).into();
        self.enter(address, &name, "services bind each other in a cycle")?;
        let folded = service.get().cloned().and_then(|body| Ok((self.fold(&name, &body.body)?, body)));
        self.stack.pop();
        let (fold, body) = folded?;
        let node = Arc::new(self.at(body.body.at, |lowering| lowering.service_of(fold, body))?);
        self.services.insert(address, node.clone());
        Ok(node)
    }

    /// A service of what its body came to.
    fn service_of(&mut self, mut fold: Fold, body: ServiceBody) -> Result<ServiceNode> {
        let (name, at) = (fold.name.clone(), body.body.at);
        if fold.layout.must_be_placed_first() {
            self.step(&mut fold, None, at);
        }
        if !fold.after.is_empty() {
            self.invalid(&name, "`after` is for containers; services start when they are bound");
        }
        if let Base::Server(_) = &body.body.base.value {
            self.check_server(&name, &body);
        }
        body.run.iter().flatten().for_each(|arg| self.check_defined(&name, arg));
        let base = match (body.body.base.value, fold.fs) {
            (Base::Server(server), _) => Some(ServiceBase::Server(server)),
            (_, fs) => fs.map(ServiceBase::Fs),
        };
        let Some(base) = base else {
            let message = "has no image\n\nhelp: start its body with `image \"...\";` or `from other;`";
            return Err(Error::invalid(Some(&name), format!("service `{name}` {message}")).at([at]));
        };
        for ready in &body.ready {
            self.check_ready(&name, &ready.check, &body.ports);
        }
        // Mistakes in them have been told.
        let limit = |ready: &crate::value::Ready| {
            ready.within.clone().and_then(Result::ok).unwrap_or(crate::value::Ready::DEFAULT_WITHIN)
        };
        let ready: Vec<_> = body.ready.into_iter().map(|ready| (limit(&ready), ready.check)).collect();
        let within =
            ready.iter().map(|(within, _)| *within).max().unwrap_or(crate::value::Ready::DEFAULT_WITHIN);
        let ready = ready.into_iter().map(|(within, check)| (check, within)).collect();
        self.check_own_name(&name, &fold.config, &fold.bindings);
        let stop = match body.stop {
            Some(Stop { signal: Ok(signal), within: Ok(within) }) => Some((signal, within)),
            _ => None,
        };
        let (places, mounts) = fold.layout.into_parts();
        self.check_locks(Locking::Service(&name), &mounts, &fold.bindings);
        let mut node = ServiceNode {
            digest: Digest([0; 32]),
            hostname: "".into(),
            name,
            locations: Locations::default(),
            base,
            places,
            config: fold.config,
            mounts,
            bindings: fold.bindings,
            run: body.run,
            instance: body.instance,
            is_shared: body.is_shared,
            ports: body.ports,
            ready,
            within,
            stop,
            linger: body.linger,
            expiring: Expiring::default(),
        };
        node.expiring = expiring::before_service(&node);
        if node.is_shared {
            self.check_shared(&node);
        }
        node.digest = self.identities.encode_service(&node);
        node.hostname = node.digest.hostname().into();
        node.locations = self.written.at(node.digest, at);
        Ok(node)
    }

    /// Looks at what is written at a place: mistakes that are found meanwhile are there.
    fn at<T>(&mut self, place: Location, look: impl FnOnce(&mut Self) -> T) -> T {
        let around = self.at.replace(place);
        let seen = look(self);
        self.at = around;
        seen
    }

    fn enter(&mut self, address: usize, name: &Arc<str>, cycle: &str) -> Result<()> {
        if let Some(start) = self.stack.iter().position(|(other, _)| *other == address) {
            let path: Vec<_> = self.stack.iter().skip(start).map(|(_, name)| format!("`{name}`")).collect();
            let message = match path.as_slice() {
                [_] => format!("`{name}` needs itself"),
                _ => format!("{cycle}: {} → `{name}`", path.join(" → ")),
            };
            return Err(Error::invalid(Some(name), message).at(self.at));
        }
        self.stack.push((address, name.clone()));
        Ok(())
    }

    fn fold(&mut self, name: &Arc<str>, body: &Body) -> Result<Fold> {
        let mut fold = Fold {
            name: name.clone(),
            base: match &body.base.value {
                Base::Image(_) => Ground::Image,
                _ => Ground::Other,
            },
            fs: None,
            layout: Layout::default(),
            config: Arc::default(),
            bindings: Vec::new(),
            after: Vec::new(),
            last: None,
            is_own: false,
            pending: None,
        };
        let Located { value: base, at } = &body.base;
        match base {
            // A server has no file system: `service_of` looks at what was said of one.
            Base::Unset | Base::Server(_) => {}
            Base::Image(reference) => {
                let image = ImageName::new(reference);
                fold.config = Arc::new(Config { image: Some(image.clone()), ..Config::default() });
                fold.fs = Some(Fs::Image(image, *at));
            }
            Base::Container(other) => {
                let other = self.at(*at, |lowering| lowering.container(other, "container"))?;
                fold.fs = Some(other.fs.clone());
                fold.config = other.config.clone();
                fold.layout = Layout::from(&other.mounts);
                fold.last.clone_from(&other.last);
            }
            Base::Local(source) => fold.fs = Some(Fs::Local(Arc::new(source.clone()), *at)),
            Base::Prepared(Preparation { service, key, prepare }) => {
                let service = self.service(service, name)?;
                if let ServiceBase::Server(_) = service.base {
                    let message = "a server outside of all containers has no file system to keep";
                    return Err(Error::invalid(Some(name), message).at([*at]));
                }
                fold.config = service.config.clone();
                fold.layout = Layout::from(&service.mounts);
                fold.bindings.clone_from(&service.bindings);
                let (key, prepare) = (key.clone(), prepare.clone());
                fold.fs = Some(Fs::Prepared(Arc::new(Prepared { service, key, prepare, at: *at })));
            }
            Base::Held(held) => {
                if let Ok(held) = held.clone().downcast::<Held>() {
                    fold.config = held.config.clone();
                    fold.layout = Layout::of_failed(&held.mounts);
                    fold.bindings.clone_from(&held.bindings);
                    fold.fs = Some(Fs::Held(held));
                }
            }
        }
        // A binding belongs to every step of the container: a service bound after a step was written is bound late.
        for (number, Located { value: op, at }) in body.ops.iter().enumerate() {
            fold.is_own &= !body.shared_after.contains(&number);
            self.at(*at, |lowering| lowering.op(&mut fold, op, *at))?;
        }
        Ok(fold)
    }

    fn op(&mut self, fold: &mut Fold, op: &Op, at: Location) -> Result<()> {
        let name = fold.name.clone();
        if let Op::Set(Setting::Env { value: EnvValue(EnvValueKind::Plain(text)), .. }) = op {
            self.check_defined(&name, text);
        }
        if matches!(op, Op::WriteFile { .. } | Op::Mount { .. } | Op::Copy { .. } | Op::After(_)) {
            fold.pending.get_or_insert(at);
        }
        match op {
            Op::Invalid(Invalid(message)) => self.invalid(&name, message.clone()),
            Op::WriteFile { path, contents } => {
                self.check_defined(&name, &String::from_utf8_lossy(contents));
                let placed = fold.layout.place(layout::file(path, contents));
                self.problem(&name, placed);
            }
            Op::Mount { path, source, access } => self.mount(fold, path, &source.0, *access)?,
            Op::Copy { path, source } => match &source.0 {
                CopyKind::Directory(directory) => {
                    self.copy(fold, plain_path(path), &directory.at, true)?;
                }
                CopyKind::File(file) => {
                    self.copy(fold, copied_to(path, &file.at.path), &file.at, false)?;
                }
            },
            Op::Tmpfs(path) => {
                self.mount_over(fold, path, MountSource::Memory, Access::ReadWrite);
            }
            Op::Socket { path, host } => {
                self.mount_over(fold, path, MountSource::Socket(host.clone()), Access::ReadWrite);
            }
            Op::Platform(platform) => self.platform(fold, platform),
            Op::Bind { alias, service } => self.bind(fold, alias, service)?,
            Op::After(other) => {
                let other = self.container(other, "container")?;
                fold.after.extend(match &other.fs {
                    Fs::Step(step) => Some(step.clone()),
                    _ => None,
                });
            }
            Op::Exec(exec) => {
                exec.args.iter().for_each(|arg| self.check_defined(&name, arg));
                let ExecOptions { fresh, uncached, .. } = exec.options;
                self.problem(&name, rules::freshness(fresh.is_some(), uncached));
                let stdin = exec.options.stdin.as_deref().unwrap_or_default();
                self.check_defined(&name, &String::from_utf8_lossy(stdin));
                for path in [&exec.options.stdout, &exec.options.stderr].into_iter().flatten() {
                    let checked = fold.layout.check_own(path);
                    self.problem(&name, checked);
                }
                if fold.fs.is_none() {
                    self.invalid(
                        &name,
                        "`exec` before `image` has nothing to act on\n\nhelp: move `image` to the top",
                    );
                } else {
                    self.step(fold, Some(exec), at);
                    fold.last = match &fold.fs {
                        Some(Fs::Step(step)) => Some(step.clone()),
                        _ => None,
                    };
                }
            }
            Op::Set(setting) => {
                let config = Arc::make_mut(&mut fold.config);
                config.apply(setting);
                if let (Setting::Security(_), Some(message)) = (setting, config.security.contradiction()) {
                    self.invalid(&name, message);
                }
            }
        }
        Ok(())
    }

    /// Closes a step: what was placed since the last one, and the command. Without a command it is written where the
    /// first thing is that was placed, or else at the place that is given.
    fn step(&mut self, fold: &mut Fold, exec: Option<&Exec>, at: Location) {
        if exec.is_some() && fold.layout.must_be_placed_first() {
            self.step(fold, None, at);
        }
        let at = fold.pending.take().filter(|_| exec.is_none()).unwrap_or(at);
        let Some(base) = fold.fs.clone() else { return };
        if exec.is_some() {
            let name = fold.name.clone();
            self.check_own_name(&name, &fold.config, &fold.bindings);
        }
        let places = if exec.is_some() { fold.layout.step() } else { fold.layout.take_places() };
        let mut step = Step {
            digest: Digest([0; 32]),
            name: fold.name.clone(),
            locations: Locations::default(),
            base,
            places,
            // A step that runs nothing reaches nothing and sees nothing.
            mounts: if exec.is_some() { fold.layout.mounts() } else { Vec::new() },
            bindings: if exec.is_some() { fold.bindings.clone() } else { Vec::new() },
            config: if exec.is_some() { fold.config.clone() } else { Arc::default() },
            args: exec.map(|exec| exec.args.clone()),
            options: exec.map_or_else(ExecOptions::default, |exec| exec.options.clone()),
            is_volatile: false,
            expiring: Expiring::default(),
            goes_on: fold.is_own,
            after: std::mem::take(&mut fold.after),
        };
        self.check_locks(Locking::Container(&fold.name), &step.mounts, &step.bindings);
        step.is_volatile = step.would_be_volatile();
        step.expiring = expiring::before_step(&step);
        step.digest = self.identities.encode_step(&step);
        step.locations = self.written.at(step.digest, at);
        let limits = [step.options.timeout, step.options.fresh];
        let step = self.steps.entry((step.digest, limits)).or_insert_with(|| Arc::new(step)).clone();
        fold.fs = Some(Fs::Step(step));
        fold.is_own = true;
    }
}
