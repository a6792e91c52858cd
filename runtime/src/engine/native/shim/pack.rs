//! Packing layers into archives (OCI image layer specification, "changesets"): the reverse of `unpack`.
//!
//! The shim writes them, as it alone sees who owns what: without root, the pipeline sees containers' users as subordinate
//! ids. The contents of a layer are not trusted: no link of it is followed, and nothing but regular files is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Stat, fgetxattr, fstat, major, minor, readlinkat, statat};
use tar::EntryType;

use super::attributes::attributes;
use super::directory::names;
use super::error::ShimError;
use super::inside;
use super::whiteouts::{OPAQUE, WHITEOUT, is_overlays, opaque};
use crate::engine::oci::Packed;
use crate::model::ContentDigest;

/// Writes a directory of the store as a compressed archive. The same directory gives the same archive.
pub(super) fn pack(layer: &Path, to: OwnedFd) -> Result<Packed, ShimError> {
    let write = || {
        let file = io::BufWriter::with_capacity(1 << 17, File::from(to));
        // The compressor's header has neither a time nor a name.
        let packed = flate2::write::GzEncoder::new(Hashing::new(file), flate2::Compression::default());
        let mut archive = Archive { out: tar::Builder::new(Hashing::new(packed)), files: BTreeMap::new() };
        archive.directory(inside::directory_at(CWD, layer)?)?;
        let Hashing { inner, hash: unpacked, .. } = archive.out.into_inner()?;
        let Hashing { inner: mut file, hash, length } = inner.finish()?;
        file.flush()?;
        let [unpacked, digest] = [unpacked, hash].map(ContentDigest::hashed);
        Ok(Packed { unpacked, digest, size: length })
    };
    write().map_err(|error: io::Error| ShimError::new(format!("pack {}: {error}", layer.display())))
}

struct Hashing<W> {
    inner: W,
    hash: crate::sha256::Sha256,
    length: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: crate::sha256::Sha256::new(), length: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Archive<W: Write> {
    out: tar::Builder<W>,
    /// The first name of each file with several hard links, by device and inode.
    files: BTreeMap<(u64, u64), Vec<u8>>,
}

/// A directory on the current path.
struct Level {
    names: std::vec::IntoIter<PathBuf>,
    /// The length of the directory's own path.
    length: usize,
}

impl Level {
    fn of(directory: &OwnedFd, length: usize) -> io::Result<Self> {
        let mut names = names(directory)?;
        names.sort();
        Ok(Self { names: names.into_iter(), length })
    }
}

/// An entry to be written.
struct Entry<'a> {
    path: &'a [u8],
    kind: EntryType,
    known: &'a Stat,
    link: &'a [u8],
    attributes: Vec<(String, Vec<u8>)>,
}

impl<W: Write> Archive<W> {
    /// Writes everything in a directory. Without recursion and with one descriptor, as a hostile tree may be deeper than
    /// a stack, and than the limit of open files.
    fn directory(&mut self, mut at: OwnedFd) -> io::Result<()> {
        let mut root = fstat(&at)?;
        // The time when the layer was made is not part of it.
        root.st_mtime = 0;
        self.add(Entry::new(b"./", EntryType::Directory, &root), io::empty())?;
        let mut path = Vec::new();
        let mut levels = vec![Level::of(&at, 0)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                if !levels.is_empty() {
                    at = inside::directory_at(&at, "..")?;
                }
                continue;
            };
            path.truncate(level.length);
            let known = statat(&at, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(known.st_mode) != FileType::Directory {
                self.leaf(&at, &name, &known, &path)?;
                continue;
            }
            check(&name)?;
            path.extend_from_slice(name.as_os_str().as_bytes());
            path.push(b'/');
            at = inside::directory_at(&at, &name)?;
            self.enter(&at, &known, &path)?;
            levels.push(Level::of(&at, path.len())?);
        }
        Ok(())
    }

    /// Writes a directory itself.
    fn enter(&mut self, at: &OwnedFd, known: &Stat, path: &[u8]) -> io::Result<()> {
        let entry = Entry { attributes: kept(at)?, ..Entry::new(path, EntryType::Directory, known) };
        self.add(entry, io::empty())?;
        let mut value = [0_u8; 8];
        let is_opaque =
            fgetxattr(at, opaque(), &mut value[..]).is_ok_and(|length| value.get(..length) == Some(b"y"));
        if is_opaque { self.mark(&[path, OPAQUE.as_bytes()].concat()) } else { Ok(()) }
    }

