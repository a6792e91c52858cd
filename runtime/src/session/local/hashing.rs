//! Reading and hashing what is not known: contents on all processors, then the directories from the bottom up.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::records::{Kind, Records, name};
use super::walk::{Found, threads};
use crate::graph::Encoder;
use crate::model::Digest;
use crate::regular;
use crate::sha256::Sha256;
use crate::{Error, Result};

/// How many files are hashed before their hashes are put where they belong.
const AT_ONCE: usize = 1 << 16;

/// Large pieces: each is one system call.
const PIECE: usize = 256 << 10;

/// Hashes everything that is read through it.
pub(super) struct Watched<R> {
    pub(super) inner: R,
    pub(super) hash: Sha256,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.hash.update(&into[..count]);
        Ok(count)
    }
}

/// Does something with each number below a count, on all processors. `state` is made for each thread.
fn in_parallel<S, T: Send>(
    count: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<T> + Sync,
) -> Result<Vec<(usize, T)>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, T)>> {
        let (mut done, mut state) = (Vec::new(), state());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(done);
            }
            done.push((number, work(&mut state, number)?));
        }
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads().min(count)).map(|_| scope.spawn(work)).collect();
        let mut all = work()?;
        for helper in helpers {
            let more =
                helper.join().unwrap_or_else(|_| Err(Error::engine("hash files", "a thread has panicked")));
            all.extend(more?);
        }
        Ok(all)
    })
}

/// Reads the files that have to be read; `read` is called with the number of bytes read.
pub(super) fn read_unread(root: &Path, found: &mut [Found], read: impl Fn(u64) + Sync) -> Result<()> {
    let unread: Vec<(usize, usize)> = found
        .iter_mut()
        .enumerate()
        .flat_map(|(number, found)| std::mem::take(&mut found.unread).into_iter().map(move |at| (number, at)))
        .collect();
    for some in unread.chunks(AT_ONCE) {
        let path = |number: usize| -> Option<PathBuf> {
            let (directory, at) = some.get(number)?;
            let directory = found.get(*directory)?;
            let record = directory.records.iter_from(*at).next()?;
            Some(root.join(&directory.name).join(name(record.name)))
        };
        let hashed = in_parallel(
            some.len(),
            || vec![0; PIECE],
            |piece, number| {
                let path = path(number).ok_or_else(|| Error::internal("a file is not where it was found"))?;
                hash(&path, piece, &read).map_err(|error| Error::io(path, error))
            },
        )?;
        for (number, (size, hash)) in hashed {
            if let Some((directory, at)) = some.get(number)
                && let Some(directory) = found.get_mut(*directory)
            {
                let before = directory.records.found(*at, size, &hash);
                directory.extent.1 = directory.extent.1 - before + size;
            }
        }
    }
    Ok(())
}

fn hash(path: &Path, piece: &mut [u8], read: &impl Fn(u64)) -> io::Result<(u64, [u8; 32])> {
    let mut contents: File = regular::open(path)?;
    let (mut size, mut hash) = (0, Sha256::new());
    loop {
        match contents.read(piece) {
            Ok(0) => return Ok((size, hash.finalize())),
            Ok(count) => {
                hash.update(&piece[..count]);
                size += count as u64;
                read(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The hash of each directory's records as they are, for the file that remembers them.
pub(super) fn of_records(found: &[Found]) -> Result<Vec<[u8; 32]>> {
    let hash = |(): &mut (), number: usize| {
        Ok(found.get(number).map(|found| Sha256::digest(found.records.as_bytes())).unwrap_or_default())
    };
    Ok(in_order(in_parallel(found.len(), || (), hash)?))
}

fn in_order<T>(mut all: Vec<(usize, T)>) -> Vec<T> {
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, value)| value).collect()
}

/// The digest of what is in each directory besides directories: names, kinds, contents, which files are executable, link
/// targets. No times and no owners, as they differ between checkouts.
pub(super) fn entries(found: &[Found]) -> Result<Vec<Digest>> {
    let own = |(): &mut (), number: usize| {
        let digest = |found: &Found| found.known.unwrap_or_else(|| of_entries(&found.records));
        Ok(found.get(number).map_or(Digest([0; 32]), digest))
    };
    Ok(in_order(in_parallel(found.len(), || (), own)?))
}

/// The digest of each directory with all that is in it, made of those of its entries. `is_kept` says which count.
pub(super) fn digests(found: &[Found], is_kept: &[bool], mut digests: Vec<Digest>) -> Vec<Digest> {
    // Directories come after those that they are in.
    for (number, directory) in found.iter().enumerate().rev() {
        let below =
            directory.below().filter(|(_, child)| is_kept.get(*child).is_some_and(|is_kept| *is_kept));
        let below: Vec<_> = below.collect();
        let mut encoder = Encoder::new("host directory");
        let Some(own) = digests.get(number) else { continue };
        encoder.digest(*own).list(below.len());
        for (name, child) in below {
            encoder.bytes(name);
            if let Some(digest) = digests.get(child) {
                encoder.digest(*digest);
            }
        }
        if let Some(place) = digests.get_mut(number) {
            *place = encoder.finish();
        }
    }
    digests
}

/// The digest of a directory's entries that are no directories.
fn of_entries(records: &Records) -> Digest {
    let entries = || records.iter().filter(|record| !matches!(record.kind, Kind::Directory(_)));
    let mut encoder = Encoder::new("host entries");
    encoder.list(entries().count());
    for record in entries() {
        encoder.bytes(record.name);
        entry(&mut encoder, record.kind);
    }
    encoder.finish()
}

/// The digest of a file alone.
pub(super) fn of_file(kind: Kind<'_>) -> Digest {
    let mut encoder = Encoder::new("host file");
    entry(&mut encoder, kind);
    encoder.finish()
}

fn entry(encoder: &mut Encoder, kind: Kind<'_>) {
    match kind {
        Kind::Directory(_) => {}
        Kind::Symlink(link) => drop(encoder.text("symlink").bytes(link.target)),
        Kind::File(file) => {
            encoder.text(if file.stamp.is_executable() { "executable" } else { "file" }).bytes(&file.hash);
        }
    }
}
