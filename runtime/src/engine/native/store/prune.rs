//! Removing what nobody needs any more, while others use the store.
//!
//! Whoever uses a record marks it first, by its modification time; what was marked since the oldest living session began
//! may be in use, and stays, with the layers that it names. A record is removed by moving it away, checking the mark once
//! more, and moving it back if somebody has marked it meanwhile: a session that looks in between does not find it, and
//! does without.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use serde::Deserialize;

use super::{LAYERS, PACKED, RECORDS, REPLACED, record_path};
use crate::engine::native::model::{Bounds, Removed};

/// A layer without a record is one whose record is about to be written, unless it is older than this.
const ORPHANED: Duration = Duration::from_secs(60 * 60);

/// The layers that a record names: all records name some.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    layers: Vec<String>,
}

struct Record {
    path: PathBuf,
    /// When the record was last marked as used.
    used: SystemTime,
    layers: Vec<String>,
    /// Whether another record is in its place.
    is_replaced: bool,
    /// The record's own size in bytes, which includes a step's output.
    size: u64,
}

/// Prunes the store at `root`, moving what goes to the directory `aside`, which is on the same file system.
pub(crate) fn prune(root: &Path, aside: &Path, bounds: &Bounds) -> io::Result<Removed> {
    let in_use = in_use_since(&root.join("scratch"), aside)?;
    let mut records = records(root)?;
    records.sort_by_key(|record| record.used);
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    for name in records.iter().flat_map(|record| &record.layers) {
        *users.entry(name.clone()).or_default() += 1;
    }
    let mut sizes = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(root.join(LAYERS))?.filter_map(Result::ok) {
        sizes.insert(entry.file_name().to_string_lossy().into_owned(), size(&entry.path(), &mut seen));
    }
    let left = sizes.values().sum::<u64>() + records.iter().map(|record| record.size).sum::<u64>();
    let mut removed = Removed { left, ..Removed::default() };
    let mut bin = Bin { aside, number: 0 };
    // Layers without a record: of sessions that died before they wrote one.
    let orphans: Vec<String> = sizes.keys().filter(|name| !users.contains_key(*name)).cloned().collect();
    let now = SystemTime::now();
    for name in orphans {
        bin.take_layer(root, &name, in_use.min(now - ORPHANED), &sizes, &mut removed)?;
    }
    for record in records {
        let is_old = bounds
            .unused_for
            .is_some_and(|limit| now.duration_since(record.used).is_ok_and(|age| age >= limit));
        let is_too_much = bounds.down_to.is_some_and(|limit| removed.left > limit);
        let is_any = bounds.unused_for.is_none() && bounds.down_to.is_none();
        if record.used >= in_use || !(record.is_replaced || is_old || is_too_much || is_any) {
            continue;
        }
        if !bin.take_record(&record.path, in_use)? {
            continue;
        }
        // What was replaced was nobody's result any more.
        removed.records += u64::from(!record.is_replaced);
        removed.bytes += record.size;
        removed.left = removed.left.saturating_sub(record.size);
        for name in &record.layers {
            let Some(count) = users.get_mut(name) else { continue };
            *count -= 1;
            if *count == 0 {
                bin.take_layer(root, name, in_use, &sizes, &mut removed)?;
            }
        }
    }
    remove_stale(root, in_use)?;
    Ok(removed)
}

/// When the oldest living session began; now, if only the caller's lives.
fn in_use_since(scratch: &Path, aside: &Path) -> io::Result<SystemTime> {
    let own = aside.ancestors().find(|path| path.parent() == Some(scratch));
    let mut oldest = SystemTime::now();
    for session in fs::read_dir(scratch)?.filter_map(Result::ok).map(|entry| entry.path()) {
        if Some(session.as_path()) == own {
            continue;
        }
        // A session without a lock is about to get it, or to be removed.
        let began = fs::metadata(session.join("lock")).and_then(|lock| lock.modified());
        let began = began.or_else(|_| fs::metadata(&session).and_then(|directory| directory.modified()));
        let Ok(began) = began else { continue };
        oldest = oldest.min(began);
    }
    // Clocks of file systems may be a tick behind.
    Ok(oldest - Duration::from_millis(50))
}

fn records(root: &Path) -> io::Result<Vec<Record>> {
    let mut all = Vec::new();
    for kind in RECORDS {
        for entry in fs::read_dir(root.join(kind))?.filter_map(Result::ok) {
            let path = entry.path();
            let Ok(file) = fs::File::open(&path) else { continue };
            let Ok(known) = file.metadata() else { continue };
            let Ok(used) = known.modified() else { continue };
            // An unreadable record names nothing, and is of no use to anybody. What follows the JSON is not read.
            let mut text = serde_json::Deserializer::from_reader(io::BufReader::new(file));
            let Names { layers } = Names::deserialize(&mut text).unwrap_or_default();
            let is_replaced = path.extension().is_some_and(|suffix| suffix == REPLACED);
            all.push(Record { path, used, layers, is_replaced, size: known.blocks() * 512 });
        }
    }
    Ok(all)
}

