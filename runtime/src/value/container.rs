//! Containers: a base, configuration, and steps that run in order.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::body::{Slot, shared_operations};
use super::{Base, Body, Definition, Directory, File, Invalid, Op};
use crate::engine::OutputReader;
use crate::graph::{self, Plan};
use crate::session::Stream;
use crate::{Digest, Error, Result, session};

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

    pub(crate) fn from_held(held: graph::Held) -> Self {
        Self { slot: Slot::filled(Body::new(Base::Held(Arc::new(held)))) }
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

    /// What would run for this container, in order. Needs no engine.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::builder().container(self.name().unwrap_or("container"), self).build()
    }

    /// The identity: a hash of everything that can change the result.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the definition has a mistake.
    pub fn digest(&self) -> Result<Digest> {
        Ok(graph::lower_container(self)?.digest)
    }

    /// Runs all steps, where they are not cached, and waits for them to succeed.
    pub fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        session::sync(self.clone())
    }

    /// Runs the container and gives what its last step wrote to standard output, with anything that is not UTF-8
    /// replaced. [`output`](Self::output) has the bytes.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn stdout(&self) -> impl Future<Output = Result<String>> + Send + use<> {
        session::text(self.clone(), Stream::Stdout)
    }

    /// Runs the container and gives what its last step wrote to standard error, with anything that is not UTF-8
    /// replaced.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn stderr(&self) -> impl Future<Output = Result<String>> + Send + use<> {
        session::text(self.clone(), Stream::Stderr)
    }

    /// Runs the container and gives the exit code of its last step, whatever was expected of it: a command that ends with
    /// 3 gives 3 here, and [`Error::StepFailed`] to whoever asks for its output or for what comes after it. Only a success,
    /// or what [`Exec::expect`](crate::Exec::expect) calls one, is cached.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a container without a step; [`Error::StepFailed`] for an earlier step that failed, and for
    /// one that was killed because its time was over; otherwise whatever went wrong on the way.
    pub fn exit_code(&self) -> impl Future<Output = Result<i32>> + Send + use<> {
        session::exit_code(self.clone())
    }

    /// Runs the container and gives both streams and the exit code of its last step, in memory: up to 1 GiB a stream.
    /// [`stdout_reader`](Self::stdout_reader) and [`save_stdout_to`](Self::save_stdout_to) are for larger ones. A command
    /// may write 4 GiB to each stream; what is not in the engine's store yet is in `$TMPDIR`, or `/var/tmp`, meanwhile,
    /// but for the first MiB.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a container without a step, and for more output than that; [`Error::StepFailed`] where the
    /// command ended otherwise than expected; otherwise whatever went wrong on the way.
    pub fn output(&self) -> impl Future<Output = Result<Output>> + Send + use<> {
        session::output(self.clone())
    }

    /// Runs the container and gives a reader of what its last step wrote to standard output, which need not fit in memory.
    ///
    /// ```no_run
    /// # async fn example(dump: bowline::Container) -> bowline::Result<()> {
    /// use std::io::{BufRead, BufReader};
    /// for line in BufReader::new(dump.stdout_reader().await?).lines() {
    ///     println!("{}", line.unwrap_or_default());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`output`](Self::output), whatever the size.
    pub fn stdout_reader(&self) -> impl Future<Output = Result<OutputReader>> + Send + use<> {
        session::stream(self.clone(), Stream::Stdout)
    }

    /// As [`stdout_reader`](Self::stdout_reader), for standard error.
    pub fn stderr_reader(&self) -> impl Future<Output = Result<OutputReader>> + Send + use<> {
        session::stream(self.clone(), Stream::Stderr)
    }

    /// Runs the container and writes what its last step wrote to standard output into a file on the pipeline's machine,
    /// without holding it in memory. Missing parent directories are made; an interruption leaves the old file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written; otherwise as [`output`](Self::output), whatever the size.
    pub fn save_stdout_to<P: AsRef<Path>>(
        &self,
        path: P,
    ) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::save_stream(self.clone(), Stream::Stdout, path.as_ref().to_owned())
    }

    /// As [`save_stdout_to`](Self::save_stdout_to), for standard error.
    pub fn save_stderr_to<P: AsRef<Path>>(
        &self,
        path: P,
    ) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::save_stream(self.clone(), Stream::Stderr, path.as_ref().to_owned())
    }

    /// Runs the container as [`sync`](Self::sync) does, and pushes what it is then to a registry, as an image:
    /// `registry.example/team/app:1.2`, with the tag `latest` where none is said. Gives the image's reference by digest,
    /// `registry.example/team/app@sha256:…`.
    ///
    /// The image has the configuration of the one that the container starts from (its variables, working directory, user,
    /// command, ports, labels …), with what the container says instead; an `entrypoint` of its own takes the command away,
    /// as Docker's does. Nothing of secrets is in it, nor of caches and whatever else is mounted. Where the container's
    /// result is cached, what the native engine pushes is byte for byte the same each time.
    ///
    /// Credentials are those of `docker login`, as for pulls; what the registry has already is not sent again. The native
    /// engine needs the feature `registry` for it. While the Docker engine pushes, the reference is a name of the image in
    /// that engine; afterwards it means there what it meant before.
    ///
    /// ```no_run
    /// # async fn example() -> bowline::Result<()> {
    /// use bowline::Container;
    /// let app = Container::from_image("python:3.11")
    ///     .exec(["pip", "install", "--target", "/app", "httpbin"])
    ///     .env("PYTHONPATH", "/app")
    ///     .entrypoint(["python3", "-m", "httpbin.core"]);
    /// println!("{}", app.publish("registry.example/team/app:1.2").await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a reference to files or one that has a digest; [`Error::Unauthorized`] when the registry
    /// refuses; otherwise whatever went wrong on the way.
    pub fn publish<R: Into<String>>(
        &self,
        reference: R,
    ) -> impl Future<Output = Result<String>> + Send + use<R> {
        session::publish(self.clone(), reference.into())
    }

    /// Runs the container as [`sync`](Self::sync) does, and writes what it is then into a file on the pipeline's machine, as
    /// the image that [`publish`](Self::publish) pushes: one archive that `docker load` reads, and `image
    /// "docker-archive:./app.tar"` of a pipeline. The image has no name in it. Missing parent directories are made; an
    /// interrupted export leaves the old file.
    ///
    /// ```no_run
    /// # async fn example(app: bowline::Container) -> bowline::Result<()> {
    /// app.export_image("build/app.tar").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written; otherwise whatever went wrong on the way.
    pub fn export_image<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::export_image(self.clone(), path.as_ref().to_owned())
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
