//! Many layers made one: an overlay has at most 500, whose names fit one page.
//!
//! Files are linked, not copied: what a layer has never changes, and a container that writes to a file has a copy of its
//! own. So a long chain costs a name for each file, once in a while, and no space.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, Stat, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr,
    flistxattr, fsetxattr, fstat, futimens, linkat, mkdirat, mknodat, statat, unlinkat,
};
use rustix::io::Errno;

use super::fault::Fault;
use super::files::times;
use super::inside;

/// On a directory of which nothing below is seen.
pub(super) fn opaque() -> &'static str {
    if super::user::is_entered() { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

/// Whether an attribute is one that overlayfs keeps for itself.
pub(super) fn is_overlays(name: &str) -> bool {
    ["trusted.overlay.", "user.overlay."].iter().any(|start| name.starts_with(start))
}

/// Makes one layer of several, the lowest first, in an empty directory. It hides and shows of the layers below it what
/// they did.
pub(super) fn merge(layers: &[PathBuf], into: &Path) -> Result<(), Fault> {
    for layer in layers {
        lay(layer, into).map_err(|error| Fault::new(format!("merge {}: {error}", layer.display())))?;
    }
    Ok(())
}

/// Without recursion, as a hostile tree may be deeper than a stack.
fn lay(layer: &Path, into: &Path) -> io::Result<()> {
    let (from, to) = (inside::directory_at(CWD, layer)?, inside::directory_at(CWD, into)?);
    set_like(&from, &to)?;
    let mut pending = vec![(from, to)];
    while let Some((from, to)) = pending.pop() {
        for name in names(&from)? {
            let known = statat(&from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(known.st_mode) == FileType::Directory {
                pending.push(lay_directory(&from, &to, &name)?);
                continue;
            }
            remove(to.as_fd(), &name)?;
            match linkat(&from, &name, &to, &name, AtFlags::empty()) {
                Ok(()) => {}
                // A file has no more names than its file system allows.
                Err(Errno::MLINK | Errno::PERM) => copy(&from, &to, &name, &known)?,
                Err(error) => return Err(error.into()),
            }
        }
        // What was put into it changed its times.
        futimens(&to, &times(&fstat(&from)?))?;
    }
    Ok(())
}

fn lay_directory(from: &OwnedFd, to: &OwnedFd, name: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let from = inside::directory_at(from, name)?;
    let is_opaque = fgetxattr(&from, opaque(), &mut [0_u8; 8][..]).is_ok();
    let below = match statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(known) => Some(FileType::from_raw_mode(known.st_mode)),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error.into()),
    };
    // One in the place of what was no directory, or was gone, shows nothing of what is below that.
    let hides = is_opaque || below.is_some_and(|kind| kind != FileType::Directory);
    if hides {
        remove(to.as_fd(), name)?;
    }
    match mkdirat(to, name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let to = inside::directory_at(to, name)?;
    set_like(&from, &to)?;
    if hides {
        fsetxattr(&to, opaque(), b"y", XattrFlags::empty())?;
    }
    Ok((from, to))
}

/// Owner, mode and attributes, but for what overlayfs keeps for itself.
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

/// None where the file system has none.
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

/// Whatever is there, with all below it.
pub(super) fn remove(at: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    match unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    // The descriptor's own name leads to what it has open, and to nothing else.
    let at = std::os::fd::AsRawFd::as_raw_fd(&at);
    std::fs::remove_dir_all(Path::new(&format!("/proc/self/fd/{at}")).join(name))
}

fn copy(from: &OwnedFd, to: &OwnedFd, name: &Path, known: &Stat) -> io::Result<()> {
    match FileType::from_raw_mode(known.st_mode) {
        FileType::RegularFile => {
            let mut source = inside::file_at(from, name)?;
            let mut target = inside::create_at(to, name, 0o600)?;
            io::copy(&mut source, &mut target)?;
            set_like(&source, &target)
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(target, to, name)?;
            let owner = (Uid::from_raw(known.st_uid), Gid::from_raw(known.st_gid));
            Ok(chownat(to, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?)
        }
        kind => Ok(mknodat(to, name, kind, Mode::from_raw_mode(known.st_mode & 0o7777), known.st_rdev)?),
    }
}
