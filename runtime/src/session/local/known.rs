//! What is remembered of a source's files: what they were last found to be, so that only those that have changed are
//! read again (`trust.rs` says when that is certain).
//!
//! One file for each source, in `files` of the user's directory (`home.rs`), for every engine. It is replaced as a whole,
//! by renaming: the last of several processes wins. Whatever is damaged, of another version or not this user's counts as
//! not there, and nothing that goes wrong here is an error: files are then read, as they were the first time.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::records::{Records, bytes};
use super::trust::TICK;
use crate::graph::source_at;
use crate::lock::lock;
use crate::model::Digest;
use crate::sha256::Sha256;
use crate::staging::AtomicFile;
use crate::value::LocalSource;
use crate::{home, regular};

/// The end of such a file, which is of this version. What comes before it: a hash of the index, and where that begins.
const MAGIC: &[u8; 16] = b"bowline files 1\n";
const TRAILER: usize = 32 + 8 + 16;

/// What was not used for this long is removed, and the least recently used of more than this.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const AT_MOST: u64 = 1 << 30;
/// Where a source's file is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// What costs less to read is read again sooner than it is remembered; in bytes of a large file.
    pub(super) at_least: u64,
    /// The longest tick of a file system's clock.
    pub(super) tick: Duration,
}

/// What was found in a source earlier.
#[derive(Debug)]
pub(super) struct Known {
    file: Mutex<File>,
    index: HashMap<PathBuf, Block>,
}

/// Where a directory's records are in the file.
#[derive(Debug, Clone, Copy)]
struct Block {
    at: u64,
    length: u32,
    hash: [u8; 32],
    /// The digest of the entries.
    digest: [u8; 32],
}

impl Place {
    pub(super) fn of(source: &LocalSource) -> Option<Self> {
        Self::in_directory(&home::place().join("files"), source)
    }

    /// `None` for a path that is relative to a directory that is gone.
    pub(super) fn in_directory(directory: &Path, source: &LocalSource) -> Option<Self> {
        let path = std::path::absolute(&source.path).ok()?;
        let path = directory.join(source_at(&path, &source.kind).to_string());
        Some(Self { path, at_least: 4 << 20, tick: TICK })
    }

    /// What was found earlier, if that is known.
    pub(super) fn read(&self) -> Option<Known> {
        let mut file = regular::open(&self.path).ok()?;
        let metadata = file.metadata().ok()?;
        if !home::is_ours(&metadata) {
            return None;
        }
        let length = metadata.len();
        let trailer = length.checked_sub(TRAILER as u64)?;
        let mut end = [0; TRAILER];
        file.seek(SeekFrom::Start(trailer)).ok()?;
        file.read_exact(&mut end).ok()?;
        let (hash, end) = end.split_first_chunk::<32>()?;
        let (start, magic) = end.split_first_chunk::<8>()?;
        let start = u64::from_le_bytes(*start);
        if magic != MAGIC || start > trailer {
            return None;
        }
        let mut index = Vec::new();
        file.seek(SeekFrom::Start(start)).ok()?;
        (&file).take(trailer - start).read_to_end(&mut index).ok()?;
        if Sha256::digest(&index) != *hash {
            return None;
        }
        home::note_use(&self.path, &metadata);
        Some(Known { file: Mutex::new(file), index: parse(&index)? })
    }

    /// Remembers what was found, by directory: the records, their hash, and the digest of the entries.
    pub(super) fn write<'a>(
        &self,
        directories: impl Iterator<Item = (&'a Path, &'a Records, [u8; 32], Digest)>,
    ) -> io::Result<()> {
        let directory = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        home::make(directory)?;
        let staged = AtomicFile::create(&self.path)?;
        #[cfg(unix)]
        staged.file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let mut out = BufWriter::with_capacity(1 << 20, &staged.file);
        let (mut at, mut index) = (0u64, Vec::new());
        for (name, records, hash, digest) in directories {
            let (name, records) = (bytes(name.as_os_str()), records.as_bytes());
            let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
            index.extend_from_slice(&length(name)?.to_le_bytes());
            index.extend_from_slice(name);
            index.extend_from_slice(&at.to_le_bytes());
            index.extend_from_slice(&length(records)?.to_le_bytes());
            index.extend_from_slice(&hash);
            index.extend_from_slice(&digest.0);
            out.write_all(records)?;
            at += records.len() as u64;
        }
        out.write_all(&index)?;
        out.write_all(&Sha256::digest(&index))?;
        out.write_all(&at.to_le_bytes())?;
        out.write_all(MAGIC)?;
        out.flush()?;
        drop(out);
        staged.commit(&self.path)?;
        home::thin_out(directory, UNUSED, AT_MOST);
        Ok(())
    }
}

impl Known {
    /// The number of directories.
    pub(super) fn directories(&self) -> usize {
        self.index.len()
    }

    /// What was found in a directory of the source, and the digest of its entries.
    pub(super) fn records(&self, name: &Path) -> Option<(Records, Digest)> {
        let Block { at, length, hash, digest } = *self.index.get(name)?;
        let mut records = vec![0; length as usize];
        {
            let mut file = lock(&self.file);
            file.seek(SeekFrom::Start(at)).ok()?;
            file.read_exact(&mut records).ok()?;
        }
        (Sha256::digest(&records) == hash).then(|| (Records::from_bytes(records), Digest(digest)))
    }
}

/// `None` for what no version has written.
fn parse(mut index: &[u8]) -> Option<HashMap<PathBuf, Block>> {
    let mut blocks = HashMap::new();
    while !index.is_empty() {
        let length = u32::from_le_bytes(take(&mut index)?);
        let (name, rest) = index.split_at_checked(length as usize)?;
        index = rest;
        let (at, length) = (u64::from_le_bytes(take(&mut index)?), u32::from_le_bytes(take(&mut index)?));
        let block = Block { at, length, hash: take(&mut index)?, digest: take(&mut index)? };
        blocks.insert(super::records::name(name).into(), block);
    }
    Some(blocks)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}
