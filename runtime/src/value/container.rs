//! Containers: a base, configuration, and steps that run in order.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::body::{Edit, Holders, Slot};
use super::confinement::confinement_operations;
use super::operations::shared_operations;
use super::{Base, Body, Definition, Directory, File, Invalid, Op, PathIn};
use crate::Error;
use crate::model::{Located, Location};

/// A container: an image, what is put into it, and the commands that run in it, one after another.
///
/// Methods take first what the container sees (an alias, a path, a variable's name), then what is behind it:
/// `bind("db", &postgres)`, `mount("/src", &source)`, `env("PORT", 5432)`.
///
/// A value only describes a container; nothing runs until an output is awaited. Cloning is cheap, and every method that
/// changes something returns a new value. The futures of outputs borrow nothing: they can be joined, stored and spawned.
///
/// ```no_run
/// # async fn example() -> bowline::Result<()> {
/// use bowline::{Container, Service};
/// let redis = Service::from_image("redis:7").expose(6379);
/// let ping = Container::from_image("redis:7")
///     .bind("redis-srv", &redis)
///     .exec(["redis-cli", "-h", "redis-srv", "ping"]);
/// assert_eq!(ping.stdout().await?, "PONG\n");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a container does nothing until one of its outputs is awaited"]
pub struct Container {
    slot: Arc<Slot<Body>>,
}

/// The output and exit code of a container's last command, or of a [command in a service](crate::Service::exec).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output, byte for byte.
    pub stdout: Vec<u8>,
    /// Standard error, byte for byte.
    pub stderr: Vec<u8>,
    /// The exit code.
    pub exit_code: i32,
}

impl Output {
    /// Standard output as text, with anything that is not UTF-8 replaced.
    #[must_use]
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Standard error as text, with anything that is not UTF-8 replaced.
    #[must_use]
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// Whether the command ended well: exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit_code == 0
    }
}

impl Container {
    /// A container of this image: `redis:7`, `registry.example/team/app:1.2`, `busybox@sha256:…`. An image may also be in
    /// files of this machine: `oci:./dir` (an OCI image layout) or `docker-archive:./x.tar` (written by `docker save`),
    /// with the path relative to the working directory, and followed by `:name` where the files hold several images
    /// (containers-transports(5)).
    #[track_caller]
    pub fn from_image(reference: impl Into<String>) -> Self {
        let (reference, at) = (reference.into(), Location::caller());
        let checked = crate::rules::image(&reference);
        let mut body = Body::new(Base::Image(reference), at);
        body.edit(at).check(checked);
        Self { slot: Slot::filled(None, at, body) }
    }

    /// A container that continues from another one: it starts with its file system and its configuration.
    #[track_caller]
    pub fn from_container(other: &Container) -> Self {
        Self::of(Base::Container(other.clone()), Location::caller())
    }

    /// A container without a base yet, for code that chooses the base later. Running it without one is an error.
    #[track_caller]
    pub fn empty() -> Self {
        Self::of(Base::Unset, Location::caller())
    }

    /// Files of the pipeline's machine, as a file system.
    pub(crate) fn from_host(
        source: super::LocalSource,
        invalid: Vec<Located<Invalid>>,
        at: Location,
    ) -> Self {
        let name = source.to_string();
        let mut body = Body::new(Base::Local(source), at);
        body.edit(at).found(invalid);
        Self { slot: Slot::filled(Some(name), at, body) }
    }

    /// Files that a failed step left, located where that step was written.
    pub(crate) fn from_held(held: Arc<dyn Any + Send + Sync>, at: Location) -> Self {
        Self::of(Base::Held(held), at)
    }

    fn of(base: Base, at: Location) -> Self {
        Self { slot: Slot::filled(None, at, Body::new(base, at)) }
    }

    /// Declares a container that is defined later, so that others can refer to it first.
    #[track_caller]
    pub fn declare(name: impl Into<String>) -> (Self, Definition<Self>) {
        let slot = Slot::declared(name.into(), Location::caller());
        let target = slot.clone();
        let set = Box::new(move |value: Self, at| {
            target.define(value.name(), Body { at, ..value.body() });
        });
        (Self { slot }, Definition { set })
    }

    /// Replaces the base: the image that a container made by [`empty`](Self::empty) starts from.
    #[track_caller]
    pub fn image(self, reference: impl Into<String>) -> Self {
        let reference = reference.into();
        self.edit(|body| {
            body.check(crate::rules::image(&reference));
            body.set_base(Base::Image(reference));
        })
    }

