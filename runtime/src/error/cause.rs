//! The cause of an error.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The error of a library or of the operating system that caused an [`Error`](crate::Error); it is that error's
/// [`source`](std::error::Error::source).
///
/// ```
/// use std::error::Error as _;
/// use bowline::prelude::*;
/// let build = Container::from_image("debian:12").copy("/src", host("/no/such/directory"));
/// let error = build.plan().with_files().unwrap_err();
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
/// assert_eq!(cause.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
/// ```
#[derive(Clone)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

// It is not an error itself: whoever downcasts a source gets the error inside.
impl Deref for Cause {
    type Target = dyn std::error::Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why something failed: the message, and the underlying error if there was one.
#[derive(Debug)]
pub(crate) struct Reason {
    pub(super) message: String,
    pub(super) source: Option<Cause>,
}

impl Reason {
    /// An error with a message other than its own.
    pub(crate) fn said(message: String, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { message, source: Some(Cause(Arc::new(error))) }
    }
}

impl From<String> for Reason {
    fn from(message: String) -> Self {
        Self { message, source: None }
    }
}

impl From<&str> for Reason {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

macro_rules! from_errors {
    ($($type:ty),*) => { $(
        impl From<$type> for Reason {
            fn from(error: $type) -> Self {
                Self::said(error.to_string(), error)
            }
        }
    )* };
}
from_errors!(std::io::Error, serde_json::Error, tokio::task::JoinError);
