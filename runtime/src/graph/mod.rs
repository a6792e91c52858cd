//! What values mean: steps and services as nodes of a graph, each with an identity.
//!
//! Pure: no I/O, no clock, no engine. Lowering a value (`lower`) checks what only a whole definition can show, folds the
//! operations into steps, and gives every node its digest (`identity`, over the canonical encoding of `encode`). A plan
//! (`plan`) is that graph made readable.

mod ask;
mod config;
#[cfg(feature = "cli")]
mod edges;
mod encode;
mod expiring;
mod identity;
mod layout;
mod locations;
mod lower;
mod node;
mod plan;
mod requirements;
mod uses;

#[cfg(feature = "cli")]
pub(crate) use self::edges::{Edge, edges};
pub(crate) use self::encode::Encoder;
#[cfg(feature = "cli")]
pub(crate) use self::identity::ingredients::{Asked, Change, Ingredients, Recorder};
pub(crate) use self::identity::{Contents, Identities, Resolved, source_at};
pub(crate) use self::lower::{hostname, lower_container, lower_path, lower_service};
pub(crate) use self::node::{
    Binding, Config, ContainerNode, Expiring, Fs, Held, Mount, MountSource, Place, Prepared, ServiceBase,
    ServiceNode, Step, Var, closure,
};
pub use self::plan::{Plan, PlanBuilder, PlannedFiles, PlannedService, PlannedStep};
pub(crate) use self::requirements::Requirements;
pub(crate) use self::uses::Uses;
