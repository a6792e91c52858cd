//! Names of sessions.

use std::fmt;
use std::sync::Arc;

use super::Digest;

/// The name of a session: random, and valid as a part of a DNS label or of a container's name.
#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct SessionId(Arc<str>);

impl SessionId {
    /// A new name: 26 base32hex characters that no other session has, on any machine.
    pub(crate) fn random() -> Self {
        let mut hash = crate::sha256::Sha256::new();
        // The kernel's random numbers where there is a /proc, elsewhere the seed of the standard library's hash tables.
        if let Ok(uuid) = std::fs::read("/proc/sys/kernel/random/uuid") {
            hash.update(uuid);
        }
        let seeded = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        hash.update(seeded.to_le_bytes());
        hash.update(std::process::id().to_le_bytes());
        if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            hash.update(now.as_nanos().to_le_bytes());
        }
        Self(Digest(hash.finalize()).hostname().into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for SessionId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
