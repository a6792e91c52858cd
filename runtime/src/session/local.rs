//! Files and directories of the pipeline's machine: found, hashed by content, and sent to an engine that lacks them.
//!
//! All of it blocks, so it runs on threads of its own. Files are hashed again while they are sent: a file that changed in
//! between is an error, and never a wrong result under a right key.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sha256::Sha256;
use ignore::{DirEntry, WalkBuilder};

use super::transfer::Meter;
use crate::event::{Span, Subject, Verb};
use crate::graph::{Contents, Encoder, PlannedFiles};
use crate::model::Digest;
use crate::paths::WHITEOUT;
use crate::patterns::Patterns;
use crate::regular::{self, DOCUMENT_AT_MOST};
use crate::value::{IgnoreFiles, LocalKind, LocalSource};
use crate::{Error, Result};

mod send;
#[cfg(test)]
mod tests;

/// The subject of a source's events.
pub(super) fn subject(source: &LocalSource) -> Subject {
    Subject::Source { name: source.to_string().into() }
}

/// The part of a directory that is taken, sorted by name.
#[derive(Debug)]
pub(super) struct Tree {
    source: LocalSource,
    /// Parents before their entries.
    entries: Vec<Entry>,
    /// The total size of the files, in bytes.
    size: u64,
    pub(super) digest: Digest,
    /// Entries that cannot be sent: sockets, pipes, devices.
    pub(super) left_out: Vec<PathBuf>,
}

#[derive(Debug)]
struct Entry {
    /// The path relative to the root of the tree.
    name: PathBuf,
    path: PathBuf,
    kind: Kind,
    /// The modification time, in seconds since 1970. It is sent, since build tools compare times, but is not part of the
    /// identity.
    modified: u64,
}

#[derive(Debug)]
enum Kind {
    Directory,
    Symlink(PathBuf),
    File { executable: bool, size: u64, hash: [u8; 32] },
}

impl Tree {
    /// Finds and hashes the files.
    fn read(source: &LocalSource) -> Result<Self> {
        Self::read_in(source, None)
    }

    /// The same, reporting progress to a span.
    fn read_in(source: &LocalSource, span: Option<Arc<Span>>) -> Result<Self> {
        let mut left_out = Vec::new();
        let mut entries = match &source.kind {
            LocalKind::File => vec![single(&source.path)?],
            LocalKind::Directory { include, exclude, ignore_files } => {
                let found = Selection::new(&source.path, include, exclude, *ignore_files)?;
                found.entries(&mut left_out)?
            }
        };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let (files, size) = extent(&entries);
        let meter = span.map(|span| Meter::new(span, Verb::Hashing, size, files));
        hash_all(&mut entries, |bytes| {
            if let Some(meter) = &meter {
                meter.add(bytes);
            }
        })?;
        // A file may have grown since it was found.
        let (_, size) = extent(&entries);
        Ok(Self { source: source.clone(), size, digest: digest(&entries, Path::new("")), entries, left_out })
    }

    fn planned(&self) -> PlannedFiles {
        let (files, _) = extent(&self.entries);
        PlannedFiles {
            path: self.source.path.display().to_string(),
            contents: self.digest,
            files: usize::try_from(files).unwrap_or(usize::MAX),
            bytes: self.size,
        }
    }

    /// Writes the tree as a tar archive.
    fn write(&self, out: impl io::Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(out);
        let root = Path::new(LocalSource::ROOT.trim_start_matches('/'));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive.append_data(&mut header, root, io::empty())?;
        for entry in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(entry.modified);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            match &entry.kind {
                Kind::Directory => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(0o755);
                    archive.append_data(&mut header, root.join(&entry.name), io::empty())?;
                }
                Kind::Symlink(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    archive.append_link(&mut header, root.join(&entry.name), target)?;
                }
                Kind::File { executable, size, hash } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mode(if *executable { 0o755 } else { 0o644 });
                    header.set_size(*size);
                    let mut contents =
                        Watched { inner: regular::open(&entry.path)?.take(*size), hash: Sha256::new() };
                    archive.append_data(&mut header, root.join(&entry.name), &mut contents)?;
                    if contents.hash.finalize()[..] != hash[..] {
                        let message = format!("`{}` was changed while it was read", entry.path.display());
                        return Err(io::Error::other(message));
                    }
                }
            }
        }
        archive.into_inner()?.flush()
    }
}

impl Contents for Tree {
    fn digest(&self, path: &str) -> Digest {
        let below = path.strip_prefix(LocalSource::ROOT).filter(|below| below.starts_with('/'));
        match below.map(|below| Path::new(below.trim_matches('/'))) {
            Some(part) if self.has_without_links(part) => digest(&self.entries, part),
            _ => self.digest,
        }
    }
}

