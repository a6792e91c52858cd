//! Records of the cache volumes that sessions' services hold: a file in the session's own directory for each, which
//! counts while the session's lock is held, by its program or by the process that outlives that.
//!
//! However a session ends, a volume that was new and that no service has settled is emptied: its record says so, and is
//! removed only when that is done.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Store;

/// The subdirectory of a session's directory with the records, named as the volumes are.
const HELD: &str = "held";

/// The record of a held volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Record {
    /// The service's name for people.
    pub(in super::super) service: String,
    pub(in super::super) process: u32,
    /// Whether the volume was new, and no service has settled it.
    pub(in super::super) is_new: bool,
}

/// The result of an attempt to hold a volume.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Attempt {
    /// It is held; `is_new` says whether it is new.
    Held { is_new: bool },
    /// A service of another session holds it.
    InUse(Record),
    /// A dead session held it when it was new, and nobody has emptied it yet: the caller has to empty it, and then forget
    /// the record.
    Abandoned(Abandoned),
}

/// The record of a dead session.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Abandoned(PathBuf);

impl Abandoned {
    /// Removes the record, as its volume is empty.
    pub(in super::super) fn forget(self) -> io::Result<()> {
        fs::remove_file(self.0)
    }
}

impl Store {
    /// Holds a volume for a service of this session, which does not hold it yet.
    pub(in super::super) fn try_hold(&self, volume: &Path, service: &str) -> io::Result<Attempt> {
        // Attempts take turns: nobody becomes a holder between the look and the record.
        let _turn = turn(&self.root)?;
        let own = self.root.join(&self.scratch);
        let name = volume.file_name().unwrap_or_default();
        for session in fs::read_dir(self.root.join("scratch"))?.filter_map(Result::ok) {
            let path = session.path().join(HELD).join(name);
            let Some(record) = read(&path) else { continue };
            // A record of this session is of a volume that could not be emptied before.
            if session.path() != own && is_alive(&session.path()) {
                return Ok(Attempt::InUse(record));
            }
            if record.is_new {
                return Ok(Attempt::Abandoned(Abandoned(path)));
            }
        }
        let is_new = match fs::read_dir(self.root.join(volume)) {
            Ok(mut entries) => entries.next().is_none(),
            // An unreadable volume belongs to somebody, and has been used.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let record = Record { service: service.to_owned(), process: std::process::id(), is_new };
        self.write_held(volume, &record)?;
        Ok(Attempt::Held { is_new })
    }

    /// Records that the contents of the volume are valid.
    pub(in super::super) fn settle(&self, volume: &Path) -> io::Result<()> {
        let Some(record) = read(&self.record_of(volume)) else { return Ok(()) };
        self.write_held(volume, &Record { is_new: false, ..record })
    }

    /// Removes the record: nobody of this session holds the volume any more, and if it was new it has been emptied.
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

/// The turn of whoever looks at records and acts on what it sees: while this is open, nobody becomes a holder.
pub(super) fn turn(root: &Path) -> io::Result<File> {
    let turn = File::open(root.join(super::VOLUMES))?;
    flock(&turn, FlockOperation::LockExclusive)?;
    Ok(turn)
}

/// Whether there is a record of a volume: its session holds it, or has died and left it to be emptied.
pub(super) fn is_held(root: &Path, name: &OsStr) -> io::Result<bool> {
    let sessions = fs::read_dir(root.join("scratch"))?;
    Ok(sessions.filter_map(Result::ok).any(|session| session.path().join(HELD).join(name).exists()))
}

fn read(path: &Path) -> Option<Record> {
    // Records are renamed into place, so any that exists is complete.
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn is_alive(session: &Path) -> bool {
    // A session whose lock cannot be checked, as with too many open files, is not taken for dead.
    match File::open(session.join("lock")) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockShared).is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Empties a volume, first moving its contents to an existing directory of the same file system.
pub(in super::super) fn empty(volume: &Path, aside: &Path) -> io::Result<()> {
    let moved = aside.join(format!("emptied-{}", volume.file_name().unwrap_or_default().display()));
    match fs::rename(volume, &moved) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    // From here on the contents belong to nobody; what cannot be removed now goes with the directory.
    let _ = fs::remove_dir_all(moved);
    Ok(())
}

/// Empties the new volumes of a session that has ended, its directory `scratch/<session>` of the store at `root`. The
/// records of volumes that could not be emptied stay.
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
        let volume = Store::volume(&"pg".into());
        assert_eq!(one.try_hold(&volume, "db").unwrap(), Attempt::Held { is_new: true });
        fill(&one, &volume);
        let Attempt::InUse(record) = two.try_hold(&volume, "other").unwrap() else { panic!("it has it") };
        assert_eq!((record.service.as_str(), record.process), ("db", std::process::id()));
        assert_eq!(
            two.try_hold(&Store::volume(&"another".into()), "other").unwrap(),
            Attempt::Held { is_new: true }
        );
        one.release(&volume).unwrap();
        assert_eq!(two.try_hold(&volume, "other").unwrap(), Attempt::Held { is_new: false });
    }

    #[test]
    fn what_a_session_leaves_that_never_made_it_good_is_emptied_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (new, good) = (Store::volume(&"new".into()), Store::volume(&"good".into()));
        let dead = store(directory.path());
        for volume in [&new, &good] {
            dead.try_hold(volume, "db").unwrap();
            fill(&dead, volume);
        }
        dead.settle(&good).unwrap();
        // As a killed process leaves it: unlocked, but there.
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
        let volume = Store::volume(&"pg".into());
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
