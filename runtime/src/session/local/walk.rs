//! Finding a source's files, on several threads: a directory is read by one, and each file in it costs one system call.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::known::Known;
use super::records::{self, File, Iter, Kind, Record, Records, Stamp};
use super::selection::{GIT_IGNORE, Rules, Selection, Verdict, check_name};
use super::trust::Trust;
use crate::lock::lock;
use crate::model::Digest;
use crate::session::missing;
use crate::{Error, Result};

/// A directory that was read.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The path relative to the root.
    pub(super) name: PathBuf,
    /// Whether it is taken itself, and not only for what is in it.
    pub(super) is_taken: bool,
    pub(super) records: Records,
    /// The directories in it, in the order of their records; all have higher numbers than this one.
    pub(super) children: Vec<usize>,
    /// Which of the records are of files that have to be read.
    pub(super) unread: Vec<usize>,
    /// Entries that cannot be sent: sockets, pipes, devices.
    pub(super) left_out: Vec<PathBuf>,
    /// The number of files, and their total size in bytes.
    pub(super) extent: (u64, u64),
    /// The digest of its entries, if it is remembered as it is.
    pub(super) known: Option<Digest>,
}

impl Found {
    /// The directories in it, with their numbers.
    pub(super) fn below(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let names = self.records.iter().filter(|record| matches!(record.kind, Kind::Directory(_)));
        // In this order, so that nothing is looked for where there are none.
        self.children.iter().zip(names).map(|(child, record)| (record.name, *child))
    }
}

/// A directory to read.
struct Task {
    number: usize,
    name: PathBuf,
    is_taken: bool,
    verdict: Verdict,
    rules: Option<Arc<Rules>>,
    trust: Trust,
}

struct Walk<'a> {
    root: &'a Path,
    selection: &'a Selection,
    known: Option<&'a Known>,
    state: Mutex<State>,
    /// Notified when there is more to do, or nothing any more.
    changed: Condvar,
    began: Instant,
    lasts: &'a (dyn Fn() + Sync),
    /// Called once.
    said: Once,
}

struct State {
    open: Vec<Task>,
    /// How many directories are being read.
    busy: usize,
    /// How many threads help.
    helpers: usize,
    /// The directories by number.
    found: Vec<Option<Found>>,
    failure: Option<Error>,
}

/// At least two, as some of the time goes by waiting for a disk.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 16)
}

/// After this it is said that the walk lasts.
const SAID_AFTER: Duration = Duration::from_millis(200);

/// Finds what is taken of a directory, which comes first; the others come after those that contain them. `lasts` is called
/// once, if it is no matter of a moment.
pub(super) fn walk(
    root: &Path,
    selection: &Selection,
    known: Option<&Known>,
    tick: Duration,
    lasts: &(dyn Fn() + Sync),
) -> Result<Vec<Found>> {
    let metadata = fs::metadata(root).map_err(|error| missing::error(root, "directory", error))?;
    let first = Task {
        number: 0,
        name: PathBuf::new(),
        is_taken: true,
        verdict: Verdict::default(),
        rules: None,
        trust: Trust::of(root, &metadata, tick),
    };
    let state = State { open: vec![first], busy: 0, helpers: 0, found: vec![None], failure: None };
    let walk = Walk {
        root,
        selection,
        known,
        state: Mutex::new(state),
        changed: Condvar::new(),
        began: Instant::now(),
        lasts,
        said: Once::new(),
    };
    std::thread::scope(|scope| walk.work(scope));
    let State { found, failure, .. } = walk.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failure {
        Some(error) => Err(error),
        None => Ok(found.into_iter().flatten().collect()),
    }
}

impl Walk<'_> {
    /// Reads directories until all are read.
    fn work<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        while let Some(task) = self.next(scope) {
            let done = Done(self);
            let number = task.number;
            let read = self.read(task);
            done.with(number, read);
            if self.began.elapsed() > SAID_AFTER {
                self.said.call_once(self.lasts);
            }
        }
    }

    /// The next directory to read; waits for one while others may find some.
    fn next<'s>(&'s self, scope: &'s Scope<'s, '_>) -> Option<Task> {
        let mut state = lock(&self.state);
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(task) = state.open.pop() {
                state.busy += 1;
                if !state.open.is_empty() && state.helpers + 1 < threads() {
                    state.helpers += 1;
                    scope.spawn(|| self.work(scope));
                }
                return Some(task);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read(&self, task: Task) -> Result<(Found, Vec<Task>)> {
        let path = self.root.join(&task.name);
        let mut entries = list(&path).map_err(|error| Error::io(&path, error))?;
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let rules = match entries.binary_search_by(|(name, _)| name.as_os_str().cmp(GIT_IGNORE.as_ref())) {
            Ok(_) => self.selection.rules(&path, task.rules.clone()),
            Err(_) => task.rules.clone(),
        };
        let earlier = self.known.and_then(|known| known.records(&task.name));
        let mut listing = Listing {
            found: Found { name: task.name, is_taken: task.is_taken, ..Found::default() },
            earlier: Earlier::of(earlier.as_ref()),
            trust: task.trust,
        };
        listing.found.records.reserve(entries.len());
        let mut tasks = Vec::new();
        for (name, entry) in entries {
            if self.selection.leaves_out(&name) {
                continue;
            }
            let failed = |error| Error::io(path.join(&name), error);
            let is_directory = entry.file_type().map_err(failed)?.is_dir();
            if rules.as_ref().is_some_and(|rules| rules.ignore(&path.join(&name), is_directory)) {
                continue;
            }
            let mut verdict = Verdict::default();
            if !self.selection.is_everything() {
                verdict = self.selection.verdict(&listing.found.name.join(&name), task.verdict);
            }
            let is_taken = self.selection.takes(verdict);
            if !is_directory {
                if is_taken {
                    check_name(&path, &name)?;
                    let metadata = entry.metadata().map_err(failed)?;
                    listing.entry(&path, &name, &metadata)?;
                }
                continue;
            }
            let below = listing.found.name.join(&name);
            if self.selection.enters(&below, verdict) {
                let metadata = entry.metadata().map_err(failed)?;
                if !metadata.is_dir() {
                    return Err(failed(replaced()));
                }
                listing.found.records.directory(&name, records::modified(&metadata));
                let trust = task.trust.below(&path.join(&name), &metadata);
                tasks.push(Task { number: 0, name: below, is_taken, verdict, rules: rules.clone(), trust });
            }
        }
        let mut found = listing.found;
        found.records.shrink();
        found.known = same(&found, earlier);
        Ok((found, tasks))
    }
}

