//! Layers of images, unpacked (OCI image layer specification, "applying changesets").
//!
//! A layer is not trusted. It is unpacked by a process that sees nothing of the machine's file system but the directory
//! that it unpacks into, so that whatever a name or a link says, it says it of that directory.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, XattrFlags, chownat, mknodat, setxattr};
use sha2::Digest as _;

use super::fault::{Context as _, Fault};

/// Starts the name of what is gone.
const WHITEOUT: &str = ".wh.";
/// In a directory of which nothing below is seen.
const OPAQUE: &str = ".wh..wh..opq";

/// Unpacks `size` bytes of an archive. Gives nothing away of the machine, whatever is in it.
pub(super) fn unpack(into: &Path, archive: OwnedFd, size: u64, digest: Option<&str>) -> Result<(), Fault> {
    rustix::process::chdir(into).context(into.display())?;
    rustix::process::chroot(".").context("a root of its own")?;
    let mut reader = Hashing { inner: File::from(archive).take(size), hash: sha2::Sha256::new() };
    entries(&mut reader).map_err(|error| Fault::new(format!("an archive: {}", with_sources(&error))))?;
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

/// The library says what it did, and keeps to itself what the system said.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
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
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = plain(&entry.path()?);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let parent = path.parent().unwrap_or(Path::new(""));
        if let Some(gone) = name.strip_prefix(WHITEOUT) {
            std::fs::create_dir_all(Path::new("/").join(parent))?;
            if name == OPAQUE {
                let directory = Path::new("/").join(parent);
                setxattr(&directory, super::merge::OPAQUE, b"y", XattrFlags::empty())?;
            } else if !gone.is_empty() && !gone.starts_with(WHITEOUT) {
                let gone = Path::new("/").join(parent).join(gone);
                mknodat(CWD, &gone, FileType::CharacterDevice, Mode::empty(), 0)?;
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
        if entry.unpack_in("/")? && entry.header().entry_type() != tar::EntryType::Link {
            own(&Path::new("/").join(&path), entry.header())?;
        }
    }
    Ok(())
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
