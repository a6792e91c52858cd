//! Files and directories of the pipeline's machine: found, hashed by content, and sent to an engine that lacks them.
//!
//! All of it blocks, so it runs on threads of its own. Files are hashed again while they are sent: a file that changed in
//! between is an error, and never a wrong result under a right key.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::hashing::Watched;
use self::known::Place;
use self::records::{Kind, Record, Symlink, name};
use self::selection::{Selection, check_name};
use self::trust::TICK;
use self::walk::Found;
use super::transfer::Meter;
use crate::Result;
use crate::event::{EventKind, Span, Subject, Verb};
use crate::graph::{Contents, Encoder, PlannedFiles};
use crate::model::Digest;
use crate::regular;
use crate::sha256::Sha256;
use crate::value::{LocalKind, LocalSource};

mod hashing;
mod known;
mod records;
mod selection;
mod send;
#[cfg(test)]
mod tests;
mod trust;
mod walk;

pub(super) use self::send::Reading;

/// The subject of a source's events.
pub(super) fn subject(source: &LocalSource) -> Subject {
    Subject::Source { name: source.to_string().into() }
}

/// The part of a directory that is taken, as it was when it was read.
#[derive(Debug)]
pub(super) struct Tree {
    source: LocalSource,
    /// What the names are relative to.
    root: PathBuf,
    /// The root, and each directory after the one that it is in.
    directories: Vec<Found>,
    /// Which of the directories are taken, or have something in them that is.
    is_kept: Vec<bool>,
    /// The digest of each directory.
    digests: Vec<Digest>,
    /// The number of files, and their total size in bytes.
    extent: (u64, u64),
    pub(super) digest: Digest,
    /// How many files were read.
    #[cfg(test)]
    read: u64,
}

/// What it costs to read a small file, as so many bytes of a large one.
const OPENING: u64 = 16 << 10;

impl Tree {
    /// Finds and hashes the files.
    fn read(source: &LocalSource) -> Result<Self> {
        Self::read_in(source, None, Place::of(source).as_ref())
    }

    /// The same, reporting progress to a span, and reading only what is not known.
    fn read_in(source: &LocalSource, span: Option<Arc<Span>>, place: Option<&Place>) -> Result<Self> {
        let known = place.and_then(Place::read);
        let tick = place.map_or(TICK, |place| place.tick);
        let (root, mut found) = match &source.kind {
            LocalKind::File => {
                let root = source.path.parent().map(Path::to_owned).unwrap_or_default();
                (root, vec![walk::single(&source.path, known.as_ref(), tick)?])
            }
            LocalKind::Directory { include, exclude, ignore_files } => {
                let selection = Selection::new(&source.path, include, exclude, *ignore_files)?;
                let lasts = || {
                    if let Some(span) = &span {
                        span.emit(|| EventKind::begins(Verb::Hashing));
                    }
                };
                (source.path.clone(), walk::walk(&source.path, &selection, known.as_ref(), tick, &lasts)?)
            }
        };
        let is_kept = kept(&root, &found)?;
        let is_same = known.is_some_and(|known| known.directories() == found.len())
            && found.iter().all(|found| found.known.is_some());
        let (files, bytes) = unread(&found);
        let meter = span.filter(|_| files > 0).map(|span| Meter::new(span, Verb::Hashing, bytes, files));
        hashing::read_unread(&root, &mut found, |bytes| {
            if let Some(meter) = &meter {
                meter.add(bytes);
            }
        })?;
        let entries = hashing::entries(&found)?;
        let size: usize = found.iter().map(|found| found.records.as_bytes().len()).sum();
        let cost = bytes + files * OPENING;
        if let Some(place) = place.filter(|place| !is_same && cost >= place.at_least.max(size as u64)) {
            let hashes = hashing::of_records(&found)?.into_iter().zip(&entries);
            let all = found.iter().zip(hashes);
            let all = all.map(|(found, (hash, entries))| (&*found.name, &found.records, hash, *entries));
            // Where nothing can be remembered everything is read again.
            let _ = place.write(all);
        }
        let digests = hashing::digests(&found, &is_kept, entries);
        let mut encoder = Encoder::new("host");
        // The layout in an engine's store.
        encoder.text(LocalSource::ROOT);
        if let Some(digest) = digests.first() {
            encoder.digest(*digest);
        }
        Ok(Self {
            source: source.clone(),
            root,
            extent: sum(found.iter().map(|found| found.extent)),
            digest: encoder.finish(),
            directories: found,
            is_kept,
            digests,
            #[cfg(test)]
            read: files,
        })
    }

    fn planned(&self) -> PlannedFiles {
        let (files, bytes) = self.extent;
        PlannedFiles {
            path: self.source.path.display().to_string(),
            contents: self.digest,
            files: usize::try_from(files).unwrap_or(usize::MAX),
            bytes,
        }
    }

