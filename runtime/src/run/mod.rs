//! What awaiting a value does. The top layer, as only it knows both values and sessions.

mod container;
pub(crate) mod entry;
mod error;
mod files;
mod plan;
mod service;
mod session;
mod tunnel;

pub use self::session::observe;
pub use self::tunnel::{Tunnel, Tunneling};
