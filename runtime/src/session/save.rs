//! Saving a container's files to this machine: single files, and trees into a directory.
//!
//! A tree is not trusted, and neither is what an earlier one left in the directory: nothing is written through a link,
//! and nothing outside the directory. An existing entry of the same name is replaced, whatever it is.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Extracts an archive into an existing directory.
pub(super) fn save_tree(archive: &mut tar::Archive<impl Read>, root: &Path) -> io::Result<()> {
    let mut tree = Tree { root, checked: HashSet::new(), directories: Vec::new() };
    for entry in archive.entries()? {
        tree.save(&mut entry?)?;
    }
    tree.finish()
}

struct Tree<'a> {
    /// The directory that everything goes into.
    root: &'a Path,
    /// Paths known to be real directories, as are all their parents.
    checked: HashSet<PathBuf>,
    /// Directories with their final mode and time. These are set last, as a directory without write permission would keep
    /// out its own files.
    directories: Vec<(PathBuf, Known)>,
}

/// The metadata of an entry.
#[derive(Clone, Copy)]
struct Known {
    mode: u32,
    modified: SystemTime,
}

impl Known {
    fn of(header: &tar::Header) -> io::Result<Self> {
        let seconds = Duration::from_secs(header.mtime()?);
        Ok(Self { mode: header.mode()?, modified: SystemTime::UNIX_EPOCH + seconds })
    }

    fn set(self, of: &File, path: &Path) -> io::Result<()> {
        of.set_modified(self.modified)?;
        set_mode(path, self.mode)
    }
}

impl Tree<'_> {
    fn save(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> io::Result<()> {
        let path = plain(&entry.path()?)?;
        let known = Known::of(entry.header())?;
        let at = || self.root.join(&path);
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            self.directory(&path)?;
            self.directories.push((path, known));
        } else if holds_contents(kind) {
            let at = at();
            self.make_room(&path)?;
            let mut file = OpenOptions::new().write(true).create_new(true).open(&at)?;
            copy(entry, &mut file)?;
            known.set(&file, &at)?;
        } else if let (true, Some(target)) = (kind.is_symlink(), entry.link_name()?) {
            let at = at();
            self.make_room(&path)?;
            symlink(&target, &at)?;
        } else if let (true, Some(target)) = (kind.is_hard_link(), entry.link_name()?) {
            self.link(&plain(&target)?, &path)?;
        }
        // Pipes and devices are useless here, so they are skipped.
        Ok(())
    }

    /// Another hard link to a file that was saved before.
    fn link(&mut self, target: &Path, path: &Path) -> io::Result<()> {
        self.parents(target)?;
        let (from, to) = (self.root.join(target), self.root.join(path));
        if !fs::symlink_metadata(&from)?.is_file() {
            return Err(io::Error::other(format!("`{}` is no file to link to", target.display())));
        }
        if target == path {
            return Ok(());
        }
        self.make_room(path)?;
        // Not every file system supports hard links.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop))
    }

    fn directory(&mut self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || self.checked.contains(path) {
            return Ok(());
        }
        self.parents(path)?;
        let at = self.root.join(path);
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => make_writable(&at, &found.permissions())?,
            Ok(_) => {
                fs::remove_file(&at)?;
                fs::create_dir(&at)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&at)?,
            Err(error) => return Err(error),
        }
        self.checked.insert(path.to_owned());
        Ok(())
    }

    /// Makes sure that all parents of a path are directories.
    fn parents(&mut self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => self.directory(parent),
            None => Ok(()),
        }
    }

    /// Removes an existing entry of this name.
    fn make_room(&mut self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            return Err(io::Error::other("an entry without a name"));
        }
        self.parents(path)?;
        let at = self.root.join(path);
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {
                self.checked.retain(|checked| !checked.starts_with(path));
                self.directories.retain(|(directory, _)| !directory.starts_with(path));
                fs::remove_dir_all(&at)
            }
            Ok(_) => fs::remove_file(&at),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sets the directories' metadata, inner ones before outer ones.
    fn finish(self) -> io::Result<()> {
        for (path, known) in self.directories.iter().rev().filter(|(path, _)| !path.as_os_str().is_empty()) {
            let at = self.root.join(path);
            #[cfg(unix)]
            File::open(&at)?.set_modified(known.modified)?;
            set_mode(&at, known.mode)?;
        }
        Ok(())
    }
}

/// A normalised name from an archive, without `.`; a name that leads outside is refused.
fn plain(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            _ => return Err(io::Error::other(format!("`{}` leads outside", path.display()))),
        }
    }
    Ok(plain)
}

/// Whether an entry of an archive is a regular file with contents.
pub(super) fn holds_contents(kind: tar::EntryType) -> bool {
    kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()
}

/// Copies a file's contents into an empty file; blocks of zeros become holes.
pub(super) fn copy(from: &mut impl Read, to: &mut File) -> io::Result<()> {
    const WORTH_IT: usize = 4096;
    let mut piece = vec![0; 64 << 10];
    let mut size = 0_u64;
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = piece.get(..length).unwrap_or_default();
        if length >= WORTH_IT && read.iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Current(i64::try_from(length).unwrap_or(0)))?;
        } else {
            to.write_all(read)?;
        }
        size += length as u64;
    }
    to.set_len(size)
}

/// The permission bits and the sticky bit. The setuid and setgid bits are dropped: nothing that is saved runs with
/// another user's rights.
#[cfg(unix)]
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, Permissions::from_mode(mode & 0o1777))
}

#[cfg(not(unix))]
pub(super) fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Makes a directory writable that an earlier save left without write permission.
#[cfg(unix)]
fn make_writable(path: &Path, permissions: &Permissions) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = permissions.mode();
    if mode & 0o700 == 0o700 {
        Ok(())
    } else {
        fs::set_permissions(path, Permissions::from_mode(mode | 0o700))
    }
}