impl Tree {
    /// Whether the tree has the path, without following links.
    fn has_without_links(&self, path: &Path) -> bool {
        let mut ancestors = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        let kind = |path: &Path| {
            let at = self.entries.binary_search_by(|entry| entry.name.as_path().cmp(path)).ok()?;
            self.entries.get(at).map(|entry| &entry.kind)
        };
        let is_there =
            ancestors.next().is_some_and(|path| !matches!(kind(path), None | Some(Kind::Symlink(_))));
        is_there && ancestors.all(|path| matches!(kind(path), Some(Kind::Directory)))
    }
}

/// A source as a plan shows it.
pub(crate) fn planned_files(source: &LocalSource) -> Result<PlannedFiles> {
    Ok(Tree::read(source)?.planned())
}

/// The number of files and their total size in bytes.
fn extent(entries: &[Entry]) -> (u64, u64) {
    entries.iter().fold((0, 0), |(files, bytes), entry| match entry.kind {
        Kind::File { size, .. } => (files + 1, bytes + size),
        Kind::Directory | Kind::Symlink(_) => (files, bytes),
    })
}

/// Hashes everything that is read through it.
struct Watched<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.hash.update(&into[..count]);
        Ok(count)
    }
}

/// The digest of a part of a tree: names in it, kinds, contents, which files are executable, link targets. No times and no owners: they
/// differ between checkouts.
fn digest(entries: &[Entry], part: &Path) -> Digest {
    let below = entries.iter().filter_map(|entry| Some((entry.name.strip_prefix(part).ok()?, entry)));
    let entries: Vec<_> = below.collect();
    let mut encoder = Encoder::new("host");
    // The layout in an engine's store.
    encoder.text(LocalSource::ROOT).list(entries.len());
    for (name, entry) in entries {
        encoder.bytes(bytes(name.as_os_str()));
        match &entry.kind {
            Kind::Directory => drop(encoder.text("directory")),
            Kind::Symlink(target) => drop(encoder.text("symlink").bytes(bytes(target.as_os_str()))),
            Kind::File { executable, hash, .. } => {
                encoder.text(if *executable { "executable" } else { "file" }).bytes(hash);
            }
        }
    }
    encoder.finish()
}

fn bytes(text: &OsStr) -> &[u8] {
    text.as_encoded_bytes()
}

/// A single file that the pipeline names.
fn single(path: &Path) -> Result<Entry> {
    let metadata = fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if metadata.is_dir() {
        let message = format!("`{}` is a directory, not a file", path.display());
        return Err(Error::invalid(None, format!("{message}\n\nhelp: `host(...)` takes directories")));
    }
    if !metadata.is_file() {
        return Err(Error::invalid(None, format!("`{}` is no regular file", path.display())));
    }
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    check_name(path, name.as_os_str())?;
    Ok(Entry { name, path: path.to_owned(), modified: modified(&metadata), kind: file(&metadata) })
}

fn file(metadata: &Metadata) -> Kind {
    Kind::File { executable: is_executable(metadata), size: metadata.len(), hash: [0; 32] }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

/// Platforms without an executable bit: every file counts as executable, as in Docker's own command line.
#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    true
}

