//! What users hold: immutable, cheap, lazy values.
//!
//! A value only describes. It is the ordered list of what was asked for, and building it does no I/O; the graph
//! (`crate::graph`) gives it an identity, and a session (`crate::session`) runs it when an output is awaited. Nothing in
//! here knows how either works.

mod argument;
mod body;
mod cache;
mod confinement;
mod container;
mod directory;
mod exec;
mod exposes;
mod handle;
mod host_service;
mod item;
mod local;
mod names;
mod operations;
mod prepared;
mod ready;
mod secret;
mod service;
mod stop;

pub use self::argument::{Argument, IntoDuration, IntoSize, arg};
pub(crate) use self::body::{Base, Body, CopyKind, EnvValueKind, Invalid, MountKind, Op, Setting};
pub use self::body::{CopySource, Definition, EnvValue, Mount};
pub use self::cache::CacheVolume;
pub use self::container::{Container, Output};
pub(crate) use self::directory::PathIn;
pub use self::directory::{Directory, File};
pub(crate) use self::exec::ExecOptions;
pub use self::exec::{Exec, Expect, IntoExec};
pub use self::exposes::{Exposes, Exposing};
pub use self::handle::HandleOf;
pub use self::host_service::{HostService, IntoHostAddress, IntoHostPort, host_service};
pub use self::item::{Item, ItemExport, ItemHandle, ItemKind, Items};
pub use self::local::{HostDirectory, IntoDirectory, host, host_file};
pub(crate) use self::local::{IgnoreFiles, LocalKind, LocalSource};
pub(crate) use self::names::names_of_services;
pub(crate) use self::prepared::{Preparation, Prepare};
pub(crate) use self::ready::{Check, PortRef};
pub use self::ready::{PortSelector, Ready};
pub use self::secret::{Secret, SecretSource, sources as secret_sources};
pub use self::service::Service;
pub(crate) use self::service::ServiceBody;

pub use self::stop::Stop;
