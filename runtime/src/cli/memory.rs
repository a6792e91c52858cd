//! What the results of a program's steps were made of when it had them last, kept between its runs.
//!
//! In `explained`, in the directory of everything that pipelines keep: a directory for each program, with a file for each
//! item, and one for each directory of this machine that an item takes. What is old makes room for what is new.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::place::{self, PROGRAMS};
use crate::graph::{Contents, Ingredients};
use crate::home::{self, notes};
use crate::lock::lock;

/// The directory for all programs.
const KIND: &str = "explained";
/// The most files of a program.
const FILES: usize = 1000;
/// Of a directory with more files than this it is only remembered whether it has changed.
const LISTED: usize = 20_000;

/// The steps of an item, by their number.
type Steps = BTreeMap<usize, Ingredients>;
/// The files of a directory: the path of each, and the start of a hash of its contents.
type Listing = BTreeMap<String, String>;

/// What is remembered of one program.
#[derive(Debug)]
pub(super) struct Memory {
    directory: PathBuf,
    /// What there has been in this run, and is not written yet.
    seen: Mutex<Seen>,
    /// What was read of the runs before.
    before: Mutex<BTreeMap<String, Steps>>,
}

#[derive(Debug, Default)]
struct Seen {
    items: BTreeMap<String, Steps>,
    listings: BTreeMap<String, Listing>,
}

impl Memory {
    /// That of this program, by its path.
    pub(super) fn of_program() -> Arc<Self> {
        Self::at(place::of_program(KIND))
    }

    fn at(directory: PathBuf) -> Arc<Self> {
        Arc::new(Self { directory, seen: Mutex::default(), before: Mutex::default() })
    }

    /// What a step was made of when it had a result last.
    pub(super) fn step(&self, item: &str, number: usize) -> Option<Ingredients> {
        let before = &mut *lock(&self.before);
        let steps = before
            .entry(item.to_owned())
            .or_insert_with(|| notes::read::<Steps>(&self.item(item)).unwrap_or_default());
        steps.get(&number).cloned()
    }

    /// Which files of a directory are others than they were: at most this many, and how many there are. `None` if that is not
    /// known.
    pub(super) fn changed_files(
        &self,
        before: &str,
        contents: &dyn Contents,
        most: usize,
    ) -> Option<(Vec<String>, usize)> {
        let then = notes::read::<Listing>(&self.listing(before))?;
        let now: Listing = contents.files(LISTED)?.into_iter().collect();
        let changed = now.iter().filter(|(path, hash)| then.get(*path) != Some(hash)).map(|(path, _)| path);
        let gone = then.keys().filter(|path| !now.contains_key(*path));
        let mut all: Vec<String> = changed.chain(gone).cloned().collect();
        let count = all.len();
        all.truncate(most);
        Some((all, count))
    }

    /// A step of an item has a result.
    pub(super) fn remember(
        &self,
        item: &str,
        number: usize,
        made_of: Ingredients,
        contents: &[Arc<dyn Contents>],
    ) {
        let listed: Vec<(String, Listing)> = made_of
            .sources
            .iter()
            .zip(contents)
            .filter(|((_, digest), _)| !lock(&self.seen).listings.contains_key(digest))
            .filter_map(|((_, digest), contents)| {
                Some((digest.clone(), contents.files(LISTED)?.into_iter().collect()))
            })
            .collect();
        let seen = &mut *lock(&self.seen);
        seen.listings.extend(listed);
        seen.items.entry(item.to_owned()).or_default().insert(number, made_of);
    }

    fn item(&self, item: &str) -> PathBuf {
        self.directory.join(format!("{}.item", notes::key(item.as_bytes())))
    }

    fn listing(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{}.files", notes::key(digest.as_bytes())))
    }

    /// Writes what there has been. Of what cannot be written the next run knows less.
    pub(super) fn keep(&self) {
        let Seen { items, listings } = std::mem::take(&mut *lock(&self.seen));
        lock(&self.before).clear();
        if items.is_empty() || home::private(&self.directory).is_err() {
            return;
        }
        for (item, steps) in items {
            let path = self.item(&item);
            // Steps that this run did not come to are remembered as they were.
            let mut all = notes::read::<Steps>(&path).unwrap_or_default();
            all.extend(steps);
            let _ = notes::write(&path, &all);
        }
        for (digest, listing) in listings {
            let _ = notes::write(&self.listing(&digest), &listing);
        }
        notes::thin_out(&self.directory, FILES, |path| fs::remove_file(path));
        if let Some(all) = self.directory.parent() {
            // That this one is used is seen by its time.
            let _ = fs::File::open(&self.directory).and_then(|file| file.set_modified(SystemTime::now()));
            notes::thin_out(all, PROGRAMS, |path| fs::remove_dir_all(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Digest;

    #[derive(Debug)]
    struct Files(Vec<(&'static str, &'static str)>);

    impl Contents for Files {
        fn digest(&self, _: &str) -> Digest {
            Digest([0; 32])
        }

        fn files(&self, most: usize) -> Option<Vec<(String, String)>> {
            let files = self.0.iter().map(|(path, hash)| ((*path).to_owned(), (*hash).to_owned()));
            (self.0.len() <= most).then(|| files.collect())
        }
    }

    fn made_of(key: &str, source: &str) -> Ingredients {
        let value =
            serde_json::json!({"key": key, "parts": [], "fields": [], "sources": [["./src", source]]});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_was_remembered_is_found_by_the_next_run_of_the_same_program() {
        let home = tempfile::tempdir().unwrap();
        let first = Memory::at(place::of(home.path(), KIND, Path::new("/bin/ci")));
        let then: Arc<dyn Contents> = Arc::new(Files(vec![("a", "1"), ("b", "1"), ("gone", "1")]));
        first.remember("test", 1, made_of("one", "tree"), &[then]);
        first.remember("test", 2, made_of("two", "other"), &[]);
        first.keep();
        let next = Memory::at(place::of(home.path(), KIND, Path::new("/bin/ci")));
        assert_eq!(next.step("test", 1), Some(made_of("one", "tree")));
        assert_eq!(next.step("test", 3), None);
        assert_eq!(next.step("lint", 1), None);
        assert_eq!(Memory::at(place::of(home.path(), KIND, Path::new("/bin/other"))).step("test", 1), None);
        let now = Files(vec![("a", "1"), ("b", "2"), ("new", "1")]);
        let (changed, count) = next.changed_files("tree", &now, 2).unwrap();
        assert_eq!((changed, count), (vec!["b".to_owned(), "new".to_owned()], 3));
        assert!(next.changed_files("unknown", &now, 2).is_none());
        // What the next run does not come to stays.
        next.remember("test", 2, made_of("three", "other"), &[]);
        next.keep();
        assert_eq!(next.step("test", 1), Some(made_of("one", "tree")));
        assert_eq!(next.step("test", 2), Some(made_of("three", "other")));
    }

    #[test]
    fn what_is_broken_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let memory = Memory::at(place::of(home.path(), KIND, Path::new("/bin/ci")));
        memory.remember("test", 1, made_of("one", "tree"), &[]);
        memory.keep();
        fs::write(memory.item("test"), "{").unwrap();
        assert_eq!(memory.step("test", 1), None);
    }
}
