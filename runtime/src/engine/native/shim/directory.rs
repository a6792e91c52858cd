//! Directories by descriptor.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, unlinkat};
use rustix::io::Errno;

/// The names of its entries.
pub(super) fn names(directory: &OwnedFd) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(Path::new(std::ffi::OsStr::from_bytes(name)).to_owned());
        }
    }
    Ok(names)
}

/// Removes whatever is there, with everything below it.
pub(super) fn remove(at: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    match unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    // The descriptor's path in /proc leads to what it has open, and to nothing else.
    let at = std::os::fd::AsRawFd::as_raw_fd(&at);
    std::fs::remove_dir_all(Path::new(&format!("/proc/self/fd/{at}")).join(name))
}