    /// Entries that cannot be sent: sockets, pipes, devices.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &PathBuf> {
        self.directories.iter().flat_map(|found| &found.left_out)
    }

    fn is_kept(&self, directory: usize) -> bool {
        self.is_kept.get(directory).is_some_and(|is_kept| *is_kept)
    }

    /// Calls `visit` for every entry, sorted by name, each directory before what is in it.
    fn visit(&self, mut visit: impl FnMut(&Path, &Record<'_>) -> io::Result<()>) -> io::Result<()> {
        let open = |number: usize| {
            let found = self.directories.get(number)?;
            Some((found, found.records.iter(), found.children.iter()))
        };
        let mut stack: Vec<_> = open(0).into_iter().collect();
        while let Some((found, records, children)) = stack.last_mut() {
            let Some(record) = records.next() else {
                stack.pop();
                continue;
            };
            let child = match record.kind {
                Kind::Directory(_) => children.next(),
                Kind::Symlink(_) | Kind::File(_) => None,
            };
            if child.is_some_and(|child| !self.is_kept(*child)) {
                continue;
            }
            visit(&found.name.join(name(record.name)), &record)?;
            stack.extend(child.and_then(|child| open(*child)));
        }
        Ok(())
    }

    /// Writes the tree as a tar archive.
    fn write(&self, out: impl io::Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(out);
        let top = Path::new(LocalSource::ROOT.trim_start_matches('/'));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive.append_data(&mut header, top, io::empty())?;
        self.visit(|path, record| {
            let mut header = tar::Header::new_gnu();
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            let mut set_modified = |time: i64| header.set_mtime(u64::try_from(time).unwrap_or(0));
            match &record.kind {
                Kind::Directory(modified) => {
                    set_modified(*modified);
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(0o755);
                    archive.append_data(&mut header, top.join(path), io::empty())
                }
                Kind::Symlink(Symlink { modified, target }) => {
                    set_modified(*modified);
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    archive.append_link(&mut header, top.join(path), name(target))
                }
                Kind::File(file) => {
                    set_modified(file.stamp.modified().0);
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mode(if file.stamp.is_executable() { 0o755 } else { 0o644 });
                    header.set_size(file.stamp.size());
                    let from = self.root.join(path);
                    let inner = regular::open(&from)?.take(file.stamp.size());
                    let mut contents = Watched { inner, hash: Sha256::new() };
                    archive.append_data(&mut header, top.join(path), &mut contents)?;
                    if contents.hash.finalize() == file.hash {
                        return Ok(());
                    }
                    let message = format!("`{}` was changed while it was read", from.display());
                    let help = "help: after `Session::refresh` it is read again";
                    Err(io::Error::other(format!("{message}\n\n{help}")))
                }
            }
        })?;
        archive.into_inner()?.flush()
    }
}

impl Contents for Tree {
    fn digest(&self, path: &str) -> Digest {
        let below = path.strip_prefix(LocalSource::ROOT).filter(|below| below.starts_with('/'));
        below.and_then(|below| self.part(Path::new(below.trim_matches('/')))).unwrap_or(self.digest)
    }

    fn files(&self, most: usize) -> Option<Vec<(String, String)>> {
        if self.extent.0 > most as u64 {
            return None;
        }
        let mut files = Vec::new();
        let listed = self.visit(|path, record| {
            if !matches!(record.kind, Kind::Directory(_)) {
                files.push((path.display().to_string(), format!("{:.16}", hashing::of_file(record.kind))));
            }
            Ok(())
        });
        listed.is_ok().then_some(files)
    }
}

impl Tree {
    /// The digest of a part, if it is there, and no link is on the way.
    fn part(&self, path: &Path) -> Option<Digest> {
        let mut number = 0;
        let mut found = None;
        let mut names = path.iter().peekable();
        while let Some(part) = names.next() {
            let directory = self.directories.get(number)?;
            let record = directory.records.find(records::bytes(part))?;
            found = match record.kind {
                Kind::Symlink(_) => return None,
                Kind::File(_) if names.peek().is_some() => return None,
                Kind::File(_) => Some(hashing::of_file(record.kind)),
                Kind::Directory(_) => {
                    let (_, child) = directory.below().find(|(name, _)| *name == record.name)?;
                    number = child;
                    Some(*self.digests.get(child).filter(|_| self.is_kept(child))?)
                }
            };
        }
        found
    }
}

/// A source as a plan shows it.
pub(crate) fn planned_files(source: &LocalSource) -> Result<PlannedFiles> {
    Ok(Tree::read(source)?.planned())
}

/// Which directories are taken, or have something in them that is: all others are left out.
fn kept(root: &Path, found: &[Found]) -> Result<Vec<bool>> {
    let mut is_kept = vec![false; found.len()];
    for (number, directory) in found.iter().enumerate().rev() {
        let has_entries =
            || directory.records.iter().any(|record| !matches!(record.kind, Kind::Directory(_)));
        let has_kept = || directory.children.iter().any(|child| is_kept.get(*child) == Some(&true));
        let keep = directory.is_taken || has_entries() || has_kept();
        if keep && let Some(name) = directory.name.file_name() {
            check_name(root.join(&directory.name).parent().unwrap_or(root), name)?;
        }
        if let Some(place) = is_kept.get_mut(number) {
            *place = keep;
        }
    }
    Ok(is_kept)
}

/// The number of files that have to be read, and their total size in bytes.
fn unread(found: &[Found]) -> (u64, u64) {
    let size = |found: &Found, at: usize| match found.records.iter_from(at).next()?.kind {
        Kind::File(file) => Some(file.stamp.size()),
        Kind::Directory(_) | Kind::Symlink(_) => None,
    };
    let sizes = found.iter().flat_map(|found| found.unread.iter().filter_map(move |at| size(found, *at)));
    sum(sizes.map(|size| (1, size)))
}

fn sum(extents: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    extents.fold((0, 0), |(files, bytes), (more, size)| (files + more, bytes + size))
}
