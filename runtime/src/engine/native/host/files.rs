//! Looking into file systems that nothing runs in, and putting files into them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, Uid, fstat, mkdirat, readlinkat, statat, symlinkat};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::fault::{Context as _, Fault};
use super::inside;
use super::merge::set_like;
use super::pack::pack;
use super::rootfs::{self, Tree};
use super::unpack::unpack;
use super::unshare;
use crate::engine::native::store;
use crate::engine::native::wire::{self, Answer, Files, Piece, Placement, Root, Stat};

pub(super) fn answer(files: &Files, descriptors: Vec<OwnedFd>, answers: &UnixStream) -> Result<(), Fault> {
    unshare(UnshareFlags::NEWNS).context("mounts of its own")?;
    let answer = match files {
        Files::Stat { root, path } => stat(&rootfs::open(root)?, path)?,
        Files::Read { root, path } => {
            let to = descriptors.into_iter().next().ok_or_else(|| Fault::new("nowhere to send it"))?;
            read(&rootfs::open(root)?, path, to)?
        }
        Files::Unpack { into, size, digest } => {
            let archive = descriptors.into_iter().next().ok_or_else(|| Fault::new("nothing to unpack"))?;
            unpack(into, archive, *size, digest.as_deref())?;
            Answer::Done
        }
        Files::Pack { layer } => {
            let to = descriptors.into_iter().next().ok_or_else(|| Fault::new("nowhere to write it"))?;
            Answer::Packed(pack(layer, to)?)
        }
        Files::Prune { bounds, aside } => {
            let removed = store::prune(Path::new(""), aside, bounds).context("remove what is not needed")?;
            Answer::Pruned(removed)
        }
        Files::Empty { volume, aside } => {
            store::empty(volume, aside).context(volume.display())?;
            Answer::Done
        }
        Files::Remove { path } => {
            std::fs::remove_dir_all(path).context(path.display())?;
            Answer::Done
        }
        Files::Merge { layers, into } => {
            super::merge::merge(layers, into)?;
            Answer::Done
        }
        Files::Place { root, placements } => {
            place(&rootfs::open(root)?, placements, &descriptors)?;
            Answer::Done
        }
    };
    wire::say(answers, &answer).context("the pipeline")
}

/// `None` where nothing is there.
fn look(tree: &Tree, path: &str) -> Result<Option<OwnedFd>, Fault> {
    match inside::find(tree.as_fd(), path) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(Fault::new(format!("{path}: {error}"))),
    }
}

fn stat(tree: &Tree, path: &str) -> Result<Answer, Fault> {
    let Some(found) = look(tree, path)? else {
        return Ok(Answer::NoSuchPath);
    };
    let found = fstat(&found).context(path)?;
    Ok(Answer::Stat(Stat {
        mode: found.st_mode,
        size: u64::try_from(found.st_size).unwrap_or(0),
        mtime: found.st_mtime,
    }))
}

fn read(tree: &Tree, path: &str, to: OwnedFd) -> Result<Answer, Fault> {
    let Some(found) = look(tree, path)? else {
        return Ok(Answer::NoSuchPath);
    };
    let kind = FileType::from_raw_mode(fstat(&found).context(path)?.st_mode);
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(1 << 16, File::from(to)));
    archive.follow_symlinks(false);
    // The descriptor's own name leads to what it has open, and to nothing else.
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found));
    if kind == FileType::Directory {
        archive.append_dir_all(".", format!("{name}/.")).context(path)?;
    } else {
        let mut file = inside::file(tree.as_fd(), path).context(path)?;
        archive.append_file(".", &mut file).context(path)?;
    }
    archive.into_inner().and_then(|mut out| out.flush()).context(path)?;
    Ok(Answer::Done)
}

