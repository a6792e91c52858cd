//! What awaiting a value does: on top of everything, as it alone knows values and sessions both.

mod container;
pub(crate) mod entry;
mod error;
mod files;
mod plan;
mod service;
mod session;

pub use self::session::observe;
