//! Paths of images and containers, resolved inside their root.
//!
//! An image is not trusted: none of its paths leads outside it, and only regular files and directories of it are opened
//! for reading. Whatever is read, created or mounted on in a file system that is not the machine's own is found by these
//! functions and by no others.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, fstatfs, mkdirat, mknodat, openat, openat2,
    readlinkat, unlinkat,
};
use rustix::io::{Errno, Result};

/// The limit of symbolic links in one path, the same as the kernel's.
const MOST_LINKS: usize = 40;

/// How often a lookup is retried that the kernel aborts (openat2(2), `EAGAIN`), which happens whenever anything on the
/// machine is renamed meanwhile. A container that renames all the time must not block the shim for ever.
const TRIES: u32 = 10_000;

/// Neither a link nor anything else in place of a directory.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Opening never blocks, whatever the path turns out to be.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Opens a path's target with `O_PATH`, for its metadata or to mount on it: devices and pipes are not really opened.
pub(super) fn find(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<OwnedFd> {
    resolve(root, path.as_ref(), LOOK, ResolveFlags::empty())
}

/// Opens a directory for reading, of the file system itself and not of a mount in it.
pub(super) fn directory(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    resolve(root, path.as_ref(), flags, ResolveFlags::NO_XDEV)
}

/// Opens a regular file for reading. Anything else is an error (`EINVAL`), and is not opened.
pub(super) fn file(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<File> {
    regular(find(root, &path)?)?;
    // In a running container, something else may have replaced it.
    regular(resolve(root, path.as_ref(), READ, ResolveFlags::empty())?).map(File::from)
}

/// As [`find`], by a name in a directory; a link is not followed.
pub(super) fn find_at(at: impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    openat(at, name.as_ref(), LOOK | OFlags::NOFOLLOW, Mode::empty())
}

/// Opens a directory by its name in another.
pub(super) fn directory_at(at: impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    openat(at, name.as_ref(), DIRECTORY, Mode::empty())
}

/// Opens a regular file by its name in a directory, as [`file`] does.
pub(super) fn file_at(at: impl AsFd, name: impl AsRef<Path>) -> Result<File> {
    let (at, name) = (at.as_fd(), name.as_ref());
    regular(find_at(at, name)?)?;
    regular(openat(at, name, READ | OFlags::NOFOLLOW, Mode::empty())?).map(File::from)
}

/// Opens the device that makes terminals. What a container may have put in its place is not opened.
pub(super) fn terminals(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    const PATH: &str = "/dev/pts/ptmx";
    const FLAGS: OFlags = OFlags::RDWR.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
    terminals_only(find(root, PATH)?)?;
    terminals_only(resolve(root, Path::new(PATH), FLAGS, ResolveFlags::NO_SYMLINKS)?)
}

/// Linux's own numbers: of the device, and of its kind of file system.
fn terminals_only(found: OwnedFd) -> Result<OwnedFd> {
    const DEVPTS: u64 = 0x1cd1;
    let stat = fstat(&found)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(5, 2);
    let kind = u64::try_from(fstatfs(&found)?.f_type);
    if is_device && kind == Ok(DEVPTS) { Ok(found) } else { Err(Errno::NOTTY) }
}

/// Replaces whatever has the name in a directory by a new file, and opens that for writing.
pub(super) fn create_at(at: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<File> {
    let (at, name, mode) = (at.as_fd(), name.as_ref(), Mode::from_raw_mode(mode));
    match unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(at, name, flags, mode)?;
    fchmod(&file, mode)?;
    Ok(file.into())
}

/// Creates a directory and its missing parents, and opens it as [`find`] does. The missing target of a link is created
/// too, inside the root.
pub(super) fn make_directory(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<OwnedFd> {
    make(root, path.as_ref(), FileType::Directory)
}

/// Creates an empty file to mount on if there is nothing, with its missing parents, as [`make_directory`] does. What
/// exists already is opened as it is.
pub(super) fn make_file(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<OwnedFd> {
    make(root, path.as_ref(), FileType::RegularFile)
}

fn regular(found: OwnedFd) -> Result<OwnedFd> {
    match kind(&found)? {
        FileType::RegularFile => Ok(found),
        FileType::Directory => Err(Errno::ISDIR),
        FileType::Symlink => Err(Errno::LOOP),
        _ => Err(Errno::INVAL),
    }
}

fn kind(of: &OwnedFd) -> Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(of)?.st_mode))
}

/// Resolves a path as the container would, but with the shim's permissions: an absolute link, or one with `..`, stays
/// inside the root.
fn resolve(root: BorrowedFd<'_>, path: &Path, flags: OFlags, more: ResolveFlags) -> Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
    for _ in 1..TRIES {
        match openat2(root, path, flags, Mode::empty(), how) {
            // A directory on the path was renamed.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    openat2(root, path, flags, Mode::empty(), how)
}

fn make(root: BorrowedFd<'_>, path: &Path, wanted: FileType) -> Result<OwnedFd> {
    match find(root, path) {
        Err(Errno::NOENT) => walk(root, path, wanted),
        Ok(found) if wanted == FileType::Directory && kind(&found)? != wanted => Err(Errno::NOTDIR),
        found => found,
    }
}

/// Resolves component by component, so that the kernel follows none, and creates what is missing.
fn walk(root: BorrowedFd<'_>, path: &Path, wanted: FileType) -> Result<OwnedFd> {
    let mut links = 0;
    // The directories passed so far, to which `..` returns, and the remaining components, the next one last.
    let mut above = vec![find(root, "/")?];
    let mut left = names(path);
    while let (Some(name), Some(at)) = (left.pop(), above.last()) {
        if name == ".." {
            if above.len() > 1 {
                above.pop();
            }
            continue;
        }
        let missing = if left.is_empty() { wanted } else { FileType::Directory };
        let found = find_or_make(at, &name, missing)?;
        match kind(&found)? {
            FileType::Directory => above.push(found),
            FileType::Symlink if links < MOST_LINKS => {
                links += 1;
                let target = readlinkat(&found, "", Vec::new())?;
                let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                if target.has_root() {
                    above.truncate(1);
                }
                left.extend(names(target));
            }
            FileType::Symlink => return Err(Errno::LOOP),
            _ if left.is_empty() && wanted != FileType::Directory => return Ok(found),
            _ => return Err(Errno::NOTDIR),
        }
    }
    above.pop().ok_or(Errno::NOENT)
}

/// The components, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    let names = parts.filter(|part| !part.is_empty() && *part != b".");
    names.rev().map(|name| OsString::from_vec(name.to_vec())).collect()
}

fn find_or_make(at: &OwnedFd, name: &OsStr, wanted: FileType) -> Result<OwnedFd> {
    let look = || find_at(at, name);
    match look() {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let made = match wanted {
        FileType::Directory => mkdirat(at, name, Mode::from_raw_mode(0o755)),
        _ => mknodat(at, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
    };
    match made {
        // Created by somebody else in the meantime.
        Ok(()) | Err(Errno::EXIST) => look(),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
    use std::path::PathBuf;

    use rustix::fs::CWD;

    use super::*;

    /// A root, and the machine around it.
    struct Place {
        around: tempfile::TempDir,
        root: OwnedFd,
    }

    impl Place {
        fn new() -> Self {
            let around = tempfile::tempdir().unwrap();
            std::fs::create_dir(around.path().join("root")).unwrap();
            let root = openat(CWD, around.path().join("root"), DIRECTORY, Mode::empty()).unwrap();
            Self { around, root }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.around.path().join("root").join(path)
        }

        fn link(&self, target: impl AsRef<Path>, path: &str) {
            symlink(target, self.path(path)).unwrap();
        }

        fn fifo(&self, path: &str) {
            mknodat(CWD, self.path(path), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        }

        /// Whether the machine's directory has only the root.
        fn is_alone(&self) -> bool {
            std::fs::read_dir(self.around.path()).unwrap().count() == 1
        }
    }

    #[test]
    fn what_is_made_behind_a_dangling_link_is_made_inside() {
        let place = Place::new();
        let root = place.root.as_fd();
        place.link(place.around.path().join("absolute"), "a");
        place.link("../../../../../../up", "b");
        place.link("/run/systemd/resolve/stub", "c");
        place.link("c", "d");
        place.link("missing/", "e");
        for name in ["a", "b", "d"] {
            let made = make_file(root, name).unwrap();
            assert_eq!(kind(&made).unwrap(), FileType::RegularFile, "{name}");
        }
        make_directory(root, "e/below").unwrap();
        assert!(place.is_alone());
        let absolute = place.around.path().join("absolute");
        for path in
            [absolute.strip_prefix("/").unwrap(), Path::new("up"), Path::new("run/systemd/resolve/stub")]
        {
            assert!(place.path(path.to_str().unwrap()).is_file(), "{}", path.display());
        }
        assert!(place.path("missing/below").is_dir());
        assert_eq!(place.path("up").metadata().unwrap().mode() & 0o777, 0o644);
    }

    #[test]
    fn links_lead_nowhere_but_inside() {
        let place = Place::new();
        let root = place.root.as_fd();
        std::fs::write(place.around.path().join("victim"), "safe").unwrap();
        place.link("../victim", "up");
        place.link(place.around.path(), "absolute");
        place.link("loop", "loop");
        place.link("round/x", "round");
        assert_eq!(file(root, "up").unwrap_err(), Errno::NOENT);
        assert_eq!(find(root, "absolute/victim").unwrap_err(), Errno::NOENT);
        assert_eq!(make_file(root, "loop").unwrap_err(), Errno::LOOP);
        assert_eq!(make_directory(root, "round/y").unwrap_err(), Errno::LOOP);
        make_file(root, "absolute/victim").unwrap();
        make_file(root, "/../../victim").unwrap();
        assert_eq!(std::fs::read_to_string(place.around.path().join("victim")).unwrap(), "safe");
        assert_eq!(place.path("victim").metadata().unwrap().len(), 0);
        let magic = Path::new("self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&root).to_string());
        let proc = openat(CWD, "/proc", DIRECTORY, Mode::empty()).unwrap();
        assert_eq!(find(proc.as_fd(), &magic).unwrap_err(), Errno::LOOP);
        assert_eq!(make_directory(proc.as_fd(), &magic).unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn nothing_but_regular_files_is_opened() {
        let place = Place::new();
        let root = place.root.as_fd();
        place.fifo("pipe");
        place.link("pipe", "to");
        let _listener = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
        for name in ["pipe", "to", "socket"] {
            assert_eq!(file(root, name).unwrap_err(), Errno::INVAL, "{name}");
        }
        assert_eq!(file_at(root, "pipe").unwrap_err(), Errno::INVAL);
        assert_eq!(file_at(root, "to").unwrap_err(), Errno::LOOP);
        assert_eq!(file(root, "/").unwrap_err(), Errno::ISDIR);
        // A link's target that is to be mounted on stays what it is.
        make_file(root, "to").unwrap();
        assert_eq!(make_directory(root, "to").unwrap_err(), Errno::NOTDIR);
        assert!(place.path("pipe").metadata().unwrap().file_type().is_fifo());
        create_at(root, "pipe", 0o640).unwrap();
        assert_eq!(place.path("pipe").metadata().unwrap().mode(), 0o100_640);
    }

    #[test]
    fn what_is_there_is_found_and_what_is_missing_is_made() {
        let place = Place::new();
        let root = place.root.as_fd();
        make_directory(root, "/a/./b/").unwrap();
        make_file(root, "/a/b/../c").unwrap();
        assert!(place.path("a/c").is_file());
        assert_eq!(make_directory(root, "/a/c/d").unwrap_err(), Errno::NOTDIR);
        assert_eq!(make_file(root, "/a/c/d").unwrap_err(), Errno::NOTDIR);
        std::fs::write(place.path("a/c"), "text").unwrap();
        make_file(root, "a/c").unwrap();
        assert_eq!(std::io::read_to_string(file(root, "a/c").unwrap()).unwrap(), "text");
        assert_eq!(kind(&find(root, "").unwrap()).unwrap(), FileType::Directory);
        assert_eq!(find(root, "a/none").unwrap_err(), Errno::NOENT);
        directory(root, "a").unwrap();
        assert_eq!(directory(root, "a/c").unwrap_err(), Errno::NOTDIR);
    }
}