#[cfg(not(unix))]
fn make_writable(_: &Path, _: &Permissions) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(not(unix))]
fn symlink(target: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, at)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use tar::EntryType;

    use super::*;

    struct Made(tar::Builder<Vec<u8>>);

    impl Made {
        fn new() -> Self {
            Self(tar::Builder::new(Vec::new())).add(".", EntryType::Directory, 0o755, b"")
        }

        fn add(mut self, path: &str, kind: EntryType, mode: u32, contents: &[u8]) -> Self {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_mtime(1_000_000);
            header.set_size(contents.len() as u64);
            self.0.append_data(&mut header, path, contents).unwrap();
            self
        }

        fn link(mut self, path: &str, kind: EntryType, target: &str) -> Self {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o777);
            header.set_mtime(0);
            header.set_size(0);
            self.0.append_link(&mut header, path, target).unwrap();
            self
        }

        fn save(self, to: &Path) -> io::Result<()> {
            save_tree(&mut tar::Archive::new(&self.0.into_inner().unwrap()[..]), to)
        }
    }

    #[test]
    fn a_tree_with_hard_links_is_saved_as_often_as_one_likes() {
        let to = tempfile::tempdir().unwrap();
        for contents in ["one", "second"] {
            Made::new()
                .add("a", EntryType::Regular, 0o644, contents.as_bytes())
                .add("sub", EntryType::Directory, 0o755, b"")
                .link("sub/b", EntryType::Link, "a")
                .link("sub/c", EntryType::Link, "./a")
                .save(to.path())
                .unwrap();
            let known = |name: &str| fs::symlink_metadata(to.path().join(name)).unwrap();
            assert_eq!((known("a").ino(), known("a").nlink()), (known("sub/b").ino(), 3));
            assert_eq!(fs::read_to_string(to.path().join("sub/c")).unwrap(), contents);
        }
    }

    #[test]
    fn what_is_there_is_replaced_whatever_it_is_and_no_link_is_followed() {
        let around = tempfile::tempdir().unwrap();
        let (to, outside) = (around.path().join("to"), around.path().join("outside"));
        fs::create_dir(&to).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("victim"), "safe").unwrap();
        fs::write(to.join("kept"), "kept").unwrap();
        let planted = outside.to_str().unwrap();
        let victim = outside.join("victim");
        let file = |made: Made, path: &str| made.add(path, EntryType::Regular, 0o644, b"new");
        let dir = |made: Made, path: &str| made.add(path, EntryType::Directory, 0o755, b"");
        // As a file, a directory, a link to a directory, a link to a file, and an entry of a directory.
        let forms: [&dyn Fn(Made) -> Made; 4] = [
            &|made| file(made, "x"),
            &|made| file(dir(made, "x"), "x/victim"),
            &|made| made.link("x", EntryType::Symlink, planted),
            &|made| made.link("x", EntryType::Symlink, victim.to_str().unwrap()),
        ];
        for one in forms {
            for other in forms {
                one(Made::new()).save(&to).unwrap();
                other(Made::new()).save(&to).unwrap();
                assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
            }
        }
        forms[1](Made::new()).save(&to).unwrap();
        assert_eq!(fs::read_to_string(to.join("x/victim")).unwrap(), "new");
        assert_eq!(fs::read_to_string(to.join("kept")).unwrap(), "kept");
        // Nor through a link that the archive itself brings.
        let own = Made::new().link("y", EntryType::Symlink, planted);
        file(own, "y/victim").save(&to).unwrap();
        assert!(to.join("y").symlink_metadata().unwrap().is_dir());
        let hard = Made::new().link("z", EntryType::Symlink, planted).link("h", EntryType::Link, "z/victim");
        assert!(hard.save(&to).is_err());
        let linked = Made::new().link("z", EntryType::Symlink, victim.to_str().unwrap());
        assert!(linked.link("h", EntryType::Link, "z").save(&to).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert!(plain(Path::new("../x")).is_err() && plain(Path::new("/x")).is_err());
    }

    #[test]
    fn modes_times_and_holes_are_kept_and_pipes_are_left_out() {
        let to = tempfile::tempdir().unwrap();
        let mut sparse = vec![0; 8 << 20];
        sparse[4 << 20] = 7;
        for _ in 0..2 {
            Made::new()
                .add("shared", EntryType::Directory, 0o1777, b"")
                .add("closed", EntryType::Directory, 0o555, b"")
                .add("closed/x", EntryType::Regular, 0o4755, b"x")
                .add("pipe", EntryType::Fifo, 0o644, b"")
                .add("null", EntryType::Char, 0o644, b"")
                .add("sparse", EntryType::Regular, 0o600, &sparse)
                .save(to.path())
                .unwrap();
            let known = |name: &str| fs::symlink_metadata(to.path().join(name)).unwrap();
            assert_eq!(known("shared").mode() & 0o7777, 0o1777);
            assert_eq!(known("closed").mode() & 0o7777, 0o555);
            assert_eq!(known("closed").mtime(), 1_000_000);
            assert_eq!(known("closed/x").mode() & 0o7777, 0o755);
            assert_eq!(known("closed/x").mtime(), 1_000_000);
            assert!(known("sparse").blocks() < 1 << 10, "{} blocks", known("sparse").blocks());
            assert!(fs::read(to.path().join("sparse")).unwrap() == sparse);
            assert!(!to.path().join("pipe").exists() && !to.path().join("null").exists());
        }
        fs::set_permissions(to.path().join("closed"), Permissions::from_mode(0o755)).unwrap();
    }
}
