//! The formats of the OCI specifications and of Docker's archives, each in one place for all engines: those that are
//! read, none of which is trusted, and those that are written.

pub(crate) mod archive;
mod configuration;
#[cfg(any(feature = "docker", feature = "registry"))]
pub(crate) mod credentials;
mod manifest;
mod platform;
mod saved;

#[cfg(feature = "docker")]
pub(super) use self::configuration::Config;
pub(super) use self::configuration::Configuration;
pub(crate) use self::configuration::ImageSpec;
pub(crate) use self::manifest::Packed;
pub(super) use self::manifest::{CONFIGURATION, Descriptor, Document, Index, MANIFEST, Manifest};
pub(super) use self::platform::Platform;
pub(super) use self::saved::Saved;