fn list(path: &Path) -> io::Result<Vec<(OsString, DirEntry)>> {
    fs::read_dir(path)?.map(|entry| entry.map(|entry| (entry.file_name(), entry))).collect()
}

fn replaced() -> io::Error {
    io::Error::other("it was replaced while it was read")
}

/// Takes the result of a directory, or notes that there is none: others wait for it.
struct Done<'a, 'w>(&'a Walk<'w>);

impl Done<'_, '_> {
    fn with(self, number: usize, read: Result<(Found, Vec<Task>)>) {
        let mut state = lock(&self.0.state);
        match read {
            Ok((mut found, tasks)) => {
                for mut task in tasks {
                    task.number = state.found.len();
                    found.children.push(task.number);
                    state.found.push(None);
                    state.open.push(task);
                }
                if let Some(place) = state.found.get_mut(number) {
                    *place = Some(found);
                }
            }
            Err(error) => drop(state.failure.get_or_insert(error)),
        }
    }
}

impl Drop for Done<'_, '_> {
    fn drop(&mut self) {
        let mut state: MutexGuard<'_, State> = lock(&self.0.state);
        state.busy -= 1;
        self.0.changed.notify_all();
    }
}

/// The entries of one directory, as they are found.
struct Listing<'a> {
    found: Found,
    earlier: Earlier<'a>,
    trust: Trust,
}

impl Listing<'_> {
    /// Adds what is no directory.
    fn entry(&mut self, directory: &Path, name: &OsStr, metadata: &Metadata) -> Result<()> {
        let kind = metadata.file_type();
        if kind.is_file() {
            self.file(name, metadata);
        } else if kind.is_symlink() {
            let path = directory.join(name);
            let target = fs::read_link(&path).map_err(|error| Error::io(path, error))?;
            self.found.records.symlink(name, records::modified(metadata), target.as_os_str());
        } else if kind.is_dir() {
            return Err(Error::io(directory.join(name), replaced()));
        } else {
            self.found.left_out.push(self.found.name.join(name));
        }
        Ok(())
    }

    fn file(&mut self, name: &OsStr, metadata: &Metadata) {
        let stamp = Stamp::of(metadata);
        let is_settled = self.trust.settles(metadata, &stamp);
        let known = self.earlier.hash(records::bytes(name), &stamp);
        let hash = known.unwrap_or_default();
        let at = self.found.records.file(name, &File { stamp, is_settled, hash });
        self.found.extent.0 += 1;
        self.found.extent.1 += stamp.size();
        if known.is_none() {
            self.found.unread.push(at);
        }
    }
}

/// The digest of a directory's entries, if they are what they were.
fn same(found: &Found, earlier: Option<(Records, Digest)>) -> Option<Digest> {
    earlier
        .filter(|(records, _)| found.unread.is_empty() && *records == found.records)
        .map(|(_, digest)| digest)
}

/// What was found in a directory earlier, from the next name on.
struct Earlier<'a>(std::iter::Peekable<Iter<'a>>);

impl<'a> Earlier<'a> {
    fn of(earlier: Option<&'a (Records, Digest)>) -> Self {
        static NONE: Records = Records::none();
        Self(earlier.map_or(&NONE, |(records, _)| records).iter().peekable())
    }

    /// The hash of a file, if it is certain to have the contents that it had. Names are asked for in their order.
    fn hash(&mut self, name: &[u8], stamp: &Stamp) -> Option<[u8; 32]> {
        while self.0.next_if(|record| record.name < name).is_some() {}
        match self.0.peek() {
            Some(Record { name: earlier, kind: Kind::File(file) })
                if *earlier == name && file.is_settled && file.stamp == *stamp =>
            {
                Some(file.hash)
            }
            _ => None,
        }
    }
}

/// A single file that the pipeline names, as a directory with one entry.
pub(super) fn single(path: &Path, known: Option<&Known>, tick: Duration) -> Result<Found> {
    let metadata = fs::metadata(path).map_err(|error| missing::error(path, "file", error))?;
    if metadata.is_dir() {
        let message = format!("`{}` is a directory, not a file", path.display());
        return Err(Error::invalid(None, format!("{message}\n\nhelp: `host(...)` takes directories")));
    }
    if !metadata.is_file() {
        return Err(Error::invalid(None, format!("`{}` is no regular file", path.display())));
    }
    let name = path.file_name().map(OsString::from).unwrap_or_default();
    check_name(path.parent().unwrap_or(path), &name)?;
    let earlier = known.and_then(|known| known.records(Path::new("")));
    let found = Found { is_taken: true, ..Found::default() };
    let trust = Trust::of(path, &metadata, tick);
    let mut listing = Listing { found, earlier: Earlier::of(earlier.as_ref()), trust };
    listing.file(&name, &metadata);
    let mut found = listing.found;
    found.known = same(&found, earlier);
    Ok(found)
}
