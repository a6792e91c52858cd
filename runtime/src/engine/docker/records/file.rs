//! The record of a result, as a file: a digest of all that follows, then what `engine/record.rs` says. What is not whole, not
//! as it was written, or another step's, counts as not there.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::engine::{Recording, record};
use crate::model::{Digest, MadeOf, Provenance, RunId};
use crate::sha256::Sha256;
use crate::staging::AtomicFile;
use crate::{home, regular};

/// The version of the format.
const VERSION: u32 = 2;
/// The length of the digest in hex, with the end of its line.
const SUM: usize = 65;
/// The size of a read.
const PIECE: usize = 256 << 10;

/// A result without its files.
#[derive(Debug, Clone)]
pub(in super::super) struct Record {
    pub(in super::super) facts: Facts,
    pub(in super::super) output: Recording,
}

/// What is recorded besides the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Facts {
    version: u32,
    pub(in super::super) key: Digest,
    #[serde(flatten)]
    pub(in super::super) from: Provenance,
    /// How long its process took, and how long keeping its files would have taken.
    pub(in super::super) took: Duration,
    pub(in super::super) keeping: Duration,
}

impl Facts {
    pub(in super::super) fn new(key: Digest, from: Provenance, took: Duration, keeping: Duration) -> Self {
        Self { version: VERSION, key, from, took, keeping }
    }

    /// Of a service's file system, which is not recorded.
    pub(in super::super) fn of_service(key: Digest, made_of: Vec<MadeOf>) -> Self {
        Self::new(key, Provenance::now(RunId::random(), made_of), Duration::ZERO, Duration::ZERO)
    }
}

impl Record {
    /// Reads the record of a key.
    pub(super) fn read(path: &Path, key: &Digest) -> Option<Self> {
        let mut file = regular::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        if !home::is_ours(&metadata) {
            return None;
        }
        let mut sum = [0; SUM];
        file.read_exact(&mut sum).ok()?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE.min(usize::try_from(metadata.len()).unwrap_or(PIECE).max(1))];
        loop {
            match file.read(&mut piece).ok()? {
                0 => break,
                read => hash.update(piece.get(..read)?),
            }
        }
        if sum != sum_of(hash) {
            return None;
        }
        // Noted each time: what was used since a session began is not removed while it lives.
        let _ = file.set_modified(SystemTime::now());
        let (facts, output) = record::read::<Facts>(file, SUM as u64)?;
        (facts.version == VERSION && facts.key == *key).then_some(Self { facts, output })
    }

    /// Reads what is recorded of a key besides the output, which is not looked at.
    pub(super) fn glance(path: &Path, key: &Digest) -> Option<Facts> {
        let file = regular::open(path).ok()?;
        let is_ours = home::is_ours(&file.metadata().ok()?);
        let facts = record::head::<Facts>(&file, SUM as u64)?;
        (is_ours && facts.version == VERSION && facts.key == *key).then_some(facts)
    }

    /// Writes it, as a whole or not at all.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        // An empty directory in its place is nobody's record, and no file can replace it.
        let _ = fs::remove_dir(path);
        let mut staged = AtomicFile::create(path)?;
        #[cfg(unix)]
        staged.file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        staged.file.write_all(&[b'0'; SUM])?;
        let mut hashing = Hashing { to: &mut staged.file, hash: Sha256::new() };
        hashing.write_all(&record::line(&self.facts, &self.output)?)?;
        record::write_streams(&mut hashing, &self.output)?;
        let sum = sum_of(hashing.hash);
        staged.file.rewind()?;
        staged.file.write_all(&sum)?;
        staged.commit(path)
    }
}

fn sum_of(hash: Sha256) -> [u8; SUM] {
    let mut sum = [b'\n'; SUM];
    HEXLOWER.encode_mut(&hash.finalize(), &mut sum[..SUM - 1]);
    sum
}

/// Hashes what is written.
struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
