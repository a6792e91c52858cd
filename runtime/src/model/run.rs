//! Runs of steps.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Digest;
#[cfg(feature = "docker")]
use super::SessionId;

/// A run of a step: random, so that results that are made of different runs are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct RunId(Arc<str>);

impl RunId {
    #[cfg(feature = "docker")]
    pub(crate) fn random() -> Self {
        Self(SessionId::random().as_str().into())
    }

    /// The only one there is, on an engine that keeps the files of every run.
    #[cfg(native_engine)]
    pub(crate) fn only() -> Self {
        Self("".into())
    }

    /// Whether it is [the only one](Self::only).
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(feature = "docker")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for RunId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl From<&str> for RunId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

/// What a result was made of: a result of another step, in one of that step's runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct MadeOf {
    pub(crate) key: Digest,
    pub(crate) run: RunId,
}
