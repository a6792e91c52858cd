//! Values that must not be seen.

use std::fmt;
use std::sync::Arc;

use crate::model::Location;

/// A value that processes need and nobody should see: a token, a password.
///
/// Only its name is part of an identity, a plan or a log; its contents are read when a process that uses it runs. It
/// deliberately has no `Display`, and `Debug` shows the name. Where a process prints the secret, `***` replaces it: the
/// whole secret and each line of it of 8 bytes or more, as they are and in base64, hex, percent or HTML encoding and in
/// JSON texts. What a program compresses, encrypts, cuts up or prints in columns is not found.
///
/// A secret in a variable is part of the container's configuration, which a Docker engine shows (`docker inspect`) to
/// everybody who may use that engine, while the container exists: there is no other way to set a variable, as an image
/// need not have a program that could read it from a file. A mounted secret is in memory and in no configuration.
///
/// ```
/// use bowline::{Container, Secret};
/// let token = Secret::env("API_TOKEN");
/// let fetch = Container::from_image("debian:12").env("TOKEN", &token).shell("fetch --token-from-env TOKEN");
/// assert_eq!(format!("{token:?}"), "Secret(API_TOKEN)");
/// # let _ = fetch;
/// ```
#[derive(Clone)]
pub struct Secret {
    name: Arc<str>,
    source: SecretSource,
    at: Location,
}

/// Where a secret's contents come from.
#[derive(Clone)]
#[non_exhaustive]
pub enum SecretSource {
    /// An environment variable of the pipeline's own process.
    Env(Arc<str>),
    /// A file on the pipeline's machine.
    File(Arc<std::path::Path>),
    /// Contents that the program gave.
    Value(Arc<[u8]>),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "Env({name})"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Value(_) => f.write_str("Value(***)"),
        }
    }
}

impl Secret {
    /// The value of an environment variable of the pipeline's own process, read when a process that uses the secret runs.
    #[track_caller]
    pub fn env(variable: impl Into<String>) -> Self {
        let variable: Arc<str> = variable.into().into();
        Self::new(variable.clone(), SecretSource::Env(variable))
    }

    /// The contents of a file on the pipeline's machine, read when a process that uses the secret runs.
    #[track_caller]
    pub fn file(path: impl AsRef<std::path::Path>) -> Self {
        let path = path.as_ref();
        Self::new(path.display().to_string().into(), SecretSource::File(path.into()))
    }

    /// Contents that the program already has, under a name that may be shown.
    #[track_caller]
    pub fn value(name: impl Into<String>, contents: impl AsRef<[u8]>) -> Self {
        Self::new(name.into().into(), SecretSource::Value(contents.as_ref().into()))
    }

    #[track_caller]
    fn new(name: Arc<str>, source: SecretSource) -> Self {
        Self { name, source, at: Location::caller() }
    }

    /// The name, which is all that is ever shown.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn source(&self) -> &SecretSource {
        &self.source
    }

    pub(crate) fn location(&self) -> Location {
        self.at
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

/// What the compiler reports where a [`Secret`] is formatted. Nothing implements it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a `Secret` cannot be printed",
    label = "this would put a secret into text, which plans, logs and `ps` show",
    note = "hand it to a process: `env NAME = &secret;` or `mount secret at \"/path\";`",
    note = "`secret.name()` is its name, and `{{:?}}` shows no more"
)]
pub trait Shown {}

/// Carries the bound that formatting a secret violates. Its lifetime makes the compiler judge the bound where a secret is
/// formatted and not here; it is not `Secret` itself, so that the compiler reports this bound.
#[doc(hidden)]
#[derive(Debug)]
pub struct Contents<'a>(std::marker::PhantomData<&'a ()>);

/// Never applies, as nothing meets the bound. Without it the compiler would report that `Display` is missing, which
/// invites people to write one.
#[doc(hidden)]
impl fmt::Display for Secret
where
    for<'a> Contents<'a>: Shown,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Constructors of secrets under the words that pipelines use: `secret token = secret::env("API_TOKEN");`.
///
/// ```
/// use bowline::prelude::*;
/// let p = pipeline! {
///     secret token = secret::env("API_TOKEN");
///     container fetch {
///         image "debian:12";
///         env TOKEN = &token;
///         shell "fetch --token-from-env TOKEN";
///     }
/// };
/// # let _ = p;
/// ```
pub mod sources {
    use std::path::Path;

    use super::Secret;

    /// As [`Secret::env`].
    #[must_use]
    #[track_caller]
    pub fn env(variable: impl Into<String>) -> Secret {
        Secret::env(variable)
    }

    /// As [`Secret::file`].
    #[must_use]
    #[track_caller]
    pub fn file(path: impl AsRef<Path>) -> Secret {
        Secret::file(path)
    }

    /// As [`Secret::value`].
    #[must_use]
    #[track_caller]
    pub fn value(name: impl Into<String>, contents: impl AsRef<[u8]>) -> Secret {
        Secret::value(name, contents)
    }
}
