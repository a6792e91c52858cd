//! Runs of steps.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Digest, SessionId};

/// A run of a step: random, so that results that are made of different runs are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct RunId(Arc<str>);

impl RunId {
    pub(crate) fn random() -> Self {
        Self(SessionId::random().as_str().into())
    }

    /// Whether it is that of something that has no runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

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

/// Where a result is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Provenance {
    /// The run that it is of.
    pub(crate) run: RunId,
    pub(crate) made_of: Vec<MadeOf>,
    /// When that run ended.
    pub(crate) made: SystemTime,
}

impl Provenance {
    /// That of a run which ends now.
    pub(crate) fn now(run: RunId, made_of: Vec<MadeOf>) -> Self {
        Self { run, made_of, made: SystemTime::now() }
    }

    /// That of what is made of nothing but what its key says.
    pub(crate) fn of_nothing() -> Self {
        Self::now("".into(), Vec::new())
    }
}
