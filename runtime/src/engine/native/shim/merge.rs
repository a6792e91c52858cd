//! Merging many layers into one: an overlay has at most 500, whose names fit into one page.
//!
//! Files are hard-linked, not copied: a layer's files never change, and a container that writes to a file gets a copy. So
//! a long chain of steps now and then costs one name for each file, and no space.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Stat, Uid, XattrFlags, chownat, fgetxattr, fsetxattr, fstat, futimens,
    linkat, mkdirat, mknodat, statat,
};
use rustix::io::Errno;

use super::attributes::{set_like, times};
use super::directory::{names, remove};
use super::error::ShimError;
use super::inside;
use super::whiteouts::opaque;

/// Merges several layers, the lowest first, in an empty directory. The result hides and shows of lower layers what they
/// did.
/// they did.
pub(super) fn merge(layers: &[PathBuf], into: &Path) -> Result<(), ShimError> {
    for layer in layers {
        lay(layer, into).map_err(|error| ShimError::new(format!("merge {}: {error}", layer.display())))?;
    }
    Ok(())
}

/// Merges one layer. Without recursion, as a hostile tree may be deeper than a stack.
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
                // A file system limits the number of names of a file.
                Err(Errno::MLINK | Errno::PERM) => copy(&from, &to, &name, &known)?,
                Err(error) => return Err(error.into()),
            }
        }
        // Adding entries changed its times.
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
    // A directory that replaces something else, or a whiteout, hides everything below.
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
