//! What lies behind an error.

use std::fmt;
use std::sync::Arc;

/// An error of a library or of the operating system.
pub(super) type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Why something failed: what is said of it, and the error that said so, where there was one.
#[derive(Debug)]
pub(crate) struct Cause {
    pub(super) message: String,
    pub(super) source: Option<Source>,
}

impl Cause {
    /// An error of which something else is said than it says itself.
    #[cfg(any(feature = "docker", native_engine))]
    pub(crate) fn said(message: String, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { message, source: Some(Arc::new(error)) }
    }
}

impl From<String> for Cause {
    fn from(message: String) -> Self {
        Self { message, source: None }
    }
}

impl From<&str> for Cause {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl From<fmt::Arguments<'_>> for Cause {
    fn from(message: fmt::Arguments<'_>) -> Self {
        message.to_string().into()
    }
}

macro_rules! from_errors {
    ($($type:ty),*) => { $(
        impl From<$type> for Cause {
            fn from(error: $type) -> Self {
                Self { message: error.to_string(), source: Some(Arc::new(error)) }
            }
        }
    )* };
}
from_errors!(std::io::Error, serde_json::Error, tokio::task::JoinError);
