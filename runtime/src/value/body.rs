//! What a container or a service is made of: a base and a list of operations, in the user's order.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::{Argument, CacheVolume, Container, Directory, Exec, File, Secret, Service};
use crate::model::{Access, Located, Location};
use crate::rules::Problem;

/// What an environment variable is set to: text, a number or a [`Secret`].
#[derive(Clone)]
pub struct EnvValue(pub(crate) EnvValueKind);

#[derive(Clone)]
pub(crate) enum EnvValueKind {
    Plain(String),
    Secret(Secret),
}

impl<T: Argument> From<T> for EnvValue {
    fn from(value: T) -> Self {
        Self(EnvValueKind::Plain(value.into_argument()))
    }
}

impl From<&Secret> for EnvValue {
    fn from(secret: &Secret) -> Self {
        Self(EnvValueKind::Secret(secret.clone()))
    }
}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            EnvValueKind::Plain(value) => value.fmt(f),
            EnvValueKind::Secret(secret) => secret.fmt(f),
        }
    }
}

/// What can be mounted: a [`CacheVolume`], a [`Directory`], a [`HostDirectory`](super::HostDirectory), a [`File`] or a
/// [`Secret`].
#[derive(Debug, Clone)]
pub struct Mount(pub(crate) MountKind);

#[derive(Debug, Clone)]
pub(crate) enum MountKind {
    Cache(CacheVolume),
    Directory(Directory),
    File(File),
    Secret(Secret),
}

/// What can be copied: a [`Directory`], a [`HostDirectory`](super::HostDirectory) or a [`File`].
#[derive(Debug, Clone)]
pub struct CopySource(pub(crate) CopyKind);

#[derive(Debug, Clone)]
pub(crate) enum CopyKind {
    Directory(Directory),
    File(File),
}

macro_rules! sources {
    ($into:ident, $inner:ident: $($type:ident => $kind:ident),*) => { $(
        impl From<&$type> for $into {
            fn from(value: &$type) -> Self {
                Self($inner::$kind(value.clone()))
            }
        }
        impl From<$type> for $into {
            fn from(value: $type) -> Self {
                Self($inner::$kind(value))
            }
        }
    )* };
}
sources!(Mount, MountKind: CacheVolume => Cache, Directory => Directory, File => File, Secret => Secret);
sources!(CopySource, CopyKind: Directory => Directory, File => File);

/// A mistake in a value. It is kept where it was made and reported when the plan is built or something is run.
#[derive(Debug, Clone)]
pub(crate) struct Invalid(pub(crate) String);

impl From<Problem> for Invalid {
    fn from(problem: Problem) -> Self {
        Self(problem.to_string())
    }
}

/// Where a file system comes from.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    /// Nothing was named yet.
    Unset,
    Image(String),
    Container(Container),
    /// Files of the pipeline's machine.
    Host(super::HostSource),
    /// A file system that an engine holds, what a failed step left behind: a `Held` of the graph.
    Held(Arc<dyn Any + Send + Sync>),
}

/// One operation on a container or service, as the user wrote it.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Set(Setting),
    Platform(String),
    Tmpfs(String),
    Socket { path: String, host: String },
    WriteFile { path: String, contents: Arc<[u8]> },
    Mount { path: String, source: Mount, access: Access },
    Copy { path: String, source: CopySource },
    Bind { alias: String, service: Service },
    Exec(Exec),
    After(Container),
    Invalid(Invalid),
}

/// What processes are given from here on.
#[derive(Debug, Clone)]
pub(crate) enum Setting {
    Env { key: String, value: EnvValue },
    Label { key: String, value: String },
    Workdir(String),
    User(String),
    Entrypoint(Vec<String>),
    Hostname(String),
    Privileged,
    LimitCpu(f64),
    LimitMemory(u64),
    LimitPids(u32),
    LimitNofile(u32),
}

/// The operations of one container or service.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// Where it starts; in a pipeline, where its item does.
    pub(crate) at: Location,
    pub(crate) base: Located<Base>,
    pub(crate) ops: Vec<Located<Op>>,
}

