//! Which capabilities a container has, and over what.
//!
//! The bridges of a session, the devices of the machine and a container's own init are out of a container's reach only as
//! long as it has no capability that they ask for. `IFLA_TARGET_NETNSID` alone lets who has `NET_ADMIN` change links at the
//! other end of its own, the filter of frames with them. So capabilities that a container can use over itself it gets over
//! itself alone: in a user namespace of its own, with the same users, that owns its network and its mounts, and nothing
//! else. Whatever else a kernel asks for there, it asks in vain.

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::arguments::CAPABILITIES;
use crate::model::{Capabilities, Grant, SecurityContext};

/// What a container's root has, and programs of it may give, where nothing is said: Docker's default, but for making device
/// nodes and writing to the machine's audit log.
pub(super) const DEFAULT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL);

/// What is given over the container alone: to configure its network, to mount, to look into its processes; and what would
/// open any file of the machine by a handle (`open_by_handle_at(2)`), where the kernel asks for it over the machine.
const OVER_ITSELF: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::CHECKPOINT_RESTORE);

/// Whose capabilities a container's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Users {
    /// The shim's, as far as it lets the container have them.
    OfTheHost,
    /// Those of a user namespace that the container has for itself.
    OfItsOwn,
}

impl Users {
    pub(super) fn of(security: &SecurityContext) -> Self {
        if !security.privileged && wanted(&security.capabilities).intersects(OVER_ITSELF) {
            Self::OfItsOwn
        } else {
            Self::OfTheHost
        }
    }
}

/// What the pipeline asks for.
pub(super) fn wanted(capabilities: &Capabilities) -> CapabilitySet {
    let named = |grant| capabilities.names(grant).filter_map(|name| named(name)).collect::<CapabilitySet>();
    let ground = match capabilities.all {
        None => DEFAULT,
        Some(Grant::Added) => (0..CAPABILITIES.len()).map(numbered).collect(),
        Some(Grant::Dropped) => CapabilitySet::empty(),
    };
    ground.union(named(Grant::Added)).difference(named(Grant::Dropped))
}

fn named(name: &str) -> Option<CapabilitySet> {
    CAPABILITIES.iter().position(|known| *known == name).map(numbered)
}

fn numbered(number: usize) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << number)
}

/// For people.
pub(super) fn names(capabilities: CapabilitySet) -> String {
    let names = CAPABILITIES.iter().enumerate();
    let names = names.filter(|(number, _)| capabilities.contains(numbered(*number))).map(|(_, name)| *name);
    names.collect::<Vec<_>>().join(", ")
}

/// Why a pipeline that has `own` cannot give all of this.
pub(super) fn refusal(wanted: CapabilitySet, own: CapabilitySet, is_root: bool) -> Option<String> {
    let added = wanted.difference(DEFAULT);
    let (itself, machine) = (added.intersection(OVER_ITSELF), added.difference(OVER_ITSELF));
    let missing = added.difference(own);
    let (refused, why) = if !machine.is_empty() && !is_root {
        (
            machine,
            "without root nobody has power over the machine: run the pipeline as root, or on Docker"
                .to_owned(),
        )
    } else if !missing.is_empty() {
        (missing, "the pipeline itself does not have it".to_owned())
    } else if !itself.is_empty() && !machine.is_empty() {
        let why = format!(
            "it is power over the machine, and {} a container has over itself alone: give one of the two, say `privileged`, or run on Docker",
            names(itself)
        );
        (machine, why)
    } else {
        return None;
    };
    Some(format!("cap add {}: the native engine cannot give it\n\nhelp: {why}", names(refused)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(all: Option<Grant>, single: &[(&str, Grant)]) -> Capabilities {
        let single = single.iter().map(|(name, grant)| ((*name).to_owned(), *grant));
        Capabilities { all, single: single.collect() }
    }

    #[test]
    fn each_is_known_by_its_name() {
        let all = wanted(&capabilities(Some(Grant::Added), &[]));
        assert_eq!(all.bits().count_ones(), 41);
        assert_eq!(named("CHOWN"), Some(CapabilitySet::CHOWN));
        assert_eq!(named("SYS_ADMIN"), Some(CapabilitySet::SYS_ADMIN));
        assert_eq!(named("CHECKPOINT_RESTORE"), Some(CapabilitySet::CHECKPOINT_RESTORE));
        assert_eq!(names(CapabilitySet::NET_RAW | CapabilitySet::BPF), "NET_RAW, BPF");
    }

    #[test]
    fn what_is_dropped_is_not_there_and_what_is_added_is() {
        use Grant::{Added, Dropped};
        assert_eq!(wanted(&capabilities(None, &[])), DEFAULT);
        assert_eq!(wanted(&capabilities(Some(Dropped), &[("CHOWN", Added)])), CapabilitySet::CHOWN);
        let fewer = wanted(&capabilities(None, &[("CHOWN", Dropped), ("NET_ADMIN", Added)]));
        assert_eq!(fewer, DEFAULT.difference(CapabilitySet::CHOWN) | CapabilitySet::NET_ADMIN);
        let users = |capabilities, privileged| {
            Users::of(&SecurityContext { privileged, capabilities, ..SecurityContext::default() })
        };
        assert_eq!(users(capabilities(None, &[]), false), Users::OfTheHost);
        assert_eq!(users(capabilities(None, &[("SYS_NICE", Added)]), false), Users::OfTheHost);
        for name in ["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"] {
            assert_eq!(users(capabilities(None, &[(name, Added)]), false), Users::OfItsOwn, "{name}");
            assert_eq!(users(capabilities(None, &[(name, Added)]), true), Users::OfTheHost, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_given_is_named() {
        let all = CapabilitySet::all();
        let (net, time) = (CapabilitySet::NET_ADMIN, CapabilitySet::SYS_TIME);
        assert_eq!(refusal(DEFAULT, CapabilitySet::empty(), false), None);
        assert_eq!(refusal(DEFAULT | net, all, true), None);
        assert_eq!(refusal(DEFAULT | net, all, false), None);
        assert_eq!(refusal(DEFAULT | time, all, true), None);
        let without = refusal(DEFAULT | time, all, false).unwrap();
        assert!(without.starts_with("cap add SYS_TIME: ") && without.contains("root"), "{without}");
        let missing = refusal(DEFAULT | time | net, all.difference(time), true).unwrap();
        assert!(missing.starts_with("cap add SYS_TIME: ") && missing.contains("itself"), "{missing}");
        let both = refusal(DEFAULT | time | net, all, true).unwrap();
        assert!(both.starts_with("cap add SYS_TIME: ") && both.contains("NET_ADMIN"), "{both}");
    }
}
