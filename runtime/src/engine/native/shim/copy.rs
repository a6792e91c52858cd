//! Copying files and trees from one file system into another.
//!
//! Owners, modes, times, attributes, hard links and holes are preserved. Without recursion and with two descriptors, as a
//! hostile tree may be deeper than a stack and wider than the limit of open files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, SeekFrom, Stat, Uid, chownat, fstat, ftruncate, linkat, mkdirat, mknodat,
    readlinkat, seek, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::attributes::set_like;
use super::directory::{names, remove};
use super::inside;
use super::overlay::Tree;
use crate::engine::not_a_file;

/// A directory's contents go into the directory `to`, a file becomes `to`; existing entries stay where possible.
pub(super) fn copy_to(source: &Tree, from: &str, tree: &Tree, to: &str) -> io::Result<()> {
    if is_directory(source, from)? {
        let target = inside::make_directory(tree.as_fd(), to)?;
        return copy_contents(&inside::directory(source.as_fd(), from)?, target.as_fd());
    }
    copy_one(source, from, tree, to)
}

/// Replaces `to`, or what a link at `to` leads to, by what is at `from`: nothing of the old contents is left.
pub(super) fn replace(source: &Tree, from: &str, tree: &Tree, to: &str) -> io::Result<()> {
    let there = match inside::find(tree.as_fd(), to) {
        Ok(found) => Some(kind(&fstat(&found)?)),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error.into()),
    };
    if !is_directory(source, from)? {
        if there == Some(FileType::Directory) {
            return Err(io::Error::other(not_a_file(to)));
        }
        return copy_one(source, from, tree, to);
    }
    if there != Some(FileType::Directory) {
        let (parent, name) = split(to);
        remove(inside::make_directory(tree.as_fd(), parent)?.as_fd(), Path::new(name))?;
    }
    let target = inside::directory_at(inside::make_directory(tree.as_fd(), to)?, ".")?;
    for name in names(&target)? {
        remove(target.as_fd(), &name)?;
    }
    let from = inside::directory(source.as_fd(), from)?;
    copy_contents(&from, target.as_fd())?;
    set_like(&from, &target)
}

fn is_directory(tree: &Tree, path: &str) -> io::Result<bool> {
    match kind(&fstat(inside::find(tree.as_fd(), path)?)?) {
        FileType::Directory => Ok(true),
        FileType::RegularFile => Ok(false),
        _ => Err(io::Error::other("it is neither a file nor a directory")),
    }
}

fn kind(known: &Stat) -> FileType {
    FileType::from_raw_mode(known.st_mode)
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Copies one file, by its path.
fn copy_one(source: &Tree, from: &str, tree: &Tree, to: &str) -> io::Result<()> {
    let (parent, name) = split(to);
    let target = inside::make_directory(tree.as_fd(), parent)?;
    let file = inside::file(source.as_fd(), from)?;
    let copy = inside::create_at(&target, name, 0o600)?;
    copy_data(&file, &copy)?;
    set_like(&file, &copy)
}

/// Copies everything in a directory into another one.
pub(super) fn copy_contents(from: &OwnedFd, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut files = Files { root: to, known: HashMap::new() };
    let (mut from, mut to) = (inside::directory_at(from, ".")?, inside::directory_at(to, ".")?);
    let mut path = PathBuf::new();
    let mut levels = vec![names(&from)?.into_iter()];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.next() else {
            levels.pop();
            if !levels.is_empty() {
                // Adding entries changed its times.
                set_like(&from, &to)?;
                (from, to) = (inside::directory_at(&from, "..")?, inside::directory_at(&to, "..")?);
                path.pop();
            }
            continue;
        };
        let known = statat(&from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if kind(&known) == FileType::Directory {
            match mkdirat(&to, &name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            (from, to) = (inside::directory_at(&from, &name)?, inside::directory_at(&to, &name)?);
            path.push(&name);
            levels.push(names(&from)?.into_iter());
        } else {
            files.copy(&from, &to, &name, &known, &path.join(&name))?;
        }
    }
    Ok(())
}

/// The files that were copied.
struct Files<'a> {
    root: BorrowedFd<'a>,
    /// The first copy of each file with several hard links, by device and inode.
    known: HashMap<(u64, u64), PathBuf>,
}

impl Files<'_> {
    /// Copies anything but a directory, by its name in its directory.
    fn copy(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &Path,
        known: &Stat,
        path: &Path,
    ) -> io::Result<()> {
        match kind(known) {
            FileType::RegularFile if known.st_nlink > 1 => self.copy_linked(from, to, name, known, path),
            FileType::RegularFile => copy_file(from, to, name),
            FileType::Symlink => {
                let target = readlinkat(from, name, Vec::new())?;
                make_room(to, name)?;
                symlinkat(target, to, name)?;
                own(to, name, known)
            }
            FileType::Fifo => {
                make_room(to, name)?;
                mknodat(to, name, FileType::Fifo, Mode::from_raw_mode(known.st_mode & 0o7777), 0)?;
                own(to, name, known)?;
                // The mode at creation is masked by the umask.
                Ok(rustix::fs::chmodat(
                    to,
                    name,
                    Mode::from_raw_mode(known.st_mode & 0o7777),
                    AtFlags::empty(),
                )?)
            }
            // Devices and sockets belong to their machine.
            _ => Ok(()),
        }
    }

    fn copy_linked(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &Path,
        known: &Stat,
        path: &Path,
    ) -> io::Result<()> {
        let id = (known.st_dev, known.st_ino);
        if let Some(first) = self.known.get(&id) {
            make_room(to, name)?;
            // A file system limits the number of names of a file, and the kernel the length of a path.
            if linkat(self.root, first, to, name, AtFlags::empty()).is_ok() {
                return Ok(());
            }
        }
        copy_file(from, to, name)?;
        self.known.insert(id, path.to_owned());
        Ok(())
    }
}

