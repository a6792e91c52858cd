//! Values that must not be seen.

use std::fmt;
use std::sync::Arc;

use crate::model::Location;

/// Something that processes need and nobody should see: a token, a password.
///
/// Only its name is part of an identity, a plan or a log; its contents are read when a process runs that uses it.
/// It has no `Display` on purpose. `Debug` shows the name. What processes print of it is replaced by `***`: all of
/// it and each line of 8 bytes or more, as they are and in base64, hex, percent or HTML encoding and JSON texts. What a
/// program compresses, encrypts, cuts up or prints in columns is not found.
///
/// As a variable it stands in the configuration of the container, which a Docker engine shows (`docker inspect`) to
/// whoever may use that engine, as long as the container is there: no other way leads to a variable, as the images of
/// processes need not have anything that could read a file for them. Mounted it is in memory, and in no configuration.
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
    /// Given by the program.
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
    /// The value of an environment variable of the pipeline's own process, read when it is used.
    #[track_caller]
    pub fn env(variable: impl Into<String>) -> Self {
        let variable: Arc<str> = variable.into().into();
        Self::new(variable.clone(), SecretSource::Env(variable))
    }

    /// The contents of a file on the pipeline's machine, read when it is used.
    #[track_caller]
    pub fn file(path: impl AsRef<std::path::Path>) -> Self {
        let path = path.as_ref();
        Self::new(path.display().to_string().into(), SecretSource::File(path.into()))
    }

    /// Contents that the program has, under a name that may be shown.
    #[track_caller]
    pub fn value(name: impl Into<String>, contents: impl AsRef<[u8]>) -> Self {
        Self::new(name.into().into(), SecretSource::Value(contents.as_ref().into()))
    }

    #[track_caller]
    fn new(name: Arc<str>, source: SecretSource) -> Self {
        Self { name, source, at: Location::caller() }
    }

    /// The name: all of it that is ever shown.
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

/// What the compiler says where a [`Secret`] is formatted. Nothing implements it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a `Secret` cannot be printed",
    label = "this would put a secret into text, which plans, logs and `ps` show",
    note = "hand it to a process: `env NAME = &secret;` or `mount secret at \"/path\";`",
    note = "`secret.name()` is its name, and `{{:?}}` shows no more"
)]
pub trait Shown {}

/// Whose bound is judged where a secret is formatted and not here, by its lifetime; and which is no `Secret`, so that
/// the compiler says what it says of this bound.
#[doc(hidden)]
#[derive(Debug)]
pub struct Contents<'a>(std::marker::PhantomData<&'a ()>);

/// Never there, as nothing meets the bound: without it the compiler would say that a `Display` is missing, which is an
/// invitation to write one.
#[doc(hidden)]
impl fmt::Display for Secret
where
    for<'a> Contents<'a>: Shown,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where secrets come from, by the words that pipelines use: `secret token = secret::env("API_TOKEN");`.
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
