//! Files that are locked as long as somebody works on what they stand for, and gone when nobody does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::engine::Held;

/// Opens a file, making it where it is missing, and locks it; `None` where somebody else has it, who is not to be waited
/// for. Who had it may have removed it when done: what is locked then is no longer what others find.
pub(in super::super) fn open(path: &Path, how: FlockOperation) -> io::Result<Option<File>> {
    loop {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        match flock(&file, how) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let identity = |known: fs::Metadata| (known.dev(), known.ino());
        if fs::metadata(path).ok().map(identity) == Some(identity(file.metadata()?)) {
            return Ok(Some(file));
        }
    }
}

/// Holds a lock, and removes its file with it.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    /// Locked until after the file is gone.
    _file: File,
}

impl Lock {
    pub(super) fn try_new(path: PathBuf) -> io::Result<Option<Self>> {
        let file = open(&path, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file.map(|file| Self { path, _file: file }))
    }
}

impl Held for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let first = Lock::try_new(path.clone()).unwrap().unwrap();
        assert!(Lock::try_new(path.clone()).unwrap().is_none());
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || open(&path, FlockOperation::LockExclusive).unwrap().unwrap()
        });
        drop(first);
        // Of the file that others find, although what it waited for is gone.
        let second = waiting.join().unwrap();
        assert!(Lock::try_new(path.clone()).unwrap().is_none());
        drop(second);
        drop(Lock::try_new(path.clone()).unwrap().unwrap());
        assert!(!path.exists());
    }
}
