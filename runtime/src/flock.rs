//! Files that are locked while somebody works on what they stand for, and removed when that is done. The kernel unlocks
//! those of a process that dies.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A locked file, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    path: PathBuf,
    file: File,
}

impl FileLock {
    /// Creates a file and locks it; `None` if somebody else has it, in this process or another.
    pub(crate) fn try_new(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
            if !try_lock(&file, false)? {
                return Ok(None);
            }
            if is_at(&file, path) {
                return Ok(Some(Self { path: path.to_owned(), file }));
            }
        }
    }

    /// Whether somebody has the lock.
    pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
        match File::open(path) {
            Ok(file) => Ok(!try_lock(&file, false)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = &self.file;
    }
}

/// Whether a file is still at its path. Whoever was done with it has removed it: then it is locked for nobody.
fn is_at(file: &File, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| {
        file.metadata().is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
    })
}

/// Opens a file to read it and add to it, creating it if it is missing, once nobody else has it open so.
#[cfg(feature = "registry")]
#[allow(unsafe_code)]
pub(crate) fn open(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
        // SAFETY: a plain call with a descriptor that is open.
        while unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        if is_at(&file, path) {
            return Ok(file);
        }
    }
}

/// Locks a file (flock(2)) for as long as it is open, or shares it with others that do; `false` if somebody else has it.
#[allow(unsafe_code)]
pub(crate) fn try_lock(file: &File, is_shared: bool) -> io::Result<bool> {
    let kind = if is_shared { libc::LOCK_SH } else { libc::LOCK_EX };
    // SAFETY: a plain call with a descriptor that is open.
    if unsafe { libc::flock(file.as_raw_fd(), kind | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_locked_once_and_removed_when_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        assert!(!FileLock::is_held(&path).unwrap());
        let first = FileLock::try_new(&path).unwrap().unwrap();
        assert!(FileLock::try_new(&path).unwrap().is_none() && FileLock::is_held(&path).unwrap());
        drop(first);
        assert!(!path.exists());
        // As a killed process leaves it.
        fs::write(&path, "").unwrap();
        assert!(FileLock::try_new(&path).unwrap().is_some());
    }

    #[cfg(feature = "registry")]
    #[test]
    fn who_waits_for_a_file_that_is_removed_has_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let first = open(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || open(&path).unwrap()
        });
        fs::remove_file(&path).unwrap();
        drop(first);
        let second = waiting.join().unwrap();
        let found = File::open(&path).unwrap();
        assert!(!try_lock(&found, false).unwrap());
        drop(second);
    }
}
