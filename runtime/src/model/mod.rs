//! Plain data that every module uses. Nothing here runs, reads or asks anything.

mod cache;
mod content;
mod digest;
mod files;
mod host;
mod image;
mod limits;
mod location;
mod names;
mod port;
mod process;
mod run;
mod security;
mod session;
mod trace;

pub(crate) use self::cache::{CacheUse, Sharing};
pub(crate) use self::content::ContentDigest;
pub use self::digest::Digest;
pub(crate) use self::files::{Access, Existing, Snapshot};
pub use self::files::{Entry, EntryKind, Stat};
pub(crate) use self::host::{HostAddress, HostServer};
pub(crate) use self::image::{ImageFile, ImageFileKind, ImageName};
pub(crate) use self::limits::Limits;
pub use self::location::Location;
pub(crate) use self::location::{Located, Place};
pub(crate) use self::names::{CacheKey, Hostname};
pub use self::port::{Endpoint, Port, Protocol};
pub(crate) use self::process::WindowSize;
pub use self::process::{Exit, LogLine, Stream};
pub(crate) use self::run::{MadeOf, Provenance, RunId};
pub(crate) use self::security::{Capabilities, Grant, SecurityContext};
pub(crate) use self::session::SessionId;
pub(crate) use self::trace::{TRACEPARENT, TRACESTATE, TraceContext};
