//! Containers: a base, configuration, and steps that run in order.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::body::{Slot, shared_operations};
use super::{Base, Body, Definition, Directory, File, Invalid, Op};
use crate::Error;

/// A container: an image, what is put into it, and the commands that run in it, one after another.
///
/// Methods take first what the container sees (an alias, a path, a variable's name), then what is behind it:
/// `bind("db", &postgres)`, `mount("/src", &source)`, `env("PORT", 5432)`.
///
/// A value only describes; nothing runs until an output is awaited. Cloning is cheap, and every method that changes
/// something gives a new value. The futures of outputs borrow nothing: they can be joined, stored and spawned.
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

/// What the last command of a container gave.
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
    /// A container of this image: `redis:7`, `registry.example/team/app:1.2`, `busybox@sha256:…`; or in files of this
    /// machine: `oci:./dir` (an OCI image layout), `docker-archive:./x.tar` (what `docker save` writes), relative to the
    /// working directory, with `:name` behind them where there are several (containers-transports(5)).
    pub fn from_image(reference: impl Into<String>) -> Self {
        let reference = reference.into();
        let checked = crate::rules::image(&reference);
        let mut body = Body::new(Base::Image(reference));
        body.check(checked);
        Self { slot: Slot::filled(body) }
    }

    /// A container that goes on from another one: its file system and its configuration.
    pub fn from_container(other: &Container) -> Self {
        Self { slot: Slot::filled(Body::new(Base::Container(other.clone()))) }
    }

    /// A container without a base yet: for code that decides late. Running it is an error that says so.
    pub fn empty() -> Self {
        Self { slot: Slot::filled(Body::new(Base::Unset)) }
    }

    /// Files of the pipeline's machine, as a file system.
    pub(crate) fn from_host(source: super::HostSource, invalid: Vec<Invalid>) -> Self {
        let name = source.to_string();
        let mut body = Body::new(Base::Host(source));
        body.ops.extend(invalid.into_iter().map(Op::Invalid));
        Self { slot: Slot::filled(body) }.named(name)
    }

    pub(crate) fn from_held(held: Arc<dyn Any + Send + Sync>) -> Self {
        Self { slot: Slot::filled(Body::new(Base::Held(held))) }
    }

    /// A container whose definition comes later, so that others can name it before.
    pub fn declare(name: impl Into<String>) -> (Self, Definition<Self>) {
        let slot = Arc::new(Slot { name: Some(name.into()), body: std::sync::OnceLock::new() });
        let target = slot.clone();
        let set = Box::new(move |value: Self| {
            let _ = target.body.set(value.body());
        });
        (Self { slot }, Definition { set })
    }

    /// Replaces the base: the image a container or service of [`empty`](Self::empty) starts from.
    pub fn image(self, reference: impl Into<String>) -> Self {
        let reference = reference.into();
        self.edit(|body| {
            body.check(crate::rules::image(&reference));
            body.set_base(Base::Image(reference));
        })
    }

    /// Replaces the base by another container's result: its file system and its configuration.
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

    /// Adds a step that runs a command, without a shell: a list of arguments, or an [`Exec`](crate::Exec) with more
    /// to say. The image's entry point is not used.
    pub fn exec(self, command: impl crate::IntoExec) -> Self {
        let mut exec = command.into_exec();
        self.edit(|body| {
            let invalid = std::mem::take(&mut exec.invalid);
            body.ops.extend(invalid.into_iter().map(Op::Invalid));
            body.ops.push(Op::Exec(exec));
        })
    }

    /// Adds a step that runs a command line with `/bin/sh -c`.
    pub fn shell(self, command: impl Into<String>) -> Self {
        self.exec(["/bin/sh".to_owned(), "-c".to_owned(), command.into()])
    }

    /// Runs the steps from here on only once `other` has succeeded.
    pub fn after(self, other: &Container) -> Self {
        let other = other.clone();
        self.edit(|body| body.ops.push(Op::After(other)))
    }

    /// Sets the name that logs, plans and errors show.
    pub fn named(self, name: impl Into<String>) -> Self {
        let slot = Slot { name: Some(name.into()), body: std::sync::OnceLock::new() };
        let _ = slot.body.set(self.body());
        Self { slot: Arc::new(slot) }
    }

    /// The name that logs, plans and errors show, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.slot.name.as_deref()
    }

    /// A file that is in this container once its steps have run.
    pub fn file(&self, path: impl Into<String>) -> File {
        File::in_container(self.clone(), path.into())
    }

    /// A directory that is in this container once its steps have run.
    pub fn directory(&self, path: impl Into<String>) -> Directory {
        Directory::in_container(self.clone(), path.into())
    }

    fn edit(self, change: impl FnOnce(&mut Body)) -> Self {
        let missing = |name: Option<&str>| Body {
            base: Base::Unset,
            ops: vec![Op::Invalid(Invalid(undefined("container", name)))],
        };
        Self { slot: self.slot.edit(missing, change) }
    }

    /// The operations, or none when a declared container was not defined.
    pub(crate) fn get(&self) -> std::result::Result<&Body, Error> {
        self.slot.body.get().ok_or_else(|| Error::invalid(self.name(), undefined("container", self.name())))
    }

    fn body(&self) -> Body {
        self.slot.body.get().cloned().unwrap_or_else(|| Body {
            base: Base::Unset,
            ops: vec![Op::Invalid(Invalid(undefined("container", self.name())))],
        })
    }

    /// The same value, not an equal one: what cycles are found by.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.slot).addr()
    }
}

impl Body {
    pub(crate) fn set_base(&mut self, base: Base) {
        let second = match (&self.base, &base) {
            (Base::Unset, _) => None,
            (Base::Image(first), Base::Image(second)) => {
                Some(format!("two images: `{first}` and `{second}`"))
            }
            _ => Some("`from` and `image` exclude each other".to_owned()),
        };
        match second {
            None if !self.ops.iter().any(|op| matches!(op, Op::Exec(_))) => self.base = base,
            None => self.ops.push(Op::Invalid(Invalid("a step stands before the image".to_owned()))),
            Some(message) => self.ops.push(Op::Invalid(Invalid(message))),
        }
    }
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
