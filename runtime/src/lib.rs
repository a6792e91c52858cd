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
//! - **Nothing runs until a result is awaited**, and then only what it needs. A service starts just before its first client,
//!   is ready before that client runs, and is stopped when nobody needs it any more.
//! - **Names are checked**: a misspelt service, a port out of range or a cycle is a compile error at the word that is wrong.
//! - **Results are stored**: run it again, and no container starts.
//! - **It runs on Docker, or without a daemon**: on Linux the program runs its containers itself if no engine answers.
//!
//! # Where to go
//!
//! | read | for |
//! | --- | --- |
//! | the [`guide`] | from the [first pipeline](guide::first_pipeline) on: [tests](guide::tests), [CI](guide::ci), [caching](guide::caching), [secrets](guide::secrets), [debugging](guide::debugging), and what stands for the words of [compose](guide::from_compose), [Dockerfiles](guide::from_dockerfile), [testcontainers](guide::from_testcontainers) and [Dagger](guide::from_dagger) |
//! | [`pipeline!`], [`language`] | the macro, and its words one by one |
//! | [`Service`], [`Container`], [`Directory`], [`File`], [`CacheVolume`], [`Secret`] | the values that it makes, which can be built without it |
//! | [`main`](macro@main), [`test`](macro@test) | what awaits them |
//! | [`Session`] | what happens when a value is awaited, and when that ends |
//! | [`Error`] | what can go wrong |
//! | [`event`], [`Report`] | what happened, for programs and for people |
//!
//! # Features
//!
//! | feature | what it does |
//! | --- | --- |
//! | `docker` (default) | runs pipelines through Docker |
//! | `native` (default) | runs them without a daemon, on Linux |
//! | `registry` | lets the native engine pull images, and publish them |
//! | `tls` | reaches Docker engines over TCP with TLS |
//! | `junit` | reports in the form of JUnit |
//! | `cli` | makes a program with a command line of a pipeline |
//! | `tracing` | what happens as spans and events of the crate `tracing` |
//! | `otel` | sends what happens to a receiver of OpenTelemetry's, as spans |

#![cfg_attr(docsrs, feature(doc_cfg))]
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
#[cfg(unix)]
mod flock;
mod graph;
pub mod guide;
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
mod staging;
mod terminal;
mod value;

pub use bowline_macros::{main, test};

pub use self::engine::{
    Diagnosis, KindUsage, OutputReader, Prune, Pruned, StoredKind, Usage, doctor, prune, usage,
};
pub use self::error::{Cause, Error, Result, ServiceCause, ServiceError, StepCause, StepError, UsedService};
pub use self::graph::{Plan, PlanBuilder, PlannedFiles, PlannedService, PlannedStep};
pub use self::model::{Digest, Endpoint, Entry, EntryKind, Exit, Location, LogLine, Port, Protocol, Stat};
pub use self::report::Report;
#[cfg(feature = "otel")]
pub use self::report::otel;
#[cfg(feature = "tracing")]
pub use self::report::trace;
pub use self::run::{Logs, ServiceExec, Terminal, Tunnel, Tunneling, observe};
pub use self::session::{LogReader, Session};
pub use self::value::{
    Argument, CacheVolume, Container, CopySource, Definition, Directory, EnvValue, Exec, Expect, Exposes,
    Exposing, File, IntoDuration, IntoExec, IntoSize, Item, ItemExport, ItemHandle, ItemKind, Mount, Output,
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
