//! Errors on the other side of a socket: a sentence.

use std::fmt;

#[derive(Debug)]
pub(super) struct ShimError(String);

impl ShimError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ShimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds what was attempted to an error.
pub(super) trait Context<T> {
    fn context(self, what: impl fmt::Display) -> Result<T, ShimError>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T, ShimError> {
        self.map_err(|error| ShimError(format!("{what}: {error}")))
    }
}
