//! How this engine's objects are labelled: the way back to them when an answer was lost or their owner died.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::model::SessionId;

/// On containers and networks: the session they belong to. On held images too, under [`HELD`].
pub(super) const SESSION: &str = "bowline.session";
/// Who may still need the object: boot, process and the process's start time. See [`Owner`].
pub(super) const OWNER: &str = "bowline.owner";
/// When the object was made, in seconds since 1970.
pub(super) const CREATED: &str = "bowline.created";
/// On containers: what they are for, one of the `KIND_…`.
pub(super) const KIND: &str = "bowline.kind";
pub(super) const KIND_STEP: &str = "step";
pub(super) const KIND_SERVICE: &str = "service";
/// A container that never runs: its file system is read.
pub(super) const KIND_READER: &str = "reader";
/// What people call the object.
pub(super) const NAME: &str = "bowline.name";
/// On images that a session keeps for its own time only: the session.
pub(super) const HELD: &str = "bowline.held";
/// On volumes: the cache's key.
pub(super) const CACHE: &str = "bowline.cache";
/// On volumes that stand for a service's hold of a cache: the volume of that.
pub(super) const HOLDS: &str = "bowline.holds";
/// On volumes that say of another one that it was new, and that nobody has made it good: the name of that.
pub(super) const NEW: &str = "bowline.new";
/// On images of steps: how the step ended.
pub(super) const EXIT: &str = "bowline.exit";
/// On images of steps: what the step wrote, in base64; absent where [`OUTPUT`] says that it is elsewhere.
pub(super) const STDOUT: &str = "bowline.stdout";
pub(super) const STDERR: &str = "bowline.stderr";
/// On images of steps: the image that holds what the step wrote.
pub(super) const OUTPUT: &str = "bowline.output";

/// What belongs to another machine, or to this one before it was booted, may be removed at this age: its owner cannot
/// be seen from here, and no session lasts so long.
const FOREIGN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The labels of an object of this session.
pub(super) fn of(session: &SessionId, name: &str) -> HashMap<String, String> {
    HashMap::from([
        (SESSION.to_owned(), session.to_string()),
        (OWNER.to_owned(), Owner::this_process().to_string()),
        (CREATED.to_owned(), now().to_string()),
        (NAME.to_owned(), name.to_owned()),
    ])
}

/// Whether an object's session is no more, as seen from this one: its process is gone, as far as can be seen from here.
pub(super) fn is_dead(session: &SessionId, found: &HashMap<String, String>, now: SystemTime) -> bool {
    let (Some(owner), Some(made)) = (
        found.get(OWNER).and_then(|text| Owner::parse(text)),
        found.get(CREATED).and_then(|text| text.parse().ok()),
    ) else {
        // Labelled by hand, or by a version of another mind.
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

/// A process, named so that it can be told from another one that was given its number later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// `/proc/sys/kernel/random/boot_id` with the inode of the process's PID namespace; empty where there is no /proc.
    pub(super) boot: String,
    pub(super) pid: u32,
    /// Clock ticks from boot to the process's start (proc(5), `stat`, field 22); 0 where there is no /proc.
    pub(super) started: u64,
}

impl Owner {
    pub(super) fn this_process() -> Self {
        let pid = std::process::id();
        Self { boot: this_boot(), pid, started: start_time(pid).unwrap_or(0) }
    }

    /// Reads what `Display` writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, started) = text.rsplit_once('/')?;
        let (boot, pid) = rest.rsplit_once('/')?;
        Some(Self { boot: boot.to_owned(), pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// Whether this machine, as this process sees it, can tell if the owner lives.
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

fn this_boot() -> String {
    let Ok(boot) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return String::new() };
    // `pid:[4026531836]`: a process number means something within its namespace only.
    let namespace = std::fs::read_link("/proc/self/ns/pid")
        .map(|link| link.to_string_lossy().chars().filter(char::is_ascii_digit).collect::<String>())
        .unwrap_or_default();
    format!("{}:{namespace}", boot.trim())
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in brackets, and may itself hold brackets and blanks.
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