fn modified(metadata: &Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

/// Which part of a directory is taken.
struct Selection {
    root: PathBuf,
    include: Option<Patterns>,
    exclude: Patterns,
    docker: Patterns,
    ignore_files: IgnoreFiles,
}

impl Selection {
    fn new(root: &Path, include: &[String], exclude: &[String], ignore_files: IgnoreFiles) -> Result<Self> {
        let metadata = fs::metadata(root).map_err(|error| Error::io(root, error))?;
        if !metadata.is_dir() {
            let message = format!("`{}` is not a directory", root.display());
            return Err(Error::invalid(None, format!("{message}\n\nhelp: `host_file(...)` takes files")));
        }
        let patterns = |list: &[String]| {
            Patterns::new(list.iter().map(String::as_str))
                .map_err(|problem| Error::invalid(None, problem.to_string()))
        };
        let include = if include.is_empty() { None } else { Some(patterns(include)?) };
        let docker = match ignore_files {
            IgnoreFiles::Disregarded => Patterns::default(),
            IgnoreFiles::Honoured => docker_ignore(&root.join(".dockerignore"))?,
        };
        Ok(Self { root: root.to_owned(), include, exclude: patterns(exclude)?, docker, ignore_files })
    }

    /// Whether a path is left out, with everything below it.
    fn prunes(&self, name: &Path) -> bool {
        let by = |patterns: &Patterns| patterns.take_nothing_back() && patterns.name(name);
        let is_git =
            self.ignore_files == IgnoreFiles::Honoured && name.file_name() == Some(OsStr::new(".git"));
        is_git || by(&self.exclude) || by(&self.docker)
    }

    fn takes(&self, name: &Path) -> bool {
        !self.exclude.name(name)
            && !self.docker.name(name)
            && self.include.as_ref().is_none_or(|include| include.name(name))
    }

    /// The entries that are taken, and the directories that lead to them.
    fn entries(self, left_out: &mut Vec<PathBuf>) -> Result<Vec<Entry>> {
        let root = self.root.clone();
        let is_honoured = self.ignore_files == IgnoreFiles::Honoured;
        let selection = Arc::new(self);
        let pruned = selection.clone();
        let walk = WalkBuilder::new(&root)
            .standard_filters(false)
            .git_ignore(is_honoured)
            // `.gitignore` applies without a repository, but only from this directory down: a rule further up that
            // ignores a build's output does not empty it.
            .require_git(false)
            .parents(false)
            .filter_entry(move |entry| {
                let name = entry.path().strip_prefix(&pruned.root).unwrap_or(entry.path());
                name.as_os_str().is_empty() || !pruned.prunes(name)
            })
            .build();
        let mut taken = std::collections::BTreeMap::new();
        let mut directories = std::collections::HashMap::new();
        for found in walk {
            let found = found.map_err(|error| cannot_read(&root, error))?;
            let name = found.path().strip_prefix(&root).unwrap_or(found.path()).to_owned();
            if name.as_os_str().is_empty() {
                continue;
            }
            let is_taken = selection.takes(&name);
            if is_taken {
                check_name(found.path(), found.file_name())?;
            }
            let Some(entry) = entry(&found, name.clone())? else {
                if is_taken {
                    left_out.push(name);
                }
                continue;
            };
            if !is_taken {
                if matches!(entry.kind, Kind::Directory) {
                    directories.insert(name, entry);
                }
                continue;
            }
            for parent in name.ancestors().skip(1) {
                if let Some(entry) = directories.remove(parent) {
                    taken.insert(parent.to_owned(), entry);
                }
            }
            taken.insert(name, entry);
        }
        Ok(taken.into_values().collect())
    }
}

/// What is sent to an engine becomes a layer, where names with this prefix are whiteouts.
fn check_name(path: &Path, name: &OsStr) -> Result<()> {
    if !bytes(name).starts_with(WHITEOUT.as_bytes()) {
        return Ok(());
    }
    let message = format!("`{}`: no image can have a name that starts with `{WHITEOUT}`", path.display());
    let help = "help: rename it, or leave it out: `.exclude([\"**/.wh.*\"])`";
    Err(Error::invalid(None, format!("{message}\n\n{help}")))
}

fn docker_ignore(path: &Path) -> Result<Patterns> {
    let text = match regular::read(path, DOCUMENT_AT_MOST) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Patterns::default()),
        Err(error) => return Err(Error::io(path, error)),
    };
    Patterns::of_file(&text).map_err(|problem| Error::invalid(None, format!("{}: {problem}", path.display())))
}

fn cannot_read(root: &Path, error: ignore::Error) -> Error {
    let text = error.to_string();
    match error.into_io_error() {
        // The text already names the path.
        Some(io) => Error::io(root, io::Error::new(io.kind(), text)),
        None => Error::invalid(None, format!("cannot read `{}`: {text}", root.display())),
    }
}

/// `None` for what cannot be sent.
fn entry(found: &DirEntry, name: PathBuf) -> Result<Option<Entry>> {
    let path = found.path();
    let metadata = fs::symlink_metadata(path).map_err(|error| Error::io(path, error))?;
    let kind = metadata.file_type();
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink(fs::read_link(path).map_err(|error| Error::io(path, error))?)
    } else if kind.is_file() {
        file(&metadata)
    } else {
        return Ok(None);
    };
    Ok(Some(Entry { name, path: path.to_owned(), modified: modified(&metadata), kind }))
}

/// Hashes the contents of all files, on one thread per processor; `read` is called with the number of bytes read.
fn hash_all(entries: &mut [Entry], read: impl Fn(u64) + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let paths: Vec<(usize, &Path)> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| matches!(entry.kind, Kind::File { .. }))
        .map(|(index, entry)| (index, entry.path.as_path()))
        .collect();
    let work = || -> Result<Vec<(usize, u64, [u8; 32])>> {
        let mut done = Vec::new();
        while let Some((index, path)) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (size, hash) = hash(path, &read).map_err(|error| Error::io(path, error))?;
            done.push((*index, size, hash));
        }
        Ok(done)
    };
    let threads =
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(paths.len().max(1));
    let hashed = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut hashed = work()?;
        for worker in workers {
            let more =
                worker.join().unwrap_or_else(|_| Err(Error::engine("hash files", "a thread has panicked")));
            hashed.extend(more?);
        }
        Ok::<_, Error>(hashed)
    })?;
    for (index, length, found) in hashed {
        if let Some(Entry { kind: Kind::File { size, hash, .. }, .. }) = entries.get_mut(index) {
            (*size, *hash) = (length, found);
        }
    }
    Ok(())
}

fn hash(path: &Path, read: &impl Fn(u64)) -> io::Result<(u64, [u8; 32])> {
    let mut contents = Watched { inner: regular::open(path)?, hash: Sha256::new() };
    // Large pieces: each is one system call.
    let mut piece = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        match contents.read(&mut piece)? {
            0 => return Ok((size, contents.hash.finalize())),
            count => {
                size += count as u64;
                read(count as u64);
            }
        }
    }
}
