//! Removing what nobody needs any more, while others use the store.
//!
//! Whoever uses a record marks it first, by its modification time; what was marked since the oldest living session began
//! may be in use, and stays, with the layers that it names. A record is removed by moving it away, checking the mark once
//! more, and moving it back if somebody has marked it meanwhile: a session that looks in between does not find it, and
//! does without.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use serde::Deserialize;

use super::volumes::{last_used, mark_of};
use super::{LAYERS, PACKED, RECORDS, REPLACED, VOLUMES, held, record_path};
use crate::engine::storage::{Planner, Prune, Stored, StoredKind, Tallies};

/// A layer without a record is one whose record is about to be written, unless it is older than this.
const ORPHANED: Duration = Duration::from_secs(60 * 60);

/// The layers that a record names: all records name some.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    layers: Vec<String>,
}

/// Something that is kept.
enum Kept {
    /// By its record.
    Record(PathBuf),
    /// A cache volume, by its name.
    Volume(OsString),
}

/// Prunes the store at `root`, moving what goes to the directory `aside`, which is on the same file system.
pub(crate) fn prune(root: &Path, aside: &Path, what: &Prune) -> io::Result<Tallies> {
    let in_use = in_use_since(&root.join("scratch"), aside)?;
    let mut all = records(root)?;
    let mut seen = BTreeSet::new();
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(root.join(LAYERS))?.filter_map(Result::ok) {
        sizes.insert(entry.file_name().to_string_lossy().into_owned(), size(&entry.path(), &mut seen));
    }
    if what.takes(StoredKind::Cache) {
        all.extend(volumes(root)?);
    }
    let bytes = |layer: &str| sizes.get(layer).copied().unwrap_or(0);
    let mut planner = Planner::new(what, in_use, &mut all, bytes);
    let mut bin = Bin { root, aside, number: 0, is_dry: what.is_dry() };
    // Layers without a record: of sessions that died before they wrote one.
    if what.takes(StoredKind::Result) {
        for (name, bytes) in &sizes {
            if planner.has_part(name) {
                continue;
            }
            let is_gone = bin.take_layer(name, in_use.min(SystemTime::now() - ORPHANED))?;
            planner.left_over(StoredKind::Result, *bytes, is_gone);
        }
    }
    for stored in &all {
        let is_gone = planner.wants(stored)
            && match &stored.what {
                Kept::Record(path) => bin.take_record(path, in_use)?,
                Kept::Volume(name) => bin.take_volume(name, in_use)?,
            };
        if is_gone {
            for layer in planner.gone(stored) {
                if bin.take_layer(&layer, in_use)? {
                    planner.freed(&layer);
                }
            }
        }
    }
    if !what.is_dry() {
        remove_stale(root, in_use)?;
    }
    Ok(planner.done())
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

fn records(root: &Path) -> io::Result<Vec<Stored<Kept>>> {
    let mut all = Vec::new();
    for (directory, kind) in RECORDS {
        for entry in fs::read_dir(root.join(directory))?.filter_map(Result::ok) {
            let path = entry.path();
            let Ok(file) = fs::File::open(&path) else { continue };
            let Ok(known) = file.metadata() else { continue };
            let Ok(used) = known.modified() else { continue };
            // An unreadable record names nothing, and is of no use to anybody. What follows the JSON is not read.
            let mut text = serde_json::Deserializer::from_reader(io::BufReader::new(file));
            let Names { layers } = Names::deserialize(&mut text).unwrap_or_default();
            let is_left_over = path.extension().is_some_and(|suffix| suffix == REPLACED);
            let (what, own) = (Kept::Record(path), known.blocks() * 512);
            all.push(Stored { what, kind, used, is_left_over, own, parts: layers });
        }
    }
    Ok(all)
}

fn volumes(root: &Path) -> io::Result<Vec<Stored<Kept>>> {
    let volume = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let used = last_used(root, &name).or_else(|| entry.metadata().ok()?.modified().ok())?;
        // A volume's files are its own: links lead to none outside.
        let own = size(&entry.path(), &mut BTreeSet::new());
        let what = Kept::Volume(name);
        Some(Stored { what, kind: StoredKind::Cache, used, is_left_over: false, own, parts: Vec::new() })
    };
    Ok(fs::read_dir(root.join(VOLUMES))?.filter_map(Result::ok).filter_map(volume).collect())
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

/// Where things go.
struct Bin<'a> {
    root: &'a Path,
    /// The directory that they are moved to.
    aside: &'a Path,
    /// The number of the next thing moved, for its name.
    number: u64,
    /// Nothing is moved, and everything counts as gone.
    is_dry: bool,
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
        if self.is_dry {
            return Ok(true);
        }
        let Some(moved) = self.moved(path)? else { return Ok(false) };
        if fs::metadata(&moved)?.modified()? < in_use {
            fs::remove_file(moved)?;
            return Ok(true);
        }
        put_back(&moved, path);
        Ok(false)
    }

    /// Removes a layer that no record names; returns whether it is gone.
    fn take_layer(&mut self, name: &str, before: SystemTime) -> io::Result<bool> {
        let path = self.root.join(LAYERS).join(name);
        let Ok(known) = fs::symlink_metadata(&path) else { return Ok(false) };
        if super::made(&known) >= before {
            return Ok(false);
        }
        if !self.is_dry {
            let Some(moved) = self.moved(&path)? else { return Ok(false) };
            fs::remove_dir_all(moved)?;
        }
        Ok(true)
    }

    /// Removes a cache volume; returns whether it is gone, which it is not if a service holds it, or somebody has marked it.
    fn take_volume(&mut self, name: &OsStr, in_use: SystemTime) -> io::Result<bool> {
        let _turn = held::turn(self.root)?;
        let is_used = |root| last_used(root, name).is_some_and(|used| used >= in_use);
        if held::is_held(self.root, name)? || is_used(self.root) {
            return Ok(false);
        }
        if self.is_dry {
            return Ok(true);
        }
        let path = self.root.join(VOLUMES).join(name);
        let Some(moved) = self.moved(&path)? else { return Ok(false) };
        // Steps mark a volume before they mount it, and do not wait for turns.
        if is_used(self.root) {
            put_back(&moved, &path);
            return Ok(false);
        }
        let _ = fs::remove_file(mark_of(self.root, name));
        fs::remove_dir_all(moved)?;
        Ok(true)
    }
}

