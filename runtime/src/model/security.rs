//! What processes may do, and what the kernel does for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is not as it is for all processes of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecurityContext {
    /// Whether they have all the rights that the engine can give.
    pub(crate) privileged: bool,
    /// Settings of the kernel, by their names with dots.
    pub(crate) sysctls: BTreeMap<String, String>,
}

impl SecurityContext {
    /// What `later` says counts from here on.
    pub(crate) fn set(&mut self, later: &Self) {
        let Self { privileged, sysctls } = later;
        self.privileged |= privileged;
        self.sysctls.extend(sysctls.clone());
    }

    /// Whether a network that they have had may be another one than before.
    pub(crate) fn may_change_network(&self) -> bool {
        let Self { privileged, sysctls } = self;
        *privileged || !sysctls.is_empty()
    }

    /// As statements, for people.
    pub(crate) fn shown(&self) -> Vec<String> {
        let Self { privileged, sysctls } = self;
        let sysctls = sysctls.iter().map(|(name, value)| format!("sysctl {name}={value}"));
        privileged.then(|| "privileged".to_owned()).into_iter().chain(sysctls).collect()
    }
}
