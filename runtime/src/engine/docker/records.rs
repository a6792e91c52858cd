//! Records of results on this machine: the output of every step that succeeded, with the run that it is of, and the runs
//! that it was made of. A look-up is a look at files, and asks the engine nothing.
//!
//! They are in `docker/<engine>` of the user's directory, by the engine's own id. Nothing that goes wrong here fails a step:
//! what cannot be recorded is kept as an image, which has the output too.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::cost::Cost;
pub(super) use self::file::{Facts, Record};
use crate::engine::runs::Runs;
use crate::home;
use crate::model::{Digest, Provenance};

mod cost;
mod file;
#[cfg(test)]
mod tests;

/// What was not used for this long is removed, and the least recently used of more than this.
const UNUSED: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const AT_MOST: u64 = 4 << 30;

/// A session's access to the records.
pub(super) struct Records {
    /// Where those of this engine are, whether or not it exists; `None` if there can be none.
    directory: Option<PathBuf>,
    runs: Runs,
    cost: Cost,
    has_thinned_out: AtomicBool,
    has_complained: AtomicBool,
}

impl Records {
    /// Those of the engine with this id, in the user's directory. Without either nothing is recorded.
    pub(super) fn new(home: Option<PathBuf>, engine: &str) -> Self {
        let home = home.filter(|_| !engine.is_empty());
        Self {
            directory: home.map(|home| home.join("docker").join(home::notes::key(engine.as_bytes()))),
            runs: Runs::default(),
            cost: Cost::default(),
            has_thinned_out: AtomicBool::new(false),
            has_complained: AtomicBool::new(false),
        }
    }

    pub(super) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Finds the record of a key, unless something that it was made of has been run again since.
    pub(super) fn find(&self, directory: &Path, key: &Digest) -> Option<Record> {
        let record = Record::read(&path(directory, key), key)?;
        self.accept(Some(directory), key, &record.facts.from).then_some(record)
    }

    /// Whether nothing that a result was made of has been run again since; then this session sees the result's run.
    pub(super) fn accept(&self, directory: Option<&Path>, key: &Digest, from: &Provenance) -> bool {
        self.runs.accept(key, from, |key| recorded(directory?, key))
    }

    /// Whether it still is so of a result that was accepted.
    pub(super) fn is_current(&self, from: &Provenance) -> bool {
        self.runs.is_current(&from.made_of, |key| recorded(self.directory()?, key))
    }

    /// As [`learn`](Self::learn). Says whether the session may have results that do not count any more.
    pub(super) fn see(&self, key: &Digest, from: &Provenance) -> bool {
        self.runs.see(key, from)
    }

    /// Takes note of the run that this session sees.
    pub(super) fn learn(&self, key: &Digest, from: &Provenance) {
        self.runs.learn(key, &from.run, &from.made_of);
    }

    /// Records a result in the place of an earlier one.
    pub(super) fn put(&self, directory: &Path, record: &Record) -> std::io::Result<()> {
        home::make(directory)?;
        record.write(&path(directory, &record.facts.key))?;
        if !self.has_thinned_out.swap(true, Ordering::Relaxed) {
            home::thin_out(directory, UNUSED, AT_MOST);
        }
        Ok(())
    }

    /// The warning that results cannot be recorded, the first time.
    pub(super) fn complain(&self, error: &std::io::Error) -> Option<String> {
        // The user's directory, which they know.
        let home = self.directory.as_deref().and_then(|directory| directory.ancestors().nth(2));
        let place = home.unwrap_or(Path::new("")).display();
        (!self.has_complained.swap(true, Ordering::Relaxed)).then(|| {
            format!(
                "results cannot be recorded in `{place}`, so all of them are kept as images: {error}\n\nhelp: name a directory \
                 that can be written to in BOWLINE_HOME"
            )
        })
    }

    /// How long keeping a file system takes on this engine.
    pub(super) fn keeping(&self, directory: &Path) -> Duration {
        self.cost.estimate(directory)
    }

    /// Takes note of how long that took.
    pub(super) fn kept_in(&self, directory: Option<&Path>, took: Duration) {
        self.cost.learn(directory, took);
    }
}

/// Where the result is from that is recorded under a key.
fn recorded(directory: &Path, key: &Digest) -> Option<Provenance> {
    Some(Record::glance(&path(directory, key), key)?.from)
}

const SUFFIX: &str = "step";

fn path(directory: &Path, key: &Digest) -> PathBuf {
    directory.join(format!("{key}.{SUFFIX}"))
}

/// All records, with the keys of their names.
pub(super) fn all(directory: &Path) -> Vec<(Digest, PathBuf, Metadata)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let record = |entry: fs::DirEntry| {
        let path = entry.path();
        let key = path.file_stem().filter(|_| path.extension().is_some_and(|suffix| suffix == SUFFIX))?;
        Some((key.to_str()?.parse().ok()?, path.clone(), entry.metadata().ok().filter(Metadata::is_file)?))
    };
    entries.filter_map(record).collect()
}
