//! Registries (OCI distribution specification): where they are, and what is said to them.

#[cfg(feature = "registry")]
mod bounded;
#[cfg(feature = "registry")]
mod challenge;
#[cfg(feature = "registry")]
mod client;
#[cfg(feature = "registry")]
mod download;
#[cfg(feature = "registry")]
mod refusal;
mod routes;
#[cfg(feature = "registry")]
mod upload;

#[cfg(feature = "registry")]
pub(super) use self::client::{Doing, Remote, Said};
#[cfg(feature = "registry")]
pub(super) use self::download::{Download, SILENCE as DOWNLOAD_SILENCE, Trouble, fetch};
#[cfg(feature = "registry")]
pub(super) use self::refusal::Refusal;
#[cfg(feature = "registry")]
pub(super) use self::routes::own;
pub(super) use self::routes::{Endpoint, Route, check, find};
#[cfg(feature = "registry")]
pub(super) use self::upload::upload;
