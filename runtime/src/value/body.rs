//! What a container or a service is made of: a base and a list of operations, in the user's order.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Argument, CacheVolume, Container, Directory, Exec, File, Secret, Service};
use crate::arguments;
use crate::model::{Access, Grant, HostServer, Limits, Located, Location, SecurityContext};
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
    Local(super::LocalSource),
    /// A file system that an engine holds, what a failed step left behind: a `Held` of the graph.
    Held(Arc<dyn Any + Send + Sync>),
    /// What a service leaves once the program has prepared it.
    Prepared(super::Preparation),
    /// No file system: a server outside of all containers. For services.
    Server(HostServer),
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
    Security(SecurityContext),
    Limits(Limits),
}

/// The operations of one container or service.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// Where it starts; in a pipeline, where its item does.
    pub(crate) at: Location,
    pub(crate) base: Located<Base>,
    pub(crate) ops: Vec<Located<Op>>,
    /// Numbers of operations after which another value was there too, so that what these come to may be asked for.
    pub(crate) shared_after: Vec<usize>,
}

impl Body {
    pub(crate) fn new(base: Base, at: Location) -> Self {
        Self { at, base: Located { value: base, at }, ops: Vec::new(), shared_after: Vec::new() }
    }

    /// What a call of the builder changes, from where it is written.
    pub(crate) fn edit(&mut self, at: Location) -> Edit<'_> {
        Edit { body: self, at }
    }

    /// Takes note that another value ends here, from which this one goes on.
    pub(crate) fn is_shared_here(&mut self) {
        self.shared_after.push(self.ops.len());
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

    /// `change` says what is allowed, or taken away, from here on.
    pub(crate) fn secure(&mut self, change: impl FnOnce(&mut SecurityContext)) {
        let mut security = SecurityContext::default();
        change(&mut security);
        self.set(Setting::Security(security));
    }

    /// `change` says what is limited from here on.
    pub(crate) fn limit(&mut self, change: impl FnOnce(&mut Limits)) {
        let mut limits = Limits::default();
        change(&mut limits);
        self.set(Setting::Limits(limits));
    }

    /// Adds or drops a capability, if there is one of this name.
    pub(crate) fn change_capability(&mut self, name: &str, grant: Grant) {
        match arguments::capability(name) {
            Ok(name) => self.secure(|security| {
                security.capabilities.change(name, grant, arguments::ALL_CAPABILITIES);
            }),
            Err(problem) => self.invalid(problem.to_string()),
        }
    }

    /// A limit of so many bytes, where a rule has nothing against it.
    pub(crate) fn limit_bytes(
        &mut self,
        size: Result<u64, String>,
        rule: impl FnOnce(u64) -> Result<(), Problem>,
        field: impl FnOnce(&mut Limits) -> &mut Option<u64>,
    ) {
        match size.and_then(|bytes| rule(bytes).map(|()| bytes).map_err(|problem| problem.to_string())) {
            Ok(bytes) => self.limit(|limits| *field(limits) = Some(bytes)),
            Err(message) => self.invalid(message),
        }
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
            (Base::Prepared(_), _) => Some("a prepared service has its file system".to_owned()),
            (Base::Server(_), _) => Some("a host service has no image".to_owned()),
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
    name: Option<String>,
    /// A name that came with the body of a declared value, in the place of the first.
    renamed: OnceLock<String>,
    /// Where the value was first named.
    pub(crate) at: Location,
    pub(crate) body: OnceLock<B>,
    /// Whether another value has gone on from this one.
    has_branched: AtomicBool,
}

/// Who has the value that is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holders {
    One,
    /// Others have it as it was, or had it when they went on from it.
    More,
}

impl<B: Clone> Slot<B> {
    pub(crate) fn filled(name: Option<String>, at: Location, body: B) -> Arc<Self> {
        Self::with_body(name, at, OnceLock::from(body))
    }

    /// To be filled later.
    pub(crate) fn declared(name: String, at: Location) -> Arc<Self> {
        Self::with_body(Some(name), at, OnceLock::new())
    }

    fn with_body(name: Option<String>, at: Location, body: OnceLock<B>) -> Arc<Self> {
        Arc::new(Self { name, renamed: OnceLock::new(), at, body, has_branched: AtomicBool::new(false) })
    }

    /// The name that logs, plans and errors show.
    pub(crate) fn name(&self) -> Option<&str> {
        self.renamed.get().or(self.name.as_ref()).map(String::as_str)
    }

    /// Defines a declared value, once.
    pub(crate) fn define(&self, name: Option<&str>, body: B) {
        if self.body.set(body).is_ok()
            && let Some(name) = name
        {
            let _ = self.renamed.set(name.to_owned());
        }
    }

    /// The body to change: this one when nobody else holds the value, else a copy.
    pub(crate) fn edit(
        self: Arc<Self>,
        missing: impl FnOnce(Option<&str>, Location) -> B,
        change: impl FnOnce(&mut B, Holders),
    ) -> Arc<Self> {
        let (name, at, body, holders) = match Arc::try_unwrap(self) {
            Ok(Self { name, renamed, at, body, has_branched }) => {
                let holders = if has_branched.into_inner() { Holders::More } else { Holders::One };
                (renamed.into_inner().or(name), at, body.into_inner(), holders)
            }
            Err(shared) => {
                shared.has_branched.store(true, Ordering::Relaxed);
                (shared.name().map(str::to_owned), shared.at, shared.body.get().cloned(), Holders::More)
            }
        };
        let mut body = body.unwrap_or_else(|| missing(name.as_deref(), at));
        change(&mut body, holders);
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