    /// Writes anything but a directory, by its name in its directory.
    fn leaf(&mut self, at: &OwnedFd, name: &Path, known: &Stat, above: &[u8]) -> io::Result<()> {
        let bytes = name.as_os_str().as_bytes();
        let kind = FileType::from_raw_mode(known.st_mode);
        if kind == FileType::CharacterDevice && known.st_rdev == 0 {
            return self.mark(&[above, WHITEOUT.as_bytes(), bytes].concat());
        }
        check(name)?;
        let path = [above, bytes].concat();
        let kind = match kind {
            FileType::RegularFile => return self.file(at, name, known, &path),
            FileType::Symlink => {
                let target = readlinkat(at, name, Vec::new())?;
                let entry = Entry { link: target.as_bytes(), ..Entry::new(&path, EntryType::Symlink, known) };
                return self.add(entry, io::empty());
            }
            FileType::CharacterDevice => EntryType::Char,
            FileType::BlockDevice => EntryType::Block,
            FileType::Fifo => EntryType::Fifo,
            // A socket is useless without the process that listens on it, and archives cannot represent it.
            _ => return Ok(()),
        };
        self.add(Entry::new(&path, kind, known), io::empty())
    }

    fn file(&mut self, at: &OwnedFd, name: &Path, known: &Stat, path: &[u8]) -> io::Result<()> {
        if known.st_nlink > 1 {
            let first =
                self.files.entry((known.st_dev, known.st_ino)).or_insert_with(|| path.to_vec()).clone();
            if first != path {
                let entry = Entry { link: &first, ..Entry::new(path, EntryType::Link, known) };
                return self.add(entry, io::empty());
            }
        }
        let file = inside::file_at(at, name)?;
        let entry = Entry { attributes: kept(&file)?, ..Entry::new(path, EntryType::Regular, known) };
        self.add(entry, file)
    }

    /// Writes an empty file that is a whiteout or an opaque marker.
    fn mark(&mut self, path: &[u8]) -> io::Result<()> {
        let header = header(EntryType::Regular, 0o600);
        self.append(path, &[], header, Vec::new(), io::empty())
    }

    fn add(&mut self, entry: Entry<'_>, contents: impl Read) -> io::Result<()> {
        let Entry { path, kind, known, link, attributes } = entry;
        let mut header = header(kind, known.st_mode & 0o7777);
        header.set_uid(known.st_uid.into());
        header.set_gid(known.st_gid.into());
        header.set_mtime(u64::try_from(known.st_mtime).unwrap_or(0));
        if kind == EntryType::Regular {
            header.set_size(u64::try_from(known.st_size).unwrap_or(0));
        }
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(major(known.st_rdev))?;
            header.set_device_minor(minor(known.st_rdev))?;
        }
        self.append(path, link, header, attributes, contents)
    }

    /// Writes an entry, with an extended header for what does not fit into the normal one (pax, POSIX.1-2001).
    fn append(
        &mut self,
        path: &[u8],
        link: &[u8],
        mut header: tar::Header,
        mut extensions: Vec<(String, Vec<u8>)>,
        contents: impl Read,
    ) -> io::Result<()> {
        let fields = header.as_old_mut();
        let texts = [("path", path, &mut fields.name), ("linkpath", link, &mut fields.linkname)];
        for (keyword, text, field) in texts {
            if text.len() > field.len() {
                extensions.push((keyword.to_owned(), text.to_vec()));
            }
            field.iter_mut().zip(text).for_each(|(byte, wanted)| *byte = *wanted);
        }
        header.set_cksum();
        if !extensions.is_empty() {
            let records = extensions.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.out.append_pax_extensions(records)?;
        }
        let size = header.size()?;
        let mut contents = Counting { inner: contents.take(size), length: 0 };
        self.out.append(&header, &mut contents)?;
        if contents.length == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// The header of an empty entry without owner, from 1970.
fn header(kind: EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_mtime(0);
    header
}

/// Counts the bytes that are read.
struct Counting<R> {
    inner: R,
    length: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.length += length as u64;
        Ok(length)
    }
}

impl<'a> Entry<'a> {
    fn new(path: &'a [u8], kind: EntryType, known: &'a Stat) -> Self {
        Self { path, kind, known, link: &[], attributes: Vec::new() }
    }
}

/// The attributes that are part of an image, in the form of extended headers: neither those of overlayfs, nor labels of
/// the machine's security module.
fn kept(of: impl AsFd) -> io::Result<Vec<(String, Vec<u8>)>> {
    let of_the_image =
        |name: &String| !is_overlays(name) && name != "security.selinux" && !name.contains('=');
    let found = attributes(of.as_fd())?.into_iter().filter(|(name, _)| of_the_image(name));
    Ok(found.map(|(name, value)| (format!("SCHILY.xattr.{name}"), value)).collect())
}

/// Refuses a name that would be a whiteout in an archive.
fn check(name: &Path) -> io::Result<()> {
    if name.as_os_str().as_bytes().starts_with(WHITEOUT.as_bytes()) {
        let name = name.display();
        return Err(io::Error::other(format!(
            "`{name}`: no image can have a name that starts with `{WHITEOUT}`"
        )));
    }
    Ok(())
}
