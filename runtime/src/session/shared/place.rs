//! Where the owner of a shared service is found by others: a socket and a lock, in a directory of the user's own.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::wire::Name;
use crate::engine::Description;
use crate::flock::FileLock;
use crate::model::Digest;
use crate::sha256::Sha256;

/// The longest path of a directory for sockets, whose paths have at most 103 bytes on some systems.
const LONGEST: usize = 70;

/// The name of a service of an engine. It includes the version of this crate, as versions may speak differently.
pub(super) fn name(engine: &Description, key: Digest) -> io::Result<Name> {
    let mut hash = Sha256::new();
    let home = std::path::absolute(crate::home::place())?;
    for part in [
        env!("CARGO_PKG_VERSION").as_bytes(),
        home.as_os_str().as_encoded_bytes(),
        engine.name.as_bytes(),
        engine.place.as_bytes(),
        &key.0,
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(Name { directory: directory()?, name: Digest(hash.finalize()).hostname() })
}

/// `bowline` in `$XDG_RUNTIME_DIR` (XDG Base Directory Specification), else a directory in `/tmp`.
fn directory() -> io::Result<PathBuf> {
    let set = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let set = set.filter(|path| path.is_absolute() && path.is_dir());
    let own = set.map(|path| path.join("bowline")).filter(|path| path.as_os_str().len() <= LONGEST);
    let directory = own.unwrap_or_else(|| PathBuf::from(format!("/tmp/bowline-{}", user())));
    make(&directory)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.display())))?;
    Ok(directory)
}

#[allow(unsafe_code)]
pub(super) fn user() -> libc::uid_t {
    // SAFETY: it only returns a number.
    unsafe { libc::geteuid() }
}

/// Makes a directory that only this user may use, or finds it.
fn make(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    // Somebody else may have been there first.
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() || !crate::home::is_ours(&found) {
        let message = "it is there, and is no directory that only this user may write to; remove it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// The lock of a name, held by the service's owner as long as this exists.
#[derive(Debug)]
pub(super) struct Lock {
    name: Name,
    // Dropped after the socket was removed: who finds none asks for the lock.
    _file: FileLock,
}

/// Locks the name for its owner; `None` if another one has it.
pub(super) fn lock(name: &Name) -> io::Result<Option<Lock>> {
    Ok(FileLock::try_new(&name.lock())?.map(|file| Lock { name: name.clone(), _file: file }))
}

/// Whether somebody has the lock, who may not listen yet, or not any more.
pub(super) fn is_owned(name: &Name) -> io::Result<bool> {
    FileLock::is_held(&name.lock())
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.name.socket());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_owner_and_nothing_is_left_of_it() {
        let at = tempfile::tempdir().unwrap();
        let name = Name { directory: at.path().to_owned(), name: "x".to_owned() };
        assert!(!is_owned(&name).unwrap());
        let first = lock(&name).unwrap().unwrap();
        assert!(lock(&name).unwrap().is_none() && is_owned(&name).unwrap());
        fs::write(name.socket(), "").unwrap();
        drop(first);
        assert_eq!(fs::read_dir(at.path()).unwrap().count(), 0);
        drop(lock(&name).unwrap().unwrap());
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let at = tempfile::tempdir().unwrap();
        let directory = at.path().join("d");
        make(&directory).unwrap();
        make(&directory).unwrap();
        fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(make(&directory).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let link = at.path().join("link");
        std::os::unix::fs::symlink(at.path(), &link).unwrap();
        assert!(make(&link).is_err());
    }
}
