//! What processes may do, and what the kernel does for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is not as it is for all processes of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecurityContext {
    /// Whether they have all the rights that the engine can give.
    pub(crate) privileged: bool,
    pub(crate) capabilities: Capabilities,
    /// Settings of the kernel, by their names with dots.
    pub(crate) sysctls: BTreeMap<String, String>,
}

/// Capabilities (capabilities(7)) that root of a container has, and others may get by programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capabilities {
    /// `ALL`; the engine's own choice where nothing is said.
    pub(crate) all: Option<Grant>,
    /// Single ones that differ from that, by their names without `CAP_`.
    pub(crate) single: BTreeMap<String, Grant>,
}

/// Whether a capability is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Grant {
    Added,
    Dropped,
}

impl Grant {
    /// As the language has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Added => "add",
            Self::Dropped => "drop",
        }
    }
}

impl Capabilities {
    /// By its name without `CAP_`, or all.
    pub(crate) fn change(&mut self, name: &str, grant: Grant, all: &str) {
        if name == all {
            self.all = Some(grant);
            self.single.clear();
        } else {
            self.single.insert(name.to_owned(), grant);
        }
    }

    /// What `later` says counts from here on: of each capability the last that is said.
    fn set(&mut self, later: &Self) {
        let Self { all, single } = later;
        if all.is_some() {
            self.all = *all;
            self.single.clear();
        }
        self.single.extend(single.iter().map(|(name, grant)| (name.clone(), *grant)));
        self.single.retain(|_, grant| self.all != Some(*grant));
    }

    /// The names of single ones that were added, or dropped.
    pub(crate) fn names(&self, wanted: Grant) -> impl Iterator<Item = &String> {
        self.single.iter().filter(move |(_, grant)| **grant == wanted).map(|(name, _)| name)
    }

    pub(crate) fn is_default(&self) -> bool {
        self.all.is_none() && self.single.is_empty()
    }

    fn has(&self, wanted: Grant) -> bool {
        self.all == Some(wanted) || self.names(wanted).next().is_some()
    }
}

impl SecurityContext {
    /// What `later` says counts from here on.
    pub(crate) fn set(&mut self, later: &Self) {
        let Self { privileged, capabilities, sysctls } = later;
        self.privileged |= privileged;
        self.capabilities.set(capabilities);
        self.sysctls.extend(sysctls.clone());
    }

    /// What cannot be meant, as no engine does it.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        (self.privileged && self.capabilities.has(Grant::Dropped)).then_some(
            "`privileged` gives all capabilities, those too that `cap drop` takes away\n\nhelp: leave one of the two out; `cap add` gives single ones",
        )
    }

    /// Whether a network that they have had may be another one than before.
    pub(crate) fn may_change_network(&self) -> bool {
        self.privileged || self.capabilities.has(Grant::Added) || !self.sysctls.is_empty()
    }

    /// As statements, for people.
    pub(crate) fn shown(&self) -> Vec<String> {
        let Self { privileged, capabilities: Capabilities { all, single }, sysctls } = self;
        let mut shown: Vec<String> = privileged.then(|| "privileged".to_owned()).into_iter().collect();
        shown.extend(all.map(|grant| format!("cap {} ALL", grant.word())));
        shown.extend(single.iter().map(|(name, grant)| format!("cap {} {name}", grant.word())));
        shown.extend(sysctls.iter().map(|(name, value)| format!("sysctl {name}={value}")));
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(changes: &[(&str, Grant)]) -> Vec<String> {
        let mut context = SecurityContext::default();
        for (name, grant) in changes {
            let mut later = SecurityContext::default();
            later.capabilities.change(name, *grant, "ALL");
            context.set(&later);
        }
        context.shown()
    }

    #[test]
    fn of_each_capability_the_last_word_counts() {
        use Grant::{Added, Dropped};
        assert_eq!(after(&[("CHOWN", Dropped), ("CHOWN", Added)]), ["cap add CHOWN"]);
        assert_eq!(after(&[("ALL", Dropped), ("CHOWN", Added)]), ["cap drop ALL", "cap add CHOWN"]);
        assert_eq!(after(&[("CHOWN", Added), ("ALL", Dropped)]), ["cap drop ALL"]);
        // What says nothing more is not there, so that equal definitions are one.
        assert_eq!(after(&[("ALL", Dropped), ("CHOWN", Added), ("CHOWN", Dropped)]), ["cap drop ALL"]);
        assert_eq!(after(&[("ALL", Added), ("CHOWN", Dropped)]), ["cap add ALL", "cap drop CHOWN"]);
    }
}
