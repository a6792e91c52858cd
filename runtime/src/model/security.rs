//! What processes may do.

use serde::{Deserialize, Serialize};

/// What the kernel lets processes do, where that is not what the engine lets all do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecurityContext {
    /// Whether they have all the rights that the engine can give.
    pub(crate) privileged: bool,
}

impl SecurityContext {
    /// What `later` says counts from here on.
    pub(crate) fn set(&mut self, later: &Self) {
        let Self { privileged } = later;
        self.privileged |= privileged;
    }

    /// As statements, for people.
    pub(crate) fn shown(&self) -> Vec<String> {
        let Self { privileged } = self;
        privileged.then(|| "privileged".to_owned()).into_iter().collect()
    }
}
