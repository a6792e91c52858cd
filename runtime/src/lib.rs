//! Container pipelines and test services written as Rust, checked by the compiler, run lazily.
//!
//! ```no_run
//! use bowline::prelude::*;
//!
//! #[bowline::main]
//! async fn main() -> Result<()> {
//!     let p = pipeline! {
//!         /// The store under test.
//!         service redis {
//!             image "redis:7";
//!             expose 6379;
//!         }
//!         container ping {
//!             image "redis:7";
//!             bind redis as "redis-srv";
//!             exec ["redis-cli", "-h", "redis-srv", "ping"];
//!         }
//!     };
//!     print!("{}", p.ping.stdout().await?); // PONG: nothing ran before this line
//!     Ok(())
//! }
//! ```
//!
//! [`language`] documents the keywords of [`pipeline!`], [`Container`] and [`Service`] the values that it makes, [`Session`]
//! what happens when one of them is awaited, [`event`] how to observe that, and [`Error`] what can go wrong.

// With all engines built, everything here is used. Code that a build without one of them leaves unused is no mistake.
#![cfg_attr(
    not(all(feature = "docker", feature = "registry", native_engine)),
    allow(dead_code, unused_imports, unreachable_code, clippy::unused_async)
)]

mod arguments;
#[cfg(feature = "cli")]
pub mod cli;
mod engine;
mod error;
pub mod event;
#[cfg(feature = "cli")]
mod flags;
mod graph;
mod home;
pub mod language;
mod lock;
mod macros;
mod model;
mod paths;
mod patterns;
mod reexec;
mod regular;
mod report;
mod rules;
mod run;
mod session;
mod sha256;
mod sizes;
mod terminal;
mod value;

pub use bowline_macros::{main, test};

pub use self::engine::{Diagnosis, OutputReader, Prune, Pruned, doctor, prune};
pub use self::error::{Cause, Error, Result, ServiceCause, ServiceError, StepCause, StepError, UsedService};
pub use self::graph::{Plan, PlanBuilder, PlannedFiles, PlannedService, PlannedStep};
pub use self::model::{Digest, Endpoint, Entry, EntryKind, Exit, Location, LogLine, Port, Protocol, Stat};
pub use self::report::Report;
#[cfg(feature = "tracing")]
pub use self::report::trace;
pub use self::run::{Logs, ServiceExec, Terminal, Tunnel, Tunneling, observe};
pub use self::session::{LogReader, Session};
pub use self::value::{
    Argument, CacheVolume, Container, CopySource, Definition, Directory, EnvValue, Exec, Expect, Exposes,
    Exposing, File, IntoDuration, IntoExec, IntoSize, Item, ItemHandle, ItemKind, Mount, Output,
    PortSelector, Ready, Secret, SecretSource, Service, Stop, arg, secret_sources as secret,
};
pub use self::value::{HostDirectory, IntoDirectory, host, host_file};
pub use self::value::{HostService, IntoHostAddress, IntoHostPort, host_service};

/// What a program with pipelines needs: `use bowline::prelude::*;`.
pub mod prelude {
    pub use crate::{
        CacheVolume, Container, Directory, Error, Exec, Expect, Exposes, File, Plan, Port, Ready, Result,
        Secret, Service, Session, Stop, Tunnel, host, host_file, host_service, pipeline, secret,
    };
}

#[cfg(all(fuzzing, feature = "docker", native_engine))]
#[doc(hidden)]
pub use self::engine::fuzz;
#[doc(hidden)]
pub use self::macros::__private;
