//! The entries of one directory as bytes, which are the same in memory and in the file that remembers them: hundreds of
//! thousands of files take some 90 bytes each.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::ops::Range;

/// The entries of a directory, sorted by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records(Vec<u8>);

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// With the time of its last modification, in seconds since 1970.
    Directory(i64),
    Symlink(Symlink<'a>),
    File(File),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symlink<'a> {
    pub(super) modified: i64,
    pub(super) target: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct File {
    pub(super) stamp: Stamp,
    /// Whether a file with the same stamp has the same contents.
    pub(super) is_settled: bool,
    /// The SHA-256 of the contents.
    pub(super) hash: [u8; 32],
}

/// What a file system says of a file, and what changes with every change of the file: bytes, as hundreds of thousands of
/// stamps are compared with others as a whole, also by builds that are not optimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([u8; STAMP]);

/// Where the parts of a stamp are: the size in bytes, the mode, the inode, the time of the last modification, and the time
/// when anything of the file was last changed, its name aside, which programs cannot set.
const SIZE: Range<usize> = 0..8;
const MODE: Range<usize> = 8..12;
const INODE: Range<usize> = 12..20;
const MODIFIED: usize = 20;
const CHANGED: usize = 32;
const STAMP: usize = 44;

/// Seconds since 1970, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) i64, pub(super) u32);

impl Stamp {
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let nanos = |nanos: i64| u32::try_from(nanos).unwrap_or_default();
        Self::new(
            metadata.len(),
            metadata.mode(),
            metadata.ino(),
            Time(metadata.mtime(), nanos(metadata.mtime_nsec())),
            Time(metadata.ctime(), nanos(metadata.ctime_nsec())),
        )
    }

    /// Systems without an executable bit: every file counts as executable, as in Docker's own command line. Nothing here
    /// tells what has changed.
    #[cfg(not(unix))]
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = Time(modified(metadata), 0);
        Self::new(metadata.len(), EXECUTABLE, 0, modified, modified)
    }

    fn new(size: u64, mode: u32, inode: u64, modified: Time, changed: Time) -> Self {
        let mut stamp = [0; STAMP];
        stamp[SIZE].copy_from_slice(&size.to_le_bytes());
        stamp[MODE].copy_from_slice(&mode.to_le_bytes());
        stamp[INODE].copy_from_slice(&inode.to_le_bytes());
        for (at, Time(seconds, nanos)) in [(MODIFIED, modified), (CHANGED, changed)] {
            stamp[at..at + 8].copy_from_slice(&seconds.to_le_bytes());
            stamp[at + 8..at + 12].copy_from_slice(&nanos.to_le_bytes());
        }
        Self(stamp)
    }

    pub(super) fn size(&self) -> u64 {
        u64::from_le_bytes(self.part(SIZE.start))
    }

    pub(super) fn is_executable(&self) -> bool {
        u32::from_le_bytes(self.part(MODE.start)) & EXECUTABLE != 0
    }

    pub(super) fn modified(&self) -> Time {
        self.time(MODIFIED)
    }

    pub(super) fn changed(&self) -> Time {
        self.time(CHANGED)
    }

    fn time(&self, at: usize) -> Time {
        Time(i64::from_le_bytes(self.part(at)), u32::from_le_bytes(self.part(at + 8)))
    }

    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
}

/// The bit of a mode.
const EXECUTABLE: u32 = 0o100;