/// Moves something back, unless there is another by now, which is as good.
fn put_back(moved: &Path, path: &Path) {
    let _ = renameat_with(CWD, moved, CWD, path, RenameFlags::NOREPLACE);
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
    use crate::engine::storage::Tally;
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

    /// What was removed, in all.
    #[derive(Debug)]
    struct Removed {
        entries: u64,
        bytes: u64,
        left: u64,
    }

    fn pruned(store: &Store, what: &Prune) -> Removed {
        let aside = store.scratch().unwrap();
        let tallies = prune(store.root(), &store.root().join(&aside.changes.upper), what).unwrap();
        let sum = |of: fn(&Tally) -> u64| tallies.0.values().map(of).sum();
        let (entries, bytes) = (sum(|tally| tally.removed_entries), sum(|tally| tally.removed_bytes));
        Removed { entries, bytes, left: tallies.left() }
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
        let unused = |hours| Prune::all().unused_for(HOUR * hours);
        assert_eq!(pruned(&store, &unused(5)).entries, 0);
        let removed = pruned(&store, &unused(3));
        assert_eq!((removed.entries, kept(&store)), (2, vec![3, 4]));
        // Their layers are also used by others.
        assert_eq!((removed.bytes / 100_000, layers(&store)), (0, 4));
        assert!(store.step(&key(3)).is_some() && store.step(&key(2)).is_none());
    }

    #[test]
    fn it_goes_on_until_enough_is_free() {
        let (_directory, store) = old_store();
        let all = pruned(&store, &Prune::all().down_to(u64::MAX));
        assert!(all.left >= 400_000 && all.bytes == 0, "{all:?}");
        let removed = pruned(&store, &Prune::all().down_to(300_000));
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
        let removed = pruned(&store, &Prune::all().unused_for(HOUR * 8));
        assert_eq!((removed.entries, removed.bytes / 1_000_000), (1, 1));
        assert!((400_000..600_000).contains(&removed.left), "{removed:?}");
    }

    #[test]
    fn what_a_session_uses_stays() {
        let (directory, store) = old_store();
        let other = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(other.step(&key(2)).is_some());
        let made = keep(&other, 5, &[]);
        let removed = pruned(&store, &Prune::all());
        assert_eq!((removed.entries, kept(&store)), (3, vec![2, 5]));
        assert!(other.step(&key(2)).is_some() && other.has(&made[0]));
        drop(other);
        std::thread::sleep(Duration::from_millis(100));
        let removed = pruned(&store, &Prune::all());
        assert_eq!((removed.entries, removed.left, layers(&store)), (2, 0, 0));
    }

    #[test]
    fn what_was_replaced_goes_once_nobody_uses_it() {
        let (directory, store) = old_store();
        let user = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap();
        let layers_used = user.step(&key(4)).unwrap().layers;
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
        let nothing_old = Prune::all().unused_for(HOUR * 9);
        assert_eq!(pruned(&store, &nothing_old).entries, 0);
        assert!(layers_used.iter().all(|name| user.has(name)));
        drop(user);
        let removed = pruned(&store, &nothing_old);
        assert_eq!((removed.entries, removed.bytes / 100_000), (0, 1));
        assert!(!store.has(&layers_used[1]) && store.has(&layers_used[0]), "the lower one is another's, too");
        assert_eq!(kept(&store), [1, 2, 3, 4]);
    }

    #[test]
    fn a_record_that_is_marked_on_its_way_out_comes_back() {
        let (_directory, store) = old_store();
        let aside = store.scratch().unwrap();
        let aside = store.root().join(&aside.changes.upper);
        let mut bin = Bin { root: store.root(), aside: &aside, number: 0, is_dry: false };
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
    fn a_dry_run_says_the_same_and_removes_nothing() {
        let (_directory, store) = old_store();
        let what = Prune::all().unused_for(HOUR * 2);
        let would = pruned(&store, &what.clone().dry_run());
        assert_eq!((would.entries, kept(&store), layers(&store)), (3, vec![1, 2, 3, 4], 4));
        let removed = pruned(&store, &what);
        assert_eq!((would.entries, would.bytes, would.left), (removed.entries, removed.bytes, removed.left));
        assert_eq!(kept(&store), [4]);
    }

    #[test]
    fn cache_volumes_go_unless_somebody_uses_them() {
        let (directory, store) = old_store();
        let volume = |name: &str, ago| {
            let volume = Store::volume(&name.into());
            fs::create_dir_all(store.root().join(&volume)).unwrap();
            fs::write(store.root().join(&volume).join("x"), vec![0; 10_000]).unwrap();
            store.use_volume(&volume).unwrap();
            let mark = mark_of(store.root(), volume.file_name().unwrap());
            fs::File::open(mark).unwrap().set_modified(SystemTime::now() - ago).unwrap();
            volume
        };
        let [old, young, held, mounted] = ["old", "young", "held", "mounted"]
            .map(|name| volume(name, HOUR * if name == "young" { 1 } else { 9 }));
        let other = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap();
        other.try_hold(&held, "db").unwrap();
        other.use_volume(&mounted).unwrap();
        let there = || [&old, &young, &held, &mounted].map(|volume| store.root().join(volume).exists());
        let results = Prune::all().only([StoredKind::Result]);
        pruned(&store, &results);
        assert_eq!(there(), [true; 4], "nobody asked for them");
        let caches = Prune::all().only([StoredKind::Cache]);
        let removed = pruned(&store, &caches.clone().unused_for(HOUR * 8));
        assert_eq!((there(), removed.entries, removed.bytes / 10_000), ([false, true, true, true], 1, 1));
        drop(other);
        std::thread::sleep(Duration::from_millis(100));
        // What a session held that never made it good is emptied at its end.
        let removed = pruned(&store, &caches);
        assert!(removed.entries >= 2 && removed.left == 0, "{removed:?}");
        assert_eq!(there(), [false; 4]);
        assert_eq!(fs::read_dir(store.root().join(super::super::USED)).unwrap().count(), 0);
    }

    #[test]
    fn what_is_stale_goes_too() {
        let (_directory, store) = old_store();
        let place = |name: &str| store.root().join(name);
        for name in ["downloads/old", "downloads/new", "references/broken.json", "packed/gone.json"] {
            fs::write(place(name), "x").unwrap();
        }
        fs::File::open(place("downloads/old")).unwrap().set_modified(SystemTime::now() - HOUR).unwrap();
        pruned(&store, &Prune::all().unused_for(HOUR * 9));
        let there = ["downloads/old", "downloads/new", "references/broken.json", "packed/gone.json"];
        assert_eq!(there.map(|name| place(name).exists()), [false, true, false, false]);
    }
}
