//! Lock files, held while somebody works on what they stand for.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::engine::Held;

/// One of very many locks, all in one file: each is a byte range lock of a byte that need not exist. So nothing is
/// created for a lock, and nothing has to be removed.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "it is there to be open")] File);

impl Held for Lock {}

impl Lock {
    /// The lock of a name that is unique by its first bytes; `None` if somebody holds it.
    pub(super) fn try_new(path: &Path, name: &[u8; 32]) -> io::Result<Option<Self>> {
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let start = name.first_chunk().map_or(0, |start| u64::from_be_bytes(*start));
        // Offsets have no sign bit, and one more byte has to fit behind.
        let at = start >> 2;
        let free = try_lock(&file, i64::try_from(at).unwrap_or(0))?;
        Ok(free.then_some(Self(file)))
    }
}

/// A lock of the open file, not of the process (fcntl(2), "open file description locks").
#[allow(unsafe_code)]
fn try_lock(file: &File, at: i64) -> io::Result<bool> {
    // SAFETY: only numbers, and not all systems have the same fields.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(libc::F_WRLCK).unwrap_or_default();
    lock.l_whence = i16::try_from(libc::SEEK_SET).unwrap_or_default();
    lock.l_start = at;
    lock.l_len = 1;
    // SAFETY: the structure outlives the call.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lock_has_one_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let new = |name| Lock::try_new(&path, &[name; 32]).unwrap();
        let first = new(255).unwrap();
        assert!(new(255).is_none(), "in this process, too");
        let other = new(1).unwrap();
        drop(first);
        assert!(new(255).is_some() && new(1).is_none());
        drop(other);
        assert_eq!(fs::metadata(path).unwrap().len(), 0);
    }
}
