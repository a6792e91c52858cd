//! Sending contents of a file system to the pipeline: a tree as an archive, a directory as a list.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat, fstat, readlinkat, statat};
use tar::EntryType;

use super::directory::names;
use super::inside;
use crate::engine::native::wire::Kind;

/// Writes a file as an archive of one entry.
pub(super) fn send_file(mut file: File, to: OwnedFd) -> io::Result<()> {
    let mut archive = tar::Builder::new(buffered(to));
    archive.append_file(".", &mut file)?;
    archive.into_inner()?.flush()
}

/// Writes a directory as an archive. Sockets are left out: archives cannot represent them, and they are useless without
/// the process that listens. Without recursion and with one descriptor, as a hostile tree may be deeper than a stack.
pub(super) fn send_directory(directory: &OwnedFd, to: OwnedFd) -> io::Result<()> {
    let mut out = Archive { out: tar::Builder::new(buffered(to)), files: HashMap::new() };
    let mut at = inside::directory_at(directory, ".")?;
    let mut path = PathBuf::from(".");
    out.add(Path::new("./"), EntryType::Directory, &fstat(&at)?)?;
    let mut levels = vec![names(&at)?.into_iter()];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.next() else {
            levels.pop();
            if !levels.is_empty() {
                at = inside::directory_at(&at, "..")?;
                path.pop();
            }
            continue;
        };
        let known = statat(&at, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        path.push(&name);
        if FileType::from_raw_mode(known.st_mode) == FileType::Directory {
            out.add(&path, EntryType::Directory, &known)?;
            at = inside::directory_at(&at, &name)?;
            levels.push(names(&at)?.into_iter());
        } else {
            out.leaf(&at, &name, &known, &path)?;
            path.pop();
        }
    }
    out.out.into_inner()?.flush()
}

/// Writes the entries of a directory: for each a byte for its kind, its name, and a NUL.
pub(super) fn send_list(directory: &OwnedFd, to: OwnedFd) -> io::Result<()> {
    let directory = inside::directory_at(directory, ".")?;
    let mut out = buffered(to);
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            known => known,
        };
        out.write_all(&[Kind::from(kind) as u8])?;
        out.write_all(name.to_bytes_with_nul())?;
    }
    out.flush()
}

fn buffered(to: OwnedFd) -> BufWriter<File> {
    BufWriter::with_capacity(1 << 16, File::from(to))
}

struct Archive<W: Write> {
    out: tar::Builder<W>,
    /// The first name of each file with several hard links, by device and inode.
    files: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Archive<W> {
    /// Writes anything but a directory, by its name in its directory.
    fn leaf(&mut self, at: &OwnedFd, name: &Path, known: &Stat, path: &Path) -> io::Result<()> {
        match FileType::from_raw_mode(known.st_mode) {
            FileType::RegularFile => self.file(at, name, known, path),
            FileType::Symlink => {
                let target = readlinkat(at, name, Vec::new())?;
                let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
                self.out.append_link(&mut header(EntryType::Symlink, known), path, target)
            }
            FileType::Fifo => self.add(path, EntryType::Fifo, known),
            FileType::CharacterDevice => self.add(path, EntryType::Char, known),
            FileType::BlockDevice => self.add(path, EntryType::Block, known),
            _ => Ok(()),
        }
    }

    /// Writes a file; holes stay holes.
    fn file(&mut self, at: &OwnedFd, name: &Path, known: &Stat, path: &Path) -> io::Result<()> {
        if known.st_nlink > 1 {
            let id = (known.st_dev, known.st_ino);
            if let Some(first) = self.files.get(&id) {
                return self.out.append_link(&mut header(EntryType::Link, known), path, first);
            }
            self.files.insert(id, path.to_owned());
        }
        self.out.append_file(path, &mut inside::file_at(at, name)?)
    }

    fn add(&mut self, path: &Path, kind: EntryType, known: &Stat) -> io::Result<()> {
        self.out.append_data(&mut header(kind, known), path, io::empty())
    }
}

fn header(kind: EntryType, known: &Stat) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(known.st_mode & 0o7777);
    header.set_uid(known.st_uid.into());
    header.set_gid(known.st_gid.into());
    header.set_mtime(u64::try_from(known.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}
