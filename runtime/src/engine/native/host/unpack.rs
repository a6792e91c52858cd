//! Layers of images, unpacked (OCI image layer specification, "applying changesets").
//!
//! A layer is not trusted. It is unpacked by a process that sees nothing of the machine's file system but the directory
//! that it unpacks into, so that whatever a name or a link says, it says it of that directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, lsetxattr, mknodat,
    setxattr, utimensat,
};
use rustix::io::Errno;
use sha2::Digest as _;

use super::fault::{Context as _, Fault};
use crate::error::with_causes;

/// Starts the name of what is gone.
pub(super) const WHITEOUT: &str = ".wh.";
/// In a directory of which nothing below is seen.
pub(super) const OPAQUE: &str = ".wh..wh..opq";

/// As much memory more than the program has is enough for every archive that is none to do harm.
const MEMORY: u64 = 256 << 20;

/// Unpacks `size` bytes of an archive, compressed or not. Gives nothing away of the machine, whatever is in it.
pub(super) fn unpack(into: &Path, archive: OwnedFd, size: u64, digest: Option<&str>) -> Result<(), Fault> {
    let limit = Some(address_space().context("/proc/self/statm")? + MEMORY);
    rustix::process::chdir(into).context(into.display())?;
    rustix::process::chroot(".").context("a root of its own")?;
    let limit = rustix::process::Rlimit { current: limit, maximum: limit };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).context("a limit of its memory")?;
    let plain = decompressed(File::from(archive).take(size)).context("an archive")?;
    let mut reader = Hashing { inner: plain, hash: sha2::Sha256::new() };
    entries(&mut reader).map_err(|error| Fault::new(format!("an archive: {}", with_causes(&error))))?;
    // The digest is of all of it, the padding included.
    io::copy(&mut reader, &mut io::sink()).context("an archive")?;
    let found = data_encoding::HEXLOWER.encode(&reader.hash.finalize());
    match digest {
        Some(wanted) if wanted != found => {
            Err(Fault::new(format!("a layer is not what its image says: sha256:{wanted} is sha256:{found}")))
        }
        _ => Ok(()),
    }
}

/// Of this process, in bytes (`proc_pid_statm(5)`).
fn address_space() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("it says nothing"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Told by how it begins, as all tools do: media types are often wrong.
fn decompressed(archive: io::Take<File>) -> io::Result<Box<dyn Read>> {
    let mut archive = io::BufReader::with_capacity(1 << 17, archive);
    let start = archive.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(archive))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(ruzstd::decoding::StreamingDecoder::new(archive).map_err(io::Error::other)?)
    } else {
        Box::new(archive)
    })
}

struct Hashing<R> {
    inner: R,
    hash: sha2::Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

fn entries(reader: &mut impl Read) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.set_overwrite(true);
    let (mut times, mut whiteouts) = (BTreeMap::new(), Whiteouts::default());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = plain(&entry.path()?);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let parent = path.parent().unwrap_or(Path::new(""));
        if let Some(gone) = name.strip_prefix(WHITEOUT) {
            whiteouts.make_room(&Path::new("/").join(parent), true)?;
            std::fs::create_dir_all(Path::new("/").join(parent))?;
            if name == OPAQUE {
                hide_below(&Path::new("/").join(parent))?;
            } else if !gone.is_empty() && !gone.starts_with(WHITEOUT) {
                whiteouts.add(Path::new("/").join(parent).join(gone))?;
            }
            continue;
        }
        // Devices belong to a machine; a container has those of its own.
        if matches!(entry.header().entry_type(), tar::EntryType::Char | tar::EntryType::Block) {
            continue;
        }
        if path.as_os_str().is_empty() {
            let mode = entry.header().mode()? & 0o7777;
            rustix::fs::chmod("/", Mode::from_raw_mode(mode))?;
            continue;
        }
        let attributes = attributes(&mut entry)?;
        let kind = entry.header().entry_type();
        whiteouts.make_room(&Path::new("/").join(&path), kind.is_dir())?;
        let is_made = if kind == tar::EntryType::Fifo {
            make_fifo(&Path::new("/").join(&path))?;
            true
        } else {
            entry.unpack_in("/")?
        };
        if is_made && kind != tar::EntryType::Link {
            let path = Path::new("/").join(&path);
            if kind.is_dir() || kind == tar::EntryType::Fifo {
                times.insert(path.clone(), entry.header().mtime()?);
            }
            own(&path, entry.header())?;
            for (name, value) in attributes {
                match lsetxattr(&path, name.as_str(), &value, XattrFlags::empty()) {
                    // Not every file system has every kind, nor may everybody set all of them; Docker does without too.
                    Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    // What is put into a directory changes its time.
    times.iter().try_for_each(|(path, time)| set_time(path, *time))
}

/// What a layer says is gone. What it has there itself stays, whichever of the two comes first.
#[derive(Default)]
struct Whiteouts(BTreeSet<PathBuf>);

impl Whiteouts {
    fn add(&mut self, path: PathBuf) -> io::Result<()> {
        match mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => drop(self.0.insert(path)),
            Err(Errno::EXIST) if std::fs::symlink_metadata(&path)?.is_dir() => hide_below(&path)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Makes room for an entry, and for the directories that it is in.
    fn make_room(&mut self, path: &Path, is_directory: bool) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let hidden = path.ancestors().find(|above| self.0.contains(*above)).map(Path::to_owned);
        let Some(hidden) = hidden else { return Ok(()) };
        std::fs::remove_file(&hidden)?;
        if is_directory || hidden != path {
            std::fs::create_dir(&hidden)?;
            hide_below(&hidden)?;
        }
        self.0.remove(&hidden);
        Ok(())
    }
}

fn hide_below(directory: &Path) -> io::Result<()> {
    Ok(setxattr(directory, super::merge::opaque(), b"y", XattrFlags::empty())?)
}

/// Which the library takes for a file.
fn make_fifo(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::empty(), 0)?)
}

fn set_time(path: &Path, seconds: u64) -> io::Result<()> {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    match utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW) {
        // Something else came into its place.
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Extended attributes, a file's capabilities among them (OCI image layer specification, "file attributes"): but for
/// those that tell overlayfs what a layer is.
fn attributes(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<(String, Vec<u8>)>> {
    const PREFIX: &str = "SCHILY.xattr.";
    let Some(extensions) = entry.pax_extensions()? else { return Ok(Vec::new()) };
    let mut attributes = Vec::new();
    for extension in extensions {
        let extension = extension?;
        let name = extension.key().ok().and_then(|key| key.strip_prefix(PREFIX));
        if let Some(name) = name.filter(|name| !super::merge::is_overlays(name)) {
            attributes.push((name.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(attributes)
}

/// Not left to the library, which refuses archives that say nothing of owners; then they are root's.
fn own(path: &Path, header: &tar::Header) -> io::Result<()> {
    let number =
        |number: io::Result<u64>| number.ok().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let (user, group) = (Uid::from_raw(number(header.uid())), Gid::from_raw(number(header.gid())));
    chownat(CWD, path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    // A change of owner takes away the right to run as them.
    if header.entry_type() != tar::EntryType::Symlink {
        rustix::fs::chmod(path, Mode::from_raw_mode(header.mode()? & 0o7777))?;
    }
    Ok(())
}

/// Without `.`, `..` and the root.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}