    /// Replaces the base by another container's result: its file system and its configuration.
    #[track_caller]
    pub fn from(self, other: &Container) -> Self {
        let other = other.clone();
        self.edit(|body| body.set_base(Base::Container(other)))
    }

    shared_operations!(
        "use bowline::{Container, Service};
let redis = Service::from_image(\"redis:7\").expose(6379);
let client = Container::from_image(\"redis:7\").bind(\"db\", &redis).exec([\"redis-cli\", \"-h\", \"db\", \"ping\"]);
# let _ = client;"
    );
    confinement_operations!();

    /// Adds a step that runs a command without a shell: a list of arguments, or an [`Exec`](crate::Exec) for more
    /// options. The image's entry point is not used.
    #[track_caller]
    pub fn exec(self, command: impl crate::IntoExec) -> Self {
        let mut exec = command.into_exec();
        self.edit(|body| {
            body.check(crate::arguments::command("exec", &exec.args));
            body.found(std::mem::take(&mut exec.invalid));
            body.push(Op::Exec(exec));
        })
    }

    /// Adds a step that runs a command line through `/bin/sh -c`.
    #[track_caller]
    pub fn shell(self, command: impl Into<String>) -> Self {
        self.exec(["/bin/sh".to_owned(), "-c".to_owned(), command.into()])
    }

    /// Runs the following steps only once `other` has succeeded.
    #[track_caller]
    pub fn after(self, other: &Container) -> Self {
        let other = other.clone();
        self.edit(|body| body.push(Op::After(other)))
    }

    /// Sets the name that logs, plans and errors show.
    pub fn named(self, name: impl Into<String>) -> Self {
        let same = self.edit(|_| {});
        Self { slot: Slot::filled(Some(name.into()), same.slot.at, same.body()) }
    }

    /// The name that logs, plans and errors show, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.slot.name()
    }

    /// A file in this container, once its steps have run.
    #[track_caller]
    pub fn file(&self, path: impl Into<String>) -> File {
        File { at: PathIn::new(self.clone(), path.into()) }
    }

    /// A directory in this container, once its steps have run.
    #[track_caller]
    pub fn directory(&self, path: impl Into<String>) -> Directory {
        Directory { at: PathIn::new(self.clone(), path.into()) }
    }

    #[track_caller]
    fn edit(self, change: impl FnOnce(&mut Edit<'_>)) -> Self {
        let at = Location::caller();
        let edit = |body: &mut Body, holders| {
            if holders == Holders::More {
                body.is_shared_here();
            }
            change(&mut body.edit(at));
        };
        Self { slot: self.slot.edit(missing, edit) }
    }

    /// The operations, or an error when a declared container was never defined.
    pub(crate) fn get(&self) -> std::result::Result<&Body, Error> {
        let undefined = || Error::invalid(self.name(), undefined("container", self.name()));
        self.slot.body.get().ok_or_else(|| undefined().at([self.location()]))
    }

    /// Whether a command is among its own operations, and not only among those of what it starts from.
    #[cfg(feature = "cli")]
    pub(crate) fn has_command(&self) -> bool {
        let body = self.slot.body.get();
        body.is_some_and(|body| body.ops.iter().any(|op| matches!(op.value, Op::Exec(_))))
    }

    fn body(&self) -> Body {
        self.slot.body.get().cloned().unwrap_or_else(|| missing(self.name(), self.slot.at))
    }

    /// Where the container was written: in a pipeline, the place of its item.
    pub(crate) fn location(&self) -> Location {
        self.slot.body.get().map_or(self.slot.at, |body| body.at)
    }

    /// Identifies this very value, not an equal one; used to find cycles.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.slot).addr()
    }
}

fn missing(name: Option<&str>, at: Location) -> Body {
    let mut body = Body::new(Base::Unset, at);
    body.edit(at).invalid(undefined("container", name));
    body
}

pub(crate) fn undefined(kind: &str, name: Option<&str>) -> String {
    format!("{kind} `{}` is used before it is defined, or never was", name.unwrap_or("?"))
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot.body.get() {
            Some(body) => f.debug_tuple("Container").field(&self.name()).field(body).finish(),
            None => write!(f, "Container({:?}, undefined)", self.name()),
        }
    }
}
