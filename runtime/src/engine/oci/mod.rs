//! The formats of the OCI specifications and of Docker's archives, each in one place for all engines: those that are
//! read, none of which is trusted, and those that are written.

#[cfg(any(feature = "docker", native_engine))]
pub(crate) mod archive;
mod configuration;
#[cfg(any(feature = "docker", all(feature = "registry", native_engine)))]
pub(crate) mod credentials;
#[cfg(any(feature = "docker", native_engine))]
mod manifest;
mod platform;
#[cfg(any(feature = "docker", native_engine))]
mod saved;

#[cfg(feature = "docker")]
pub(super) use self::configuration::Config;
#[cfg(any(feature = "docker", native_engine))]
pub(super) use self::configuration::Configuration;
pub(crate) use self::configuration::ImageSpec;
#[cfg(any(feature = "docker", native_engine))]
pub(super) use self::manifest::{CONFIGURATION, Descriptor, Document, Index, LAYER, MANIFEST, Manifest};
pub(super) use self::platform::Platform;
#[cfg(any(feature = "docker", native_engine))]
pub(super) use self::saved::Saved;