fn copy_file(from: &OwnedFd, to: &OwnedFd, name: &Path) -> io::Result<()> {
    let source = inside::file_at(from, name)?;
    let copy = inside::create_at(to, name, 0o600)?;
    copy_data(&source, &copy)?;
    set_like(&source, &copy)
}

fn make_room(at: &OwnedFd, name: &Path) -> io::Result<()> {
    match unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn own(at: &OwnedFd, name: &Path, known: &Stat) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(known.st_uid), Gid::from_raw(known.st_gid));
    Ok(chownat(at, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies a file's contents into an empty file. Holes stay holes.
pub(super) fn copy_data(mut from: &File, mut to: &File) -> io::Result<()> {
    let known = fstat(from)?;
    let size = u64::try_from(known.st_size).unwrap_or(0);
    let taken = u64::try_from(known.st_blocks).unwrap_or(0).saturating_mul(512);
    if taken >= size {
        return io::copy(&mut from, &mut to).map(drop);
    }
    let mut at = 0;
    loop {
        let data = match seek(from, SeekFrom::Data(at)) {
            Ok(data) => data,
            // No more data follows.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = seek(from, SeekFrom::Hole(data))?;
        seek(from, SeekFrom::Start(data))?;
        seek(to, SeekFrom::Start(data))?;
        io::copy(&mut from.take(at.saturating_sub(data)), &mut to)?;
    }
    Ok(ftruncate(to, size)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt};

    use rustix::fs::CWD;

    use super::*;

    fn copied(make: impl FnOnce(&Path)) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        make(&from);
        let open = |path: &Path| inside::directory_at(CWD, path).unwrap();
        copy_contents(&open(&from), open(&to).as_fd()).unwrap();
        directory
    }

    #[test]
    fn hard_links_pipes_and_holes_are_kept() {
        let size = 3 << 30;
        let directory = copied(|from| {
            std::fs::create_dir(from.join("sub")).unwrap();
            std::fs::write(from.join("a"), "one").unwrap();
            std::fs::hard_link(from.join("a"), from.join("sub/b")).unwrap();
            std::fs::hard_link(from.join("a"), from.join("sub/c")).unwrap();
            mknodat(CWD, from.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o622), 0).unwrap();
            let mut sparse = File::create(from.join("sparse")).unwrap();
            sparse.set_len(size).unwrap();
            sparse.seek(io::SeekFrom::Start(1 << 30)).unwrap();
            sparse.write_all(b"data").unwrap();
            let _listener = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
            std::fs::set_permissions(from.join("sub"), PermissionsExt::from_mode(0o1570)).unwrap();
        });
        let to = directory.path().join("to");
        let known = |name: &str| to.join(name).symlink_metadata().unwrap();
        assert_eq!((known("a").ino(), known("a").nlink()), (known("sub/b").ino(), 3));
        assert_eq!(known("a").ino(), known("sub/c").ino());
        assert!(known("pipe").file_type().is_fifo());
        assert_eq!(known("sub").mode() & 0o7777, 0o1570);
        assert_eq!(known("sparse").len(), size);
        assert!(known("sparse").blocks() < 1 << 11, "{} blocks", known("sparse").blocks());
        let mut sparse = File::open(to.join("sparse")).unwrap();
        sparse.seek(io::SeekFrom::Start((1 << 30) - 2)).unwrap();
        let mut piece = [9; 8];
        sparse.read_exact(&mut piece).unwrap();
        assert_eq!(&piece, b"\0\0data\0\0");
        assert!(!to.join("socket").exists());
    }

    #[test]
    fn a_tree_is_copied_however_wide_and_deep() {
        let directory = copied(|from| {
            for number in 0..3000 {
                std::fs::create_dir(from.join(number.to_string())).unwrap();
            }
            let mut at = inside::directory_at(CWD, from).unwrap();
            for _ in 0..1500 {
                mkdirat(&at, "deep", Mode::from_raw_mode(0o700)).unwrap();
                at = inside::directory_at(&at, "deep").unwrap();
            }
            rustix::fs::symlinkat("x", &at, "end").unwrap();
        });
        let to = directory.path().join("to");
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 3001);
        let mut at = inside::directory_at(CWD, &to).unwrap();
        for _ in 0..1500 {
            at = inside::directory_at(&at, "deep").unwrap();
        }
        assert_eq!(readlinkat(&at, "end", Vec::new()).unwrap().as_bytes(), b"x");
    }
}
