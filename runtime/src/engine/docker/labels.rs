//! The labels of this engine's objects, by which they are found when an answer was lost or their owner died.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::model::{CacheKey, SessionId};

/// On containers and networks: the session they belong to. On held images it is under [`HELD`].
pub(super) const SESSION: &str = "bowline.session";
/// The owner, who may still need the object: boot, process and the process's start time. See [`Owner`].
pub(super) const OWNER: &str = "bowline.owner";
/// When the object was made, in seconds since 1970.
pub(super) const CREATED: &str = "bowline.created";
/// On containers: their purpose, one of the `KIND_…`.
pub(super) const KIND: &str = "bowline.kind";
pub(super) const KIND_STEP: &str = "step";
pub(super) const KIND_SERVICE: &str = "service";
/// A container that never runs: its file system is read.
pub(super) const KIND_READER: &str = "reader";
/// The object's name for people.
pub(super) const NAME: &str = "bowline.name";
/// On images that a session keeps only for itself: the session.
pub(super) const HELD: &str = "bowline.held";
/// On networks that sessions leave to each other.
pub(super) const NETWORK: &str = "bowline.network";
/// On volumes: the cache's key.
pub(super) const CACHE: &str = "bowline.cache";
/// On volumes that represent a service's hold of a cache: the name of the cache's volume.
pub(super) const HOLDS: &str = "bowline.holds";
/// On volumes that record that a cache was new and is not settled: the name of the cache's volume.
pub(super) const NEW: &str = "bowline.new";
/// On containers and images of steps: the run of the step.
pub(super) const RUN: &str = "bowline.run";
/// On images of steps: what the step was made of, each as its key, a colon and its run.
pub(super) const MADE_OF: &str = "bowline.made-of";
/// On images of steps: when the run ended, in milliseconds since 1970.
pub(super) const MADE: &str = "bowline.made";
/// On images of steps: how the step ended.
pub(super) const EXIT: &str = "bowline.exit";
/// On images of steps: the step's output, in base64; absent if it is in the [`OUTPUT`] image.
pub(super) const STDOUT: &str = "bowline.stdout";
pub(super) const STDERR: &str = "bowline.stderr";
/// On images of steps: the image that holds the step's output.
pub(super) const OUTPUT: &str = "bowline.output";

/// The age at which objects of another machine, or of an earlier boot of this one, may be removed: their owners are not
/// visible from here, and no session lasts so long.
const FOREIGN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The labels of a network that sessions leave to each other.
pub(super) fn of_network() -> HashMap<String, String> {
    HashMap::from([(NETWORK.to_owned(), String::new()), (CREATED.to_owned(), now().to_string())])
}

/// The labels of a cache's volume.
pub(super) fn of_cache(key: &CacheKey) -> HashMap<String, String> {
    HashMap::from([(CACHE.to_owned(), key.to_string()), (CREATED.to_owned(), now().to_string())])
}

/// The labels of an object of this session.
pub(super) fn of(session: &SessionId, name: &str) -> HashMap<String, String> {
    HashMap::from([
        (SESSION.to_owned(), session.to_string()),
        (OWNER.to_owned(), Owner::this_process().to_string()),
        (CREATED.to_owned(), now().to_string()),
        (NAME.to_owned(), name.to_owned()),
    ])
}

/// Whether an object's session is dead, as seen from this one: its process is gone, as far as is visible from here.
pub(super) fn is_dead(session: &SessionId, found: &HashMap<String, String>, now: SystemTime) -> bool {
    let (Some(owner), Some(made)) = (
        found.get(OWNER).and_then(|text| Owner::parse(text)),
        found.get(CREATED).and_then(|text| text.parse().ok()),
    ) else {
        // Labelled by hand, or by another version.
        return false;
    };
    let of = found.get(SESSION).filter(|of| !of.is_empty()).or_else(|| found.get(HELD));
    if of.is_some_and(|of| of == session.as_str()) {
        return false;
    }
    if owner.is_of_this_boot() {
        return !owner.is_alive();
    }
    now.duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(made)).is_ok_and(|age| age > FOREIGN_AGE)
}

/// A process, identified so that it differs from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// `/proc/sys/kernel/random/boot_id` with the inode of the process's PID namespace; empty without /proc.
    pub(super) boot: String,
    pub(super) pid: u32,
    /// Clock ticks from boot to the process's start (proc(5), `stat`, field 22); 0 without /proc.
    pub(super) started: u64,
}

impl Owner {
    pub(super) fn this_process() -> Self {
        let pid = std::process::id();
        Self { boot: this_boot(), pid, started: start_time(pid).unwrap_or(0) }
    }

    /// Parses what `Display` writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, started) = text.rsplit_once('/')?;
        let (boot, pid) = rest.rsplit_once('/')?;
        Some(Self { boot: boot.to_owned(), pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// Whether this process can see whether the owner is alive: the owner is of this boot and PID namespace.
    pub(super) fn is_of_this_boot(&self) -> bool {
        !self.boot.is_empty() && self.boot == this_boot()
    }

    pub(super) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.boot, self.pid, self.started)
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// Milliseconds since 1970, as a label.
pub(super) fn millis(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis()).to_string()
}

fn this_boot() -> String {
    let Ok(boot) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return String::new() };
    // `pid:[4026531836]`: a process number is only meaningful within its namespace.
    let namespace = std::fs::read_link("/proc/self/ns/pid")
        .map(|link| link.to_string_lossy().chars().filter(char::is_ascii_digit).collect::<String>())
        .unwrap_or_default();
    format!("{}:{namespace}", boot.trim())
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in brackets, and may itself contain brackets and blanks.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_survive_their_label() {
        let owner = Owner::this_process();
        assert_eq!(Owner::parse(&owner.to_string()), Some(owner.clone()));
        assert!(owner.is_of_this_boot() && owner.is_alive());
        assert!(!Owner { started: owner.started + 1, ..owner }.is_alive());
    }
}
