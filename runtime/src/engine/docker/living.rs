//! Which sessions of this machine use what is kept, so that nothing is removed under them: of each a file that is locked while
//! it lives, and of everything that is used a file that says when.
//!
//! They are where results are recorded. Sessions with another directory are not seen, and neither are those of other
//! machines: what they use is known by their containers alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

#[cfg(unix)]
use crate::flock::FileLock;
use crate::home;
use crate::lock::lock;
use crate::model::SessionId;

/// The subdirectory with the sessions.
const SESSIONS: &str = "sessions";
/// The suffix of files that say when something was used.
const USED: &str = "used";
/// Clocks of file systems may be a tick behind.
const TICK: Duration = Duration::from_millis(50);

/// This session, as others see it.
#[derive(Debug, Default)]
pub(super) struct Living {
    /// Locked from the first use of anything to the end of the session.
    #[cfg(unix)]
    held: Mutex<Option<FileLock>>,
    #[cfg(not(unix))]
    held: Mutex<()>,
}

impl Living {
    /// Lets others see this session, before it uses anything.
    #[cfg(unix)]
    pub(super) fn begin(&self, directory: &Path, session: &SessionId) {
        let mut held = lock(&self.held);
        if held.is_none() {
            let place = directory.join(SESSIONS);
            let made = home::private(&place).and_then(|()| FileLock::try_new(&place.join(session.as_str())));
            // What cannot be locked may be removed too early, and is then made again.
            *held = made.unwrap_or(None);
        }
    }

    #[cfg(not(unix))]
    pub(super) fn begin(&self, _: &Path, _: &SessionId) {
        drop(lock(&self.held));
    }

    /// It uses nothing any more.
    pub(super) fn end(&self) {
        drop(std::mem::take(&mut *lock(&self.held)));
    }
}

/// Since when what was used may be in use: the beginning of the oldest session that lives, besides this one.
#[cfg(unix)]
pub(super) fn in_use_since(directory: &Path, own: &SessionId) -> SystemTime {
    others(directory, own).into_iter().fold(SystemTime::now(), SystemTime::min) - TICK
}

/// When the other sessions that live began. Removes what dead ones left.
#[cfg(unix)]
pub(super) fn others(directory: &Path, own: &SessionId) -> Vec<SystemTime> {
    let mut began = Vec::new();
    for entry in fs::read_dir(directory.join(SESSIONS)).into_iter().flatten().flatten() {
        if entry.file_name() == own.as_str() {
            continue;
        }
        let path = entry.path();
        if let Ok(Some(dead)) = FileLock::try_new(&path) {
            drop(dead);
        } else {
            // One whose lock cannot be looked at is not taken for dead.
            let then = entry.metadata().and_then(|metadata| metadata.modified());
            began.push(then.unwrap_or(SystemTime::UNIX_EPOCH));
        }
    }
    began
}

#[cfg(not(unix))]
pub(super) fn others(_: &Path, _: &SessionId) -> Vec<SystemTime> {
    Vec::new()
}

/// Where sessions cannot be seen, what was used in a day is in use.
#[cfg(not(unix))]
pub(super) fn in_use_since(_: &Path, _: &SessionId) -> SystemTime {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let _ = (SESSIONS, TICK);
    SystemTime::now() - DAY
}

/// Notes that this is used now, by its name in the engine.
pub(super) fn mark(directory: &Path, name: &str) {
    let path = mark_of(directory, name);
    let open = || File::options().create(true).truncate(false).write(true).open(&path);
    // What cannot be noted may be removed too early, and is then made again.
    let _ =
        home::private(directory).and_then(|()| open()).and_then(|file| file.set_modified(SystemTime::now()));
}

/// When that was last noted.
pub(super) fn used(directory: &Path, name: &str) -> Option<SystemTime> {
    fs::metadata(mark_of(directory, name)).and_then(|metadata| metadata.modified()).ok()
}

/// It is gone.
pub(super) fn forget(directory: &Path, name: &str) {
    let _ = fs::remove_file(mark_of(directory, name));
}

fn mark_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{}.{USED}", name.replace(['/', ':'], "-")))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_since_the_oldest_living_session_began_is_in_use() {
        let home = tempfile::tempdir().unwrap();
        let [own, old, young] = [(); 3].map(|()| SessionId::random());
        let begin = |session: &SessionId, ago: u64| {
            let living = Living::default();
            living.begin(home.path(), session);
            let then = SystemTime::now() - Duration::from_secs(ago);
            let file = File::open(home.path().join(SESSIONS).join(session.as_str())).unwrap();
            file.set_modified(then).unwrap();
            living
        };
        let age = || in_use_since(home.path(), &own).elapsed().unwrap().as_secs();
        assert_eq!(age(), 0, "nobody lives");
        let (_own, old, young) = (begin(&own, 900), begin(&old, 600), begin(&young, 300));
        assert_eq!(age(), 600);
        old.end();
        assert_eq!(age(), 300);
        drop(young);
        // As a killed process leaves it.
        fs::write(home.path().join(SESSIONS).join("dead"), "").unwrap();
        assert_eq!(age(), 0);
        assert!(!home.path().join(SESSIONS).join("dead").exists());
    }

    #[test]
    fn a_use_is_noted_by_name() {
        let home = tempfile::tempdir().unwrap();
        let name = "bowline/step:00ff";
        assert_eq!(used(home.path(), name), None);
        mark(home.path(), name);
        assert!(used(home.path(), name).unwrap().elapsed().unwrap() < Duration::from_secs(60));
        assert_eq!(used(home.path(), "bowline/step:00fe"), None);
        forget(home.path(), name);
        assert_eq!(used(home.path(), name), None);
    }
}