fn place(tree: &Tree, placements: &[Placement], descriptors: &[OwnedFd]) -> Result<(), Fault> {
    for placement in placements {
        match placement {
            Placement::File { path, contents } => {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                let parent = inside::make_directory(tree.as_fd(), parent).context(path)?;
                let mut file = inside::create_at(&parent, name, 0o644).context(path)?;
                let from = descriptors.get(contents.descriptor);
                let from = from.ok_or_else(|| Fault::new("its contents were not sent")).context(path)?;
                copy_piece(from, contents, &mut file).context(path)?;
            }
            Placement::Copy { layers, from, to } => {
                let source = rootfs::open(&Root { layers: layers.clone(), changes: None })?;
                copy_to(&source, from, tree, to)
                    .map_err(|error| Fault::new(format!("{from} to {to}: {error}")))?;
            }
        }
    }
    Ok(())
}

/// Without moving where the descriptor stands, which others have too.
fn copy_piece(from: &OwnedFd, piece: &Piece, to: &mut File) -> io::Result<()> {
    let (mut at, end) = (piece.offset, piece.offset + piece.length);
    let mut buffer = vec![0; 256 << 10];
    while at < end {
        let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let read = rustix::io::pread(from, buffer.get_mut(..wanted).unwrap_or_default(), at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(buffer.get(..read).unwrap_or_default())?;
        at += read as u64;
    }
    Ok(())
}

/// A directory's contents go into the directory `to`, a file becomes `to`.
fn copy_to(source: &Tree, from: &str, tree: &Tree, to: &str) -> io::Result<()> {
    let known = fstat(inside::find(source.as_fd(), from)?)?;
    match FileType::from_raw_mode(known.st_mode) {
        FileType::Directory => {
            let target = inside::make_directory(tree.as_fd(), to)?;
            return copy_contents(&inside::directory(source.as_fd(), from)?, target.as_fd());
        }
        FileType::RegularFile => {}
        _ => return Err(io::Error::other("it is neither a file nor a directory")),
    }
    let (parent, name) = to.rsplit_once('/').unwrap_or(("", to));
    let target = inside::make_directory(tree.as_fd(), parent)?;
    let mut file = inside::file(source.as_fd(), from)?;
    let mut copy = inside::create_at(&target, name, known.st_mode & 0o7777)?;
    io::copy(&mut file, &mut copy)?;
    set_like(&file, &copy)
}

pub(super) fn times(known: &rustix::fs::Stat) -> rustix::fs::Timestamps {
    let time = rustix::fs::Timespec {
        tv_sec: known.st_mtime,
        tv_nsec: i64::try_from(known.st_mtime_nsec).unwrap_or(0),
    };
    rustix::fs::Timestamps { last_access: time, last_modification: time }
}

/// Without recursion, as a hostile tree may be deeper than a stack.
pub(super) fn copy_contents(from: &OwnedFd, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut pending = vec![(inside::directory_at(from, ".")?, inside::directory_at(to, ".")?)];
    while let Some((from, to)) = pending.pop() {
        let names: Vec<PathBuf> = Dir::read_from(&from)?
            .map(|entry| {
                entry.map(|entry| Path::new(std::ffi::OsStr::from_bytes(entry.file_name().to_bytes())).into())
            })
            .collect::<Result<_, _>>()?;
        for name in names.iter().filter(|name| ![".", ".."].iter().any(|own| *name == Path::new(own))) {
            let known = statat(&from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(known.st_mode) {
                FileType::Directory => pending.push(copy_directory(&from, &to, name)?),
                FileType::RegularFile => {
                    let mut source = inside::file_at(&from, name)?;
                    let mut copy = inside::create_at(&to, name, 0o600)?;
                    io::copy(&mut source, &mut copy)?;
                    set_like(&source, &copy)?;
                }
                FileType::Symlink => {
                    let target = readlinkat(&from, name, Vec::new())?;
                    let _ = rustix::fs::unlinkat(&to, name, AtFlags::empty());
                    symlinkat(target, &to, name)?;
                    let owner = (Uid::from_raw(known.st_uid), rustix::fs::Gid::from_raw(known.st_gid));
                    rustix::fs::chownat(&to, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
                }
                // Devices, sockets and pipes are of the machine that they are on.
                _ => {}
            }
        }
    }
    Ok(())
}

fn copy_directory(from: &OwnedFd, to: &OwnedFd, name: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let from = inside::directory_at(from, name)?;
    match mkdirat(to, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let to = inside::directory_at(to, name)?;
    set_like(&from, &to)?;
    Ok((from, to))
}