/// The bytes on the disk; hard links count once.
fn size(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
    let mut pending = vec![path.to_owned()];
    let mut sum = 0;
    while let Some(path) = pending.pop() {
        let Ok(known) = fs::symlink_metadata(&path) else { continue };
        if known.nlink() < 2 || known.is_dir() || seen.insert((known.dev(), known.ino())) {
            sum += known.blocks() * 512;
        }
        if known.is_dir() {
            pending.extend(
                fs::read_dir(path).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()),
            );
        }
    }
    sum
}

/// The directory that things are moved to.
struct Bin<'a> {
    aside: &'a Path,
    /// The number of the next thing moved, for its name.
    number: u64,
}

impl Bin<'_> {
    /// Moves something away; returns its new path, or `None` if it did not exist.
    fn moved(&mut self, path: &Path) -> io::Result<Option<PathBuf>> {
        self.number += 1;
        let moved = self.aside.join(self.number.to_string());
        match fs::rename(path, &moved) {
            Ok(()) => Ok(Some(moved)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a record; returns whether it is gone, which it is not if somebody has marked it.
    fn take_record(&mut self, path: &Path, in_use: SystemTime) -> io::Result<bool> {
        let Some(moved) = self.moved(path)? else { return Ok(false) };
        if fs::metadata(&moved)?.modified()? < in_use {
            fs::remove_file(moved)?;
            return Ok(true);
        }
        // If there is another by now, it is as good.
        let _ = renameat_with(CWD, &moved, CWD, path, RenameFlags::NOREPLACE);
        Ok(false)
    }

    fn take_layer(
        &mut self,
        root: &Path,
        name: &str,
        before: SystemTime,
        sizes: &BTreeMap<String, u64>,
        removed: &mut Removed,
    ) -> io::Result<()> {
        let path = root.join(LAYERS).join(name);
        let Ok(known) = fs::symlink_metadata(&path) else { return Ok(()) };
        if super::made(&known) < before
            && let Some(moved) = self.moved(&path)?
        {
            fs::remove_dir_all(moved)?;
            let size = sizes.get(name).copied().unwrap_or(0);
            removed.bytes += size;
            removed.left = removed.left.saturating_sub(size);
        }
        Ok(())
    }
}

/// Removes downloads that nobody resumes, references to images that are gone, and facts about layers that are gone.
fn remove_stale(root: &Path, in_use: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(root.join("downloads"))?.filter_map(Result::ok) {
        let Ok(file) = fs::File::open(entry.path()) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            && file.metadata()?.modified()? < in_use
        {
            fs::remove_file(entry.path())?;
        }
    }
    for entry in fs::read_dir(root.join(PACKED))?.filter_map(Result::ok) {
        let layer = entry.path().file_stem().map(|name| root.join(LAYERS).join(name));
        if layer.is_none_or(|layer| !layer.exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    for entry in fs::read_dir(root.join("references"))?.filter_map(Result::ok) {
        let text = fs::read(entry.path()).unwrap_or_default();
        let found: Option<super::StoredReference> = serde_json::from_slice(&text).ok();
        let image = found.map(|found| record_path(root, "images", &found.id.hash().to_string()));
        if image.is_none_or(|image| !image.exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Store, StoredStep};
    use super::*;
    use crate::engine::{Recording, StepOutput};
    use crate::model::{Digest, Provenance, SessionId};

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn key(number: u8) -> Digest {
        Digest([number; 32])
    }

    /// Stores a step's result: a file of 100 KB, on top of another's.
    fn keep(store: &Store, number: u8, below: &[String]) -> Vec<String> {
        let scratch = store.scratch().unwrap();
        fs::write(store.root().join(&scratch.changes.upper).join("x"), vec![number; 100_000]).unwrap();
        let mut layers = below.to_vec();
        layers.push(store.keep(&scratch, &key(number)).unwrap());
        let step = StoredStep {
            layers: layers.clone(),
            output: Recording::default(),
            from: Provenance::of_nothing(),
        };
        store.keep_step(&key(number), &step).unwrap();
        layers
    }

    /// Makes a record look unused for this long.
    fn age(store: &Store, number: u8, by: Duration) {
        let path = super::super::step::path(store.root(), &key(number));
        fs::File::open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
    }

    fn pruned(store: &Store, bounds: &Bounds) -> Removed {
        let aside = store.scratch().unwrap();
        prune(store.root(), &store.root().join(&aside.changes.upper), bounds).unwrap()
    }

    fn kept(store: &Store) -> Vec<u8> {
        (1..=9).filter(|number| super::super::step::path(store.root(), &key(*number)).exists()).collect()
    }

    fn layers(store: &Store) -> usize {
        fs::read_dir(store.root().join(LAYERS)).unwrap().count()
    }

    /// A store with results of a session that ended some time ago.
    fn old_store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap();
        let base = keep(&store, 1, &[]);
        let second = keep(&store, 2, &base);
        keep(&store, 3, &second);
        keep(&store, 4, &base);
        for (number, hours) in [(1, 4), (2, 3), (3, 2), (4, 1)] {
            age(&store, number, HOUR * hours);
        }
        drop(store);
        // A session begins when the previous one has ended, and clocks may differ by a little.
        std::thread::sleep(Duration::from_millis(100));
        let store = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap();
        (directory, store)
    }

    #[test]
    fn what_was_not_used_for_long_goes_first() {
        let (_directory, store) = old_store();
        let unused = |hours| Bounds { unused_for: Some(HOUR * hours), down_to: None };
        assert_eq!(pruned(&store, &unused(5)).records, 0);
        let removed = pruned(&store, &unused(3));
        assert_eq!((removed.records, kept(&store)), (2, vec![3, 4]));
        // Their layers are also used by others.
        assert_eq!((removed.bytes / 100_000, layers(&store)), (0, 4));
        assert!(store.step(&key(3)).is_some() && store.step(&key(2)).is_none());
    }

    #[test]
    fn it_goes_on_until_enough_is_free() {
        let (_directory, store) = old_store();
        let all = pruned(&store, &Bounds { unused_for: None, down_to: Some(u64::MAX) });
        assert!(all.left >= 400_000 && all.bytes == 0, "{all:?}");
        let removed = pruned(&store, &Bounds { unused_for: None, down_to: Some(300_000) });
        assert_eq!(kept(&store), [4]);
        assert!(removed.left < 300_000 && removed.bytes + removed.left == all.left, "{removed:?}");
        assert_eq!(layers(&store), 2);
    }

    #[test]
    fn what_steps_wrote_counts() {
        let (_directory, store) = old_store();
        let output = StepOutput { stdout: vec![b'x'; 1_000_000], ..StepOutput::default() };
        let step = StoredStep { layers: Vec::new(), output: output.into(), from: Provenance::of_nothing() };
        store.keep_step(&key(5), &step).unwrap();
        age(&store, 5, HOUR * 9);
        let removed = pruned(&store, &Bounds { unused_for: Some(HOUR * 8), down_to: None });
        assert_eq!((removed.records, removed.bytes / 1_000_000), (1, 1));
        assert!((400_000..600_000).contains(&removed.left), "{removed:?}");
    }

    #[test]
    fn what_a_session_uses_stays() {
        let (directory, store) = old_store();
        let other = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(other.step(&key(2)).is_some());
        let made = keep(&other, 5, &[]);
        let removed = pruned(&store, &Bounds::default());
        assert_eq!((removed.records, kept(&store)), (3, vec![2, 5]));
        assert!(other.step(&key(2)).is_some() && other.has(&made[0]));
        drop(other);
        std::thread::sleep(Duration::from_millis(100));
        let removed = pruned(&store, &Bounds::default());
        assert_eq!((removed.records, removed.left, layers(&store)), (2, 0, 0));
    }

    #[test]
    fn what_was_replaced_goes_once_nobody_uses_it() {
        let (directory, store) = old_store();
        let user = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap();
        let used = user.step(&key(4)).unwrap().layers;
        let step = StoredStep {
            layers: Vec::new(),
            output: Recording::default(),
            from: Provenance::now("another".into(), Vec::new()),
        };
        store.keep_step(&key(4), &step).unwrap();
        drop(store);
        std::thread::sleep(Duration::from_millis(100));
        let store = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap();
        assert!(store.step(&key(4)).unwrap().layers.is_empty());
        let nothing_old = Bounds { unused_for: Some(HOUR * 9), down_to: None };
        assert_eq!(pruned(&store, &nothing_old).records, 0);
        assert!(used.iter().all(|name| user.has(name)));
        drop(user);
        let removed = pruned(&store, &nothing_old);
        assert_eq!((removed.records, removed.bytes / 100_000), (0, 1));
        assert!(!store.has(&used[1]) && store.has(&used[0]), "the lower one is another's, too");
        assert_eq!(kept(&store), [1, 2, 3, 4]);
    }

    #[test]
    fn a_record_that_is_marked_on_its_way_out_comes_back() {
        let (_directory, store) = old_store();
        let aside = store.scratch().unwrap();
        let aside = store.root().join(&aside.changes.upper);
        let mut bin = Bin { aside: &aside, number: 0 };
        let path = super::super::step::path(store.root(), &key(1));
        let decided = SystemTime::now() - HOUR;
        assert!(store.step(&key(1)).is_some());
        assert!(!bin.take_record(&path, decided).unwrap());
        assert!(path.exists());
        age(&store, 1, HOUR * 2);
        assert!(bin.take_record(&path, decided).unwrap());
        assert!(store.step(&key(1)).is_none());
    }

    #[test]
    fn what_is_stale_goes_too() {
        let (_directory, store) = old_store();
        let place = |name: &str| store.root().join(name);
        for name in ["downloads/old", "downloads/new", "references/broken.json", "packed/gone.json"] {
            fs::write(place(name), "x").unwrap();
        }
        fs::File::open(place("downloads/old")).unwrap().set_modified(SystemTime::now() - HOUR).unwrap();
        pruned(&store, &Bounds { unused_for: Some(HOUR * 9), down_to: None });
        let there = ["downloads/old", "downloads/new", "references/broken.json", "packed/gone.json"];
        assert_eq!(there.map(|name| place(name).exists()), [false, true, false, false]);
    }
}
