//! Which sessions' services have which cache volumes: a file in the session's own directory for each, which counts as long
//! as the session's lock is held, by its program or by what outlives that.
//!
//! Whatever way a session ends, a volume that was new and that no service has made good is emptied: its record says so, and
//! goes only when that is done.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Store;

/// Where in a session's directory the records are, named as the volumes are.
const HELD: &str = "held";

/// What is known of a volume that a service has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Record {
    /// What people call the service.
    pub(in super::super) service: String,
    pub(in super::super) process: u32,
    /// Whether it was new, and nobody has said that what is in it now is good.
    pub(in super::super) is_new: bool,
}

/// What became of an attempt to hold a volume.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Attempt {
    /// It is held; whether it is new.
    Held { is_new: bool },
    /// A service of another session has it.
    InUse(Record),
    /// Somebody died who had it when it was new, and nobody has emptied it yet: to be done, and then forgotten.
    Abandoned(Abandoned),
}

/// The record that somebody left who died.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Abandoned(PathBuf);

impl Abandoned {
    /// Its volume is empty.
    pub(in super::super) fn forget(self) -> io::Result<()> {
        fs::remove_file(self.0)
    }
}

impl Store {
    /// Holds a volume for a service of this session, which has none that holds it.
    pub(in super::super) fn try_hold(&self, volume: &Path, service: &str) -> io::Result<Attempt> {
        // One after the other: nobody becomes a holder between our look and our record.
        let turn = File::open(self.root.join("volumes"))?;
        flock(&turn, FlockOperation::LockExclusive)?;
        let own = self.root.join(&self.scratch);
        let name = volume.file_name().unwrap_or_default();
        for session in fs::read_dir(self.root.join("scratch"))?.filter_map(Result::ok) {
            let path = session.path().join(HELD).join(name);
            let Some(record) = read(&path) else { continue };
            // One of this session is what could not be emptied before.
            if session.path() != own && is_alive(&session.path()) {
                return Ok(Attempt::InUse(record));
            }
            if record.is_new {
                return Ok(Attempt::Abandoned(Abandoned(path)));
            }
        }
        let is_new = match fs::read_dir(self.root.join(volume)) {
            Ok(mut entries) => entries.next().is_none(),
            // One that cannot be looked into is somebody's, and has been used.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let record = Record { service: service.to_owned(), process: std::process::id(), is_new };
        self.write_held(volume, &record)?;
        Ok(Attempt::Held { is_new })
    }

    /// What is in the volume is good.
    pub(in super::super) fn settle(&self, volume: &Path) -> io::Result<()> {
        let Some(record) = read(&self.record_of(volume)) else { return Ok(()) };
        self.write_held(volume, &Record { is_new: false, ..record })
    }

    /// Nobody of this session holds it any more; where it was new, it has been emptied.
    pub(in super::super) fn release(&self, volume: &Path) -> io::Result<()> {
        match fs::remove_file(self.record_of(volume)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn record_of(&self, volume: &Path) -> PathBuf {
        self.root.join(&self.scratch).join(HELD).join(volume.file_name().unwrap_or_default())
    }

    fn write_held(&self, volume: &Path, record: &Record) -> io::Result<()> {
        let own = self.root.join(&self.scratch);
        fs::create_dir_all(own.join(HELD))?;
        let aside = own.join(format!("held-{}", volume.file_name().unwrap_or_default().display()));
        fs::write(&aside, serde_json::to_vec(record)?)?;
        fs::rename(aside, self.record_of(volume))
    }
}

fn read(path: &Path) -> Option<Record> {
    // Whatever is there was renamed into place, so it is whole.
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn is_alive(session: &Path) -> bool {
    // One that cannot be asked for its lock, as with too many open files, is not to be taken for dead.
    match File::open(session.join("lock")) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockShared).is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Empties a volume, moving what is in it aside first: to a directory of the same file system, which is there.
pub(in super::super) fn empty(volume: &Path, aside: &Path) -> io::Result<()> {
    let moved = aside.join(format!("emptied-{}", volume.file_name().unwrap_or_default().display()));
    match fs::rename(volume, &moved) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    // From here on it is nobody's; what cannot be removed goes with the directory.
    let _ = fs::remove_dir_all(moved);
    Ok(())
}

/// Empties the new volumes of a session that has ended, its directory `scratch/<session>` of the store at `root`. Records
/// stay of those that could not be.
pub(in super::super) fn empty_all(root: &Path, session: &Path) -> io::Result<()> {
    let records = match fs::read_dir(session.join(HELD)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        records => records?,
    };
    for record in records.filter_map(Result::ok) {
        if read(&record.path()).is_some_and(|record| record.is_new) {
            empty(&root.join("volumes").join(record.file_name()), session)?;
        }
        fs::remove_file(record.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionId;

    fn store(at: &Path) -> Store {
        Store::open(at.to_owned(), &SessionId::random()).unwrap()
    }

    fn fill(store: &Store, volume: &Path) {
        fs::create_dir_all(store.root().join(volume)).unwrap();
        fs::write(store.root().join(volume).join("PG_VERSION"), "15").unwrap();
    }

    #[test]
    fn a_cache_has_services_of_one_session_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (store(directory.path()), store(directory.path()));
        let volume = Store::volume("pg");
        assert_eq!(one.try_hold(&volume, "db").unwrap(), Attempt::Held { is_new: true });
        fill(&one, &volume);
        let Attempt::InUse(record) = two.try_hold(&volume, "other").unwrap() else { panic!("it has it") };
        assert_eq!((record.service.as_str(), record.process), ("db", std::process::id()));
        assert_eq!(two.try_hold(&Store::volume("another"), "other").unwrap(), Attempt::Held { is_new: true });
        one.release(&volume).unwrap();
        assert_eq!(two.try_hold(&volume, "other").unwrap(), Attempt::Held { is_new: false });
    }

    #[test]
    fn what_a_session_leaves_that_never_made_it_good_is_emptied_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (new, good) = (Store::volume("new"), Store::volume("good"));
        let dead = store(directory.path());
        for volume in [&new, &good] {
            dead.try_hold(volume, "db").unwrap();
            fill(&dead, volume);
        }
        dead.settle(&good).unwrap();
        // As a process that was killed leaves it: unlocked, but there.
        flock(dead.lock(), FlockOperation::Unlock).unwrap();
        std::mem::forget(dead);
        let next = store(directory.path());
        assert!(!next.root().join(&new).exists());
        assert!(next.root().join(&good).join("PG_VERSION").exists());
        assert_eq!(next.try_hold(&new, "db").unwrap(), Attempt::Held { is_new: true });
        assert_eq!(next.try_hold(&good, "db").unwrap(), Attempt::Held { is_new: false });
    }

    #[test]
    fn a_session_that_dies_beside_another_leaves_a_cache_to_be_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let (dead, next) = (store(directory.path()), store(directory.path()));
        let volume = Store::volume("pg");
        dead.try_hold(&volume, "db").unwrap();
        fill(&dead, &volume);
        flock(dead.lock(), FlockOperation::Unlock).unwrap();
        std::mem::forget(dead);
        let Attempt::Abandoned(abandoned) = next.try_hold(&volume, "db").unwrap() else {
            panic!("nobody has emptied it")
        };
        let scratch = next.scratch().unwrap();
        empty(&next.root().join(&volume), &next.root().join(&scratch.changes.upper)).unwrap();
        abandoned.forget().unwrap();
        assert_eq!(next.try_hold(&volume, "db").unwrap(), Attempt::Held { is_new: true });
    }
}