/// The time of the last modification, in seconds since 1970.
pub(super) fn modified(metadata: &Metadata) -> i64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The bytes of a name.
pub(super) fn bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// The name of these bytes.
#[cfg(unix)]
pub(super) fn name(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
pub(super) fn name(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

const DIRECTORY: u8 = b'd';
const SYMLINK: u8 = b'l';
const FILE: u8 = b'f';
const SETTLED_FILE: u8 = b's';

/// How many bytes of a file's record come after the name: the stamp, and the hash of the contents.
const FILE_LENGTH: usize = STAMP + 32;

impl Records {
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn directory(&mut self, name: &OsStr, modified: i64) {
        self.begin(DIRECTORY, name);
        self.0.extend_from_slice(&modified.to_le_bytes());
    }

    pub(super) fn symlink(&mut self, name: &OsStr, modified: i64, target: &OsStr) {
        self.begin(SYMLINK, name);
        self.0.extend_from_slice(&modified.to_le_bytes());
        self.long(bytes(target));
    }

    /// Adds a file; returns where its record is.
    pub(super) fn file(&mut self, name: &OsStr, file: &File) -> usize {
        let at = self.0.len();
        self.begin(if file.is_settled { SETTLED_FILE } else { FILE }, name);
        self.0.extend_from_slice(&file.stamp.0);
        self.0.extend_from_slice(&file.hash);
        at
    }

    fn begin(&mut self, kind: u8, name: &OsStr) {
        self.0.push(kind);
        self.long(bytes(name));
    }

    fn long(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// Sets what was found in the file whose record is here; returns the size that it had before.
    pub(super) fn found(&mut self, at: usize, size: u64, hash: &[u8; 32]) -> u64 {
        let Some(Record { name, kind: Kind::File(file) }) = self.iter_from(at).next() else { return size };
        let start = at + 1 + 4 + name.len();
        let before = file.stamp.size();
        if before != size {
            // It has changed since it was found.
            self.0[at] = FILE;
            self.0[start..][SIZE].copy_from_slice(&size.to_le_bytes());
        }
        self.0[start + STAMP..start + FILE_LENGTH].copy_from_slice(hash);
        before
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }

    /// The record that is here, and those after it.
    pub(super) fn iter_from(&self, at: usize) -> Iter<'_> {
        Iter(self.0.get(at..).unwrap_or_default())
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<Record<'_>> {
        self.iter().find(|record| record.name == name)
    }

    pub(super) fn reserve(&mut self, entries: usize) {
        self.0.reserve(entries * (1 + 4 + 16 + FILE_LENGTH));
    }

    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// The rest of a directory's entries. Bytes that are no entry end them.
#[derive(Debug, Clone)]
pub(super) struct Iter<'a>(&'a [u8]);

impl<'a> Iter<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(length as usize)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let [kind] = self.array()?;
        let name = self.long()?;
        let kind = match kind {
            DIRECTORY => Kind::Directory(i64::from_le_bytes(self.array()?)),
            SYMLINK => {
                let modified = i64::from_le_bytes(self.array()?);
                Kind::Symlink(Symlink { modified, target: self.long()? })
            }
            FILE | SETTLED_FILE => {
                let stamp = Stamp(self.array()?);
                Kind::File(File { stamp, is_settled: kind == SETTLED_FILE, hash: self.array()? })
            }
            _ => return None,
        };
        Some(Record { name, kind })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_are_what_they_were() {
        let stamp = Stamp::new(7, 0o100_755, 9, Time(-1, 2), Time(3, 4));
        assert_eq!((stamp.size(), stamp.modified(), stamp.changed()), (7, Time(-1, 2), Time(3, 4)));
        assert!(
            stamp.is_executable() && !Stamp::new(7, 0o100_644, 9, Time(-1, 2), Time(3, 4)).is_executable()
        );
        let file = |is_settled| File { stamp, is_settled, hash: [5; 32] };
        let mut records = Records::default();
        records.directory(OsStr::new("a"), -3);
        records.symlink(OsStr::new("b"), 4, OsStr::new("to"));
        let at = records.file(OsStr::new("c"), &file(true));
        records.file(OsStr::new(""), &file(false));
        let kinds = [
            Kind::Directory(-3),
            Kind::Symlink(Symlink { modified: 4, target: b"to" }),
            Kind::File(file(true)),
            Kind::File(file(false)),
        ];
        let names = [&b"a"[..], b"b", b"c", b""];
        let wanted: Vec<_> = names.into_iter().zip(kinds).map(|(name, kind)| Record { name, kind }).collect();
        assert_eq!(records.iter().collect::<Vec<_>>(), wanted);
        assert_eq!(records.find(b"b"), Some(wanted[1]));
        records.found(at, 7, &[6; 32]);
        assert_eq!(records.find(b"c").unwrap().kind, Kind::File(File { hash: [6; 32], ..file(true) }));
        records.found(at, 8, &[6; 32]);
        let changed = File {
            stamp: Stamp::new(8, 0o100_755, 9, Time(-1, 2), Time(3, 4)),
            is_settled: false,
            hash: [6; 32],
        };
        assert_eq!(records.find(b"c").unwrap().kind, Kind::File(changed), "it grew while it was read");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let _ = Records::from_bytes(bytes).iter().count();
        }
    }
}
