//! Metadata of a file: owner, mode, times and extended attributes.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fsetxattr,
    fstat, futimens,
};
use rustix::io::Errno;

use super::whiteouts::is_overlays;

/// Copies owner, mode and attributes, except overlayfs's own.
pub(super) fn set_like(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let known = fstat(from)?;
    fchown(to, Some(Uid::from_raw(known.st_uid)), Some(Gid::from_raw(known.st_gid)))?;
    fchmod(to, Mode::from_raw_mode(known.st_mode & 0o7777))?;
    for (name, value) in attributes(from)? {
        if !is_overlays(&name) {
            fsetxattr(to, name.as_str(), &value, XattrFlags::empty())?;
        }
    }
    Ok(futimens(to, &times(&known))?)
}

/// Empty if the file system has no extended attributes.
pub(super) fn attributes(of: BorrowedFd<'_>) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut list = vec![0_u8; 64 << 10];
    let length = match flistxattr(of, list.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let names = list.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    let mut all = BTreeMap::new();
    for name in names.filter_map(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 64 << 10];
        let length = fgetxattr(of, name, value.as_mut_slice())?;
        value.truncate(length);
        all.insert(name.to_owned(), value);
    }
    Ok(all)
}

pub(super) fn times(known: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: known.st_mtime, tv_nsec: i64::try_from(known.st_mtime_nsec).unwrap_or(0) };
    Timestamps { last_access: time, last_modification: time }
}
