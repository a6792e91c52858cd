//! Unpacking layers of images (OCI image layer specification, "applying changesets").
//!
//! A layer is not trusted. It is unpacked by a process that sees nothing of the machine's file system but the directory
//! that it unpacks into, so that every name and link in it refers to that directory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead as _, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fsetxattr,
    lsetxattr, mkdirat, mknodat, openat, setxattr, statat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::error::{Context as _, ShimError};
use super::whiteouts::{OPAQUE, WHITEOUT, is_overlays, opaque};
use crate::error::with_causes;

/// The memory limit beyond what the program has: enough for every valid archive, and too little for an invalid one to do
/// harm.
const MEMORY: u64 = 256 << 20;

/// The limit of entries: eight times what large images have in a layer.
const ENTRIES_AT_MOST: usize = 4_000_000;
/// In bytes: the limits of file systems for a name, and of the kernel for a path (`NAME_MAX`, `PATH_MAX`).
const NAME_AT_MOST: usize = 255;
const PATH_AT_MOST: usize = 4095;

/// Unpacks `size` bytes of an archive, compressed or not. Whatever the archive contains, nothing of the machine is
/// revealed.
pub(super) fn unpack(
    into: &Path,
    archive: OwnedFd,
    size: u64,
    digest: Option<&str>,
) -> Result<(), ShimError> {
    let limit = Some(address_space().context("/proc/self/statm")? + MEMORY);
    rustix::process::chdir(into).context(into.display())?;
    rustix::process::chroot(".").context("a root of its own")?;
    let limit = rustix::process::Rlimit { current: limit, maximum: limit };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).context("a limit of its memory")?;
    let found = apply(File::from(archive).take(size))
        .map_err(|error| ShimError::new(format!("an archive: {}", with_causes(&error))))?;
    match digest {
        Some(wanted) if wanted != found => Err(ShimError::new(format!(
            "a layer is not what its image says: sha256:{wanted} is sha256:{found}"
        ))),
        _ => Ok(()),
    }
}

/// Unpacks an archive, compressed or not, into the root of the calling thread; returns the digest of the uncompressed
/// archive.
pub(in crate::engine::native) fn apply(archive: impl Read) -> io::Result<String> {
    let mut reader = Hashing { inner: decompressed(archive)?, hash: crate::sha256::Sha256::new() };
    entries(&mut reader)?;
    // The digest covers the whole archive, padding included.
    io::copy(&mut reader, &mut io::sink())?;
    Ok(data_encoding::HEXLOWER.encode(&reader.hash.finalize()))
}