impl Body {
    pub(crate) fn new(base: Base, at: Location) -> Self {
        Self { at, base: Located { value: base, at }, ops: Vec::new() }
    }

    /// What a call of the builder changes, from where it is written.
    pub(crate) fn edit(&mut self, at: Location) -> Edit<'_> {
        Edit { body: self, at }
    }
}

/// A body while a call of the builder changes it.
pub(crate) struct Edit<'a> {
    body: &'a mut Body,
    at: Location,
}

impl Edit<'_> {
    pub(crate) fn push(&mut self, op: Op) {
        self.body.ops.push(Located { value: op, at: self.at });
    }

    pub(crate) fn set(&mut self, setting: Setting) {
        self.push(Op::Set(setting));
    }

    pub(crate) fn invalid(&mut self, message: impl Into<String>) {
        self.push(Op::Invalid(Invalid(message.into())));
    }

    pub(crate) fn check(&mut self, checked: Result<(), Problem>) {
        if let Err(problem) = checked {
            self.push(Op::Invalid(problem.into()));
        }
    }

    /// Mistakes that were made elsewhere.
    pub(crate) fn found(&mut self, invalid: impl IntoIterator<Item = Located<Invalid>>) {
        let op = |Located { value, at }| Located { value: Op::Invalid(value), at };
        self.body.ops.extend(invalid.into_iter().map(op));
    }

    pub(crate) fn set_base(&mut self, base: Base) {
        let second = match (&self.body.base.value, &base) {
            (Base::Unset, _) => None,
            (Base::Image(first), Base::Image(second)) => {
                Some(format!("two images: `{first}` and `{second}`"))
            }
            _ => Some("`from` and `image` exclude each other".to_owned()),
        };
        match second {
            None if !self.body.ops.iter().any(|op| matches!(op.value, Op::Exec(_))) => {
                self.body.base = Located { value: base, at: self.at };
            }
            None => self.invalid("a step stands before the image"),
            Some(message) => self.invalid(message),
        }
    }
}

/// A value that can be named before its body is known, so that declarations may stand in any order.
///
/// Values that were never declared are filled from the start.
pub(crate) struct Slot<B> {
    pub(crate) name: Option<String>,
    /// Where the value was first named.
    pub(crate) at: Location,
    pub(crate) body: OnceLock<B>,
}

impl<B: Clone> Slot<B> {
    pub(crate) fn filled(name: Option<String>, at: Location, body: B) -> Arc<Self> {
        Arc::new(Self { name, at, body: OnceLock::from(body) })
    }

    /// To be filled later.
    pub(crate) fn declared(name: String, at: Location) -> Arc<Self> {
        Arc::new(Self { name: Some(name), at, body: OnceLock::new() })
    }

    /// The body to change: this one when nobody else holds the value, else a copy.
    pub(crate) fn edit(
        self: Arc<Self>,
        missing: impl FnOnce(Option<&str>, Location) -> B,
        change: impl FnOnce(&mut B),
    ) -> Arc<Self> {
        let (name, at, body) = match Arc::try_unwrap(self) {
            Ok(Self { name, at, body }) => (name, at, body.into_inner()),
            Err(shared) => (shared.name.clone(), shared.at, shared.body.get().cloned()),
        };
        let mut body = body.unwrap_or_else(|| missing(name.as_deref(), at));
        change(&mut body);
        Self::filled(name, at, body)
    }
}

/// The duty to say what a declared value is: see [`Container::declare`] and [`Service::declare`].
///
/// ```
/// use bowline::Service;
/// let (redis, definition) = Service::declare("redis");
/// definition.set(Service::from_image("redis:7").expose(6379));
/// assert_eq!(redis.hostname().len(), 26);
/// ```
#[must_use = "a declared value has to be defined with `set`"]
pub struct Definition<T> {
    pub(crate) set: Box<dyn FnOnce(T, Location) + Send>,
}

impl<T> Definition<T> {
    /// Says what the declared value is. Where that is said is where the value [was written](crate::Location).
    #[track_caller]
    pub fn set(self, value: T) {
        (self.set)(value, Location::caller());
    }
}

impl<T> fmt::Debug for Definition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Definition")
    }
}

