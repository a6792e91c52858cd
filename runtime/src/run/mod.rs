//! What awaiting a value does. The top layer, as only it knows both values and sessions.

mod container;
pub(crate) mod entry;
mod error;
mod exec;
mod files;
mod logs;
mod plan;
mod ported;
mod service;
mod session;
mod terminal;
mod tunnel;

pub use self::exec::ServiceExec;
pub use self::logs::Logs;
pub use self::ported::Ported;
pub use self::session::observe;
pub use self::terminal::Terminal;
pub use self::tunnel::{Tunnel, Tunneling};