/// The address space of this process, in bytes (`proc_pid_statm(5)`).
fn address_space() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("it says nothing"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Decompresses by the magic number, as all tools do: media types are often wrong.
fn decompressed<'a>(archive: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
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
    hash: crate::sha256::Sha256,
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
    // Sorted by bytes: comparing paths component by component is slow for deep ones.
    let mut times = BTreeMap::new();
    for (number, entry) in archive.entries()?.enumerate() {
        if number >= ENTRIES_AT_MOST {
            return Err(io::Error::other(format!("it has more than {ENTRIES_AT_MOST} entries")));
        }
        let mut entry = entry?;
        let path = place(&entry.path_bytes())?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let parent = path.parent().unwrap_or(Path::new("/"));
        if let Some(gone) = name.strip_prefix(WHITEOUT) {
            make_directories(parent)?;
            if name == OPAQUE {
                hide_below(parent)?;
            } else if !gone.is_empty() && gone != "." && gone != ".." && !gone.starts_with(WHITEOUT) {
                white_out(&parent.join(gone))?;
            }
            continue;
        }
        // Devices belong to a machine; a container has its own.
        if matches!(entry.header().entry_type(), tar::EntryType::Char | tar::EntryType::Block) {
            continue;
        }
        if path == Path::new("/") {
            let mode = entry.header().mode()? & 0o7777;
            rustix::fs::chmod("/", Mode::from_raw_mode(mode))?;
            continue;
        }
        let attributes = attributes(&mut entry)?;
        let kind = entry.header().entry_type();
        make_directories(parent)?;
        make_room(&path, kind)?;
        if kind == tar::EntryType::Fifo {
            make_fifo(&path)?;
        } else {
            entry.unpack(&path)?;
        }
        if kind != tar::EntryType::Link {
            if kind.is_dir() || kind == tar::EntryType::Fifo {
                times.insert(path.as_os_str().as_bytes().to_owned(), entry.header().mtime()?);
            }
            own(&path, entry.header())?;
            for (name, value) in attributes {
                match lsetxattr(&path, name.as_str(), &value, XattrFlags::empty()) {
                    // Not every file system supports every kind, and not everybody may set all of them; Docker also goes
                    // on without them.
                    Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    // Set last, as adding an entry to a directory changes its time.
    times.iter().try_for_each(|(path, time)| set_time(Path::new(OsStr::from_bytes(path)), *time))
}

/// The path of an entry by its name: below the root, whatever the name says, and no longer than a path may be.
pub(super) fn place(name: &[u8]) -> io::Result<PathBuf> {
    let mut place = Vec::with_capacity(name.len() + 1);
    let refused = |why: &str| {
        // The name may have any length.
        let start = name.get(..80).unwrap_or(name).escape_ascii();
        Err(io::Error::other(format!("the name `{start}` of {} bytes {why}", name.len())))
    };
    for part in name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if part == b".." {
            return refused("leads upwards");
        }
        if part.len() > NAME_AT_MOST {
            return refused("is longer than file systems take (255 bytes a part)");
        }
        if part.contains(&0) {
            return refused("has a zero in it");
        }
        place.push(b'/');
        place.extend_from_slice(part);
    }
    if place.len() > PATH_AT_MOST {
        return refused("is longer than file systems take (4095 bytes)");
    }
    Ok(if place.is_empty() { "/".into() } else { OsString::from_vec(place).into() })
}

/// Creates the missing parents of an entry, and those that the layer marks as deleted.
fn make_directories(directory: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // The kernel resolves a long path quickly, and usually all of it exists.
    match openat(CWD, directory, flags, Mode::empty()) {
        Ok(_) => return Ok(()),
        Err(Errno::NOENT | Errno::NOTDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut at = openat(CWD, "/", flags, Mode::empty())?;
    for part in directory.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        at = match openat(&at, part, flags, Mode::empty()) {
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                let was_gone = error == Errno::NOTDIR && is_whiteout(&at, part)?;
                if was_gone {
                    unlinkat(&at, part, AtFlags::empty())?;
                }
                mkdirat(&at, part, Mode::from_raw_mode(0o755))?;
                let made = openat(&at, part, flags, Mode::empty())?;
                if was_gone {
                    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let open = openat(&made, ".", open, Mode::empty())?;
                    fsetxattr(open, opaque(), b"y", XattrFlags::empty())?;
                }
                made
            }
            found => found?,
        };
    }
    Ok(())
}

/// Whether this is a whiteout; there are no other devices in an unpacked layer.
fn is_whiteout(at: impl AsFd, path: impl rustix::path::Arg) -> io::Result<bool> {
    match statat(at, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(known) => {
            Ok(FileType::from_raw_mode(known.st_mode) == FileType::CharacterDevice && known.st_rdev == 0)
        }
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Marks what a layer deletes. What the layer itself has there stays, whichever of the two comes first.
fn white_out(path: &Path) -> io::Result<()> {
    match mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0) {
        Err(Errno::EXIST) if std::fs::symlink_metadata(path)?.is_dir() => hide_below(path),
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the whiteout where an entry goes. A directory in its place hides what it replaces.
fn make_room(path: &Path, kind: tar::EntryType) -> io::Result<()> {
    if !is_whiteout(CWD, path)? {
        return Ok(());
    }
    std::fs::remove_file(path)?;
    if kind.is_dir() {
        std::fs::create_dir(path)?;
        hide_below(path)?;
    }
    Ok(())
}

fn hide_below(directory: &Path) -> io::Result<()> {
    Ok(setxattr(directory, opaque(), b"y", XattrFlags::empty())?)
}

/// Makes a pipe, which the library would unpack as a file.
fn make_fifo(path: &Path) -> io::Result<()> {
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
        // It was replaced by something else.
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Extended attributes, including file capabilities (OCI image layer specification, "file attributes"), except those that
/// configure overlayfs.
fn attributes(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<(String, Vec<u8>)>> {
    const PREFIX: &str = "SCHILY.xattr.";
    let Some(extensions) = entry.pax_extensions()? else { return Ok(Vec::new()) };
    let mut attributes = Vec::new();
    for extension in extensions {
        let extension = extension?;
        let name = extension.key().ok().and_then(|key| key.strip_prefix(PREFIX));
        if let Some(name) = name.filter(|name| !is_overlays(name)) {
            attributes.push((name.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(attributes)
}

/// Sets the owner. The library refuses archives without owners; here they mean root.
fn own(path: &Path, header: &tar::Header) -> io::Result<()> {
    let number =
        |number: io::Result<u64>| number.ok().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let (user, group) = (Uid::from_raw(number(header.uid())), Gid::from_raw(number(header.gid())));
    chownat(CWD, path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    // Changing the owner clears the setuid and setgid bits, so the mode is set again.
    if header.entry_type() != tar::EntryType::Symlink {
        rustix::fs::chmod(path, Mode::from_raw_mode(header.mode()? & 0o7777))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_place_below_the_root_or_none() {
        for (name, path) in [("a/b", "/a/b"), ("./a//b/", "/a/b"), ("/a", "/a"), ("./", "/"), ("", "/")] {
            assert_eq!(place(name.as_bytes()).unwrap(), Path::new(path));
        }
        let deepest = "d/".repeat(2047);
        assert_eq!(place(deepest.as_bytes()).unwrap().as_os_str().len(), 4094);
        let longest = "x".repeat(255);
        assert!(place(longest.as_bytes()).is_ok());
        for (name, says) in [
            (format!("{deepest}x/y"), "4095 bytes"),
            (format!("a/{longest}x"), "255 bytes"),
            ("a/../b".to_owned(), "upwards"),
            ("..".to_owned(), "upwards"),
            ("a\0b".to_owned(), "zero"),
        ] {
            let error = place(name.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says) && error.len() < 300, "{error}");
        }
    }
}