/// The operations that containers and services share, as builder methods.
///
/// A macro rather than a trait, so that users need no import and the methods stand on the types' own pages.
macro_rules! shared_operations {
    ($example:literal) => {
        /// Sets an environment variable, from here on.
        ///
        /// A [`Secret`](crate::Secret) is delivered when a process runs and never stored.
        #[track_caller]
        pub fn env(self, key: impl Into<String>, value: impl Into<crate::EnvValue>) -> Self {
            let (key, value) = (key.into(), value.into());
            self.edit(|body| {
                body.check(crate::rules::variable(&key));
                if let crate::value::EnvValueKind::Plain(text) = &value.0 {
                    body.check(crate::arguments::variable_value(&key, text));
                }
                body.set(crate::value::Setting::Env { key, value });
            })
        }

        /// Sets a label of the containers that processes run in, from here on: what `docker ps --filter label=…` finds; and of
        /// images that a container is published as.
        /// It is no part of an identity, so a result that was kept under another label is taken all the same. Keys that
        /// start with `bowline.` are taken; Docker recommends the reverse DNS notation, `com.example.team`.
        #[track_caller]
        pub fn label(self, key: impl Into<String>, value: impl crate::Argument) -> Self {
            let (key, value) = (key.into(), value.into_argument());
            self.edit(|body| {
                body.check(crate::rules::label(&key));
                body.check(crate::arguments::text("label", &value));
                body.set(crate::value::Setting::Label { key, value });
            })
        }

        /// Says which platform's variant of the image is meant, as `os/architecture` or `os/architecture/variant` of the
        /// OCI image index: `linux/arm64`. By default it is the engine's own, and an image that is only there for
        /// another is [an error](crate::Error::PlatformNotFound). It stands before the first step, and is part of the
        /// identity.
        ///
        /// An image of another architecture runs where the engine's machine can emulate it (`binfmt_misc`, QEMU). What
        /// is pulled for it is kept beside the image that the reference means, and is found there again.
        ///
        /// ```
        /// use bowline::Container;
        /// let machine = Container::from_image("debian:12").platform("linux/arm64").exec(["uname", "-m"]);
        /// # let _ = machine;
        /// ```
        #[track_caller]
        pub fn platform(self, platform: impl Into<String>) -> Self {
            let platform = platform.into();
            self.edit(|body| {
                body.check(crate::rules::platform(&platform));
                body.push(crate::value::Op::Platform(platform));
            })
        }

        /// Sets the working directory, from here on. A relative path joins the one before it.
        #[track_caller]
        pub fn workdir(self, path: impl Into<String>) -> Self {
            let path = path.into();
            self.edit(|body| {
                body.check(crate::paths::workdir(&path));
                body.set(crate::value::Setting::Workdir(path));
            })
        }

        /// Sets the user of the processes from here on: `name`, `uid`, `name:group` or `uid:gid`.
        #[track_caller]
        pub fn user(self, user: impl Into<String>) -> Self {
            let user = user.into();
            self.edit(|body| {
                body.check(crate::arguments::user(&user));
                body.set(crate::value::Setting::User(user));
            })
        }

        /// Sets the entry point: what a service's `run` stands behind, in place of the image's entry point and command.
        /// Commands of `exec` do not use it. An empty one, `entrypoint([""; 0])`, takes the image's away.
        #[track_caller]
        pub fn entrypoint<A: crate::Argument>(self, args: impl IntoIterator<Item = A>) -> Self {
            let args: Vec<String> = args.into_iter().map(crate::arg).collect();
            self.edit(|body| {
                if !args.is_empty() {
                    body.check(crate::arguments::command("entrypoint", &args));
                }
                body.set(crate::value::Setting::Entrypoint(args));
            })
        }

        /// Sets what processes see as the name of their own host, from here on. By default that is `bowline` for a
        /// container and the content-addressed name for a service. Nobody reaches it by this name: clients `bind`.
        #[track_caller]
        pub fn with_hostname(self, name: impl Into<String>) -> Self {
            let name = name.into();
            self.edit(|body| {
                body.check(crate::arguments::own_host_name(&name));
                body.set(crate::value::Setting::Hostname(name));
            })
        }

        /// Gives processes all of the engine's rights from here on: for what needs a kernel's, such as mounting. They
        /// can then do to the engine's machine whatever they like.
        #[track_caller]
        pub fn privileged(self) -> Self {
            self.edit(|body| body.set(crate::value::Setting::Privileged))
        }

        /// Limits each process from here on to so many processors: `0.5` is half of one's time. As all limits
        /// it is part of an identity only where a command may fail ([`Expect`](crate::Expect)): there the end that it
        /// brings is a result; else it cannot change one, only when it is there.
        #[track_caller]
        pub fn limit_cpu(self, processors: f64) -> Self {
            self.edit(|body| {
                body.push(if processors.is_finite() && processors >= 0.01 {
                    crate::value::Op::Set(crate::value::Setting::LimitCpu(processors))
                } else {
                    let message = format!("`limit cpu` of {processors} processors: at least 0.01 are needed");
                    crate::value::Op::Invalid(crate::value::Invalid(message))
                });
            })
        }

        /// Limits the memory of each process from here on, with those that it starts: `"512MiB"`, or a number of bytes.
        /// The kernel kills what takes more. What it is to identities, [`limit_cpu`](Self::limit_cpu)
        /// says.
        #[track_caller]
        pub fn limit_memory(self, size: impl crate::IntoSize) -> Self {
            let size = size.into_size();
            self.edit(|body| {
                body.push(match size {
                    Ok(bytes) => crate::value::Op::Set(crate::value::Setting::LimitMemory(bytes)),
                    Err(message) => crate::value::Op::Invalid(crate::value::Invalid(message)),
                });
            })
        }

        /// Limits how many processes and threads each process may have from here on, itself and those that it starts
        /// counted, and one that the engine has before it: 2 to 4,194,304. What would be one more cannot be started:
        /// `EAGAIN`. What it is to identities, [`limit_cpu`](Self::limit_cpu) says.
        ///
        /// ```
        /// use bowline::Container;
        /// let tests = Container::from_image("python:3.11").limit_pids(256).exec(["python3", "-m", "unittest"]);
        /// # let _ = tests;
        /// ```
        #[track_caller]
        pub fn limit_pids(self, number: u32) -> Self {
            self.edit(|body| {
                body.check(crate::sizes::pids(number.into()));
                body.set(crate::value::Setting::LimitPids(number));
            })
        }

        /// Limits how many files each process may have open from here on (`RLIMIT_NOFILE`, both the soft and the hard
        /// limit): 1 to as many as the engine may allow, where more are an error when the process is started. By
        /// default it is the engine's limit. What it is to identities, [`limit_cpu`](Self::limit_cpu) says.
        ///
        /// ```
        /// use bowline::Service;
        /// let db = Service::from_image("postgres:15").limit_nofile(65_536).expose(5432);
        /// # let _ = db;
        /// ```
        #[track_caller]
        pub fn limit_nofile(self, number: u32) -> Self {
            self.edit(|body| {
                body.check(crate::sizes::nofile(number.into()));
                body.set(crate::value::Setting::LimitNofile(number));
            })
        }

        /// Puts an empty file system in memory at a path, for every process from here on. Each process has its own, and
        /// what is in it ends with the process: reading a path in it is an error that says so.
        #[track_caller]
        pub fn tmpfs(self, path: impl Into<String>) -> Self {
            let path = path.into();
            self.edit(|body| {
                body.check(crate::paths::mounted_path("tmpfs path", &path));
                body.push(crate::value::Op::Tmpfs(path));
            })
        }

        /// Puts a Unix socket of the engine's machine at a path, for every process from here on. What is behind it is no
        /// part of an identity; both paths are.
        #[track_caller]
        pub fn socket(self, path: impl Into<String>, host_path: impl Into<String>) -> Self {
            let (path, host) = (path.into(), host_path.into());
            self.edit(|body| {
                body.check(crate::paths::mounted_path("socket path", &path));
                body.check(crate::paths::absolute_path("socket path", &host));
                body.push(crate::value::Op::Socket { path, host });
            })
        }

        /// Writes a file (mode 0644, owner root); missing parents are made (mode 0755).
        #[track_caller]
        pub fn with_file(self, path: impl Into<String>, contents: impl AsRef<[u8]>) -> Self {
            let path = path.into();
            let contents = contents.as_ref().into();
            self.edit(|body| {
                body.check(crate::paths::placed_path("file path", &path));
                body.push(crate::value::Op::WriteFile { path, contents });
            })
        }

        /// Mounts a cache volume, a secret, or a private copy of a directory or file, for every process from here on, in
        /// the place of whatever is at the path.
        ///
        /// A cache volume keeps what is written to it, for every later run; a new one has first what is at the path. A
        /// directory or file is copied and is the container's own from here on: what later steps write there goes on with
        /// the container, as [`copy`](Self::copy) would, and is never seen by the source; what was at the path before is
        /// gone. A [`Secret`](crate::Secret) is a file in memory, mode 0400, of at most 4 MiB, which the process's user owns
        /// and nobody can write to. No result, image or cache has its contents; where nothing was at the path, results have
        /// an empty file there.
        ///
        /// Mounts are made in the order they are written, the outer before the inner. A path is mounted once. What a
        /// cache, a secret, a socket, memory, or a read-only mount has is no part of what the container leaves: to read a
        /// path in one, or to put a file there, is an error.
        ///
        /// ```
        /// use bowline::{CacheVolume, Container, Secret};
        /// let publish = Container::from_image("python:3.11")
        ///     .mount("/root/.cache/pip", CacheVolume::new("pip"))
        ///     .mount("/run/secrets/token", Secret::env("API_TOKEN"))
        ///     .shell("publish --token-file /run/secrets/token");
        /// # let _ = publish;
        /// ```
        #[track_caller]
        pub fn mount(self, path: impl Into<String>, source: impl Into<crate::Mount>) -> Self {
            self.mount_with(path.into(), source.into(), crate::model::Access::ReadWrite)
        }

        /// As [`mount`](Self::mount), but nobody can write to it: not to a cache volume, and not to a directory or
        /// file, which then is no part of what the container leaves: without it, what was at the path is there again.
        /// Writing fails with `EROFS`.
        #[track_caller]
        pub fn mount_readonly(self, path: impl Into<String>, source: impl Into<crate::Mount>) -> Self {
            self.mount_with(path.into(), source.into(), crate::model::Access::ReadOnly)
        }

        #[track_caller]
        fn mount_with(self, path: String, source: crate::Mount, access: crate::model::Access) -> Self {
            self.edit(|body| {
                body.check(crate::paths::mounted_path("mount path", &path));
                body.push(crate::value::Op::Mount { path, source, access });
            })
        }

        /// Copies a directory's contents or a file into the file system, where they stay: what the container leaves has
        /// them. Missing parents are made; what has the same name is replaced; owners and permissions are kept. A file
        /// goes to the path itself, or where that ends in `/`, into that directory under its own name.
        ///
        /// ```
        /// use bowline::Container;
        /// let build = Container::from_image("debian:12").shell("mkdir /out && date > /out/date");
        /// let serve = Container::from_image("nginx:1.22").copy("/srv/", build.file("/out/date"));
        /// # let _ = serve;
        /// ```
        #[track_caller]
        pub fn copy(self, path: impl Into<String>, source: impl Into<crate::CopySource>) -> Self {
            let (path, source) = (path.into(), source.into());
            self.edit(|body| {
                body.check(crate::paths::placed_path("copy path", &path));
                body.push(crate::value::Op::Copy { path, source });
            })
        }

        /// Binds a service: it runs, and answers to `alias`, while a process of this one runs.
        ///
        /// The alias belongs to this binding alone; another client may use it for another service.
        ///
        /// ```
        #[doc = $example]
        /// ```
        #[track_caller]
        pub fn bind(self, alias: impl Into<String>, service: &crate::Service) -> Self {
            let (alias, service) = (alias.into(), service.clone());
            self.edit(|body| {
                body.check(crate::rules::alias(&alias));
                body.push(crate::value::Op::Bind { alias, service });
            })
        }
    };
}
pub(crate) use shared_operations;
