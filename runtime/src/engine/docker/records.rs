//! Records of results on this machine: the output of every step that succeeded, with the run that it is of, and the runs
//! that it was made of. A look-up is a look at files, and asks the engine nothing.
//!
//! They are in `docker/<engine>` of the user's directory, by the engine's own id, which is remembered for a day by the
//! engine's address. Nothing that goes wrong here fails a step: what cannot be recorded is kept as an image, which has the
//! output too.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;

use self::cost::Cost;
pub(super) use self::file::{Facts, Record};
use super::failure::{BRIEF, within};
use crate::lock::lock;
use crate::model::{Digest, MadeOf, RunId};
use crate::sha256::Sha256;
use crate::staging::AtomicFile;
use crate::{home, regular};

mod cost;
mod file;
#[cfg(test)]
mod tests;

/// What was not used for this long is removed, and the least recently used of more than this.
const UNUSED: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const AT_MOST: u64 = 4 << 30;
/// How long an engine's id is believed to be that of its address.
const ID_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// The size limit of an id, of which moby's have 59 or 36 characters.
const ID_AT_MOST: u64 = 1 << 10;

/// A session's access to the records.
pub(super) struct Records {
    /// The user's directory; `None` to record nothing.
    home: Option<PathBuf>,
    /// Where those of this engine are, once it was asked for.
    directory: OnceCell<Option<PathBuf>>,
    /// Which runs this session knows, and what they were made of: it sees one run of a step, whatever others do.
    known: Mutex<HashMap<Digest, Known>>,
    cost: Cost,
    has_thinned_out: AtomicBool,
    has_complained: AtomicBool,
}

#[derive(Clone)]
struct Known {
    run: RunId,
    made_of: Arc<[MadeOf]>,
}

impl Records {
    pub(super) fn new(home: Option<PathBuf>) -> Self {
        Self {
            home,
            directory: OnceCell::new(),
            known: Mutex::default(),
            cost: Cost::default(),
            has_thinned_out: AtomicBool::new(false),
            has_complained: AtomicBool::new(false),
        }
    }

    /// The directory of this engine's records, whether or not it exists; `None` if there can be none.
    pub(super) async fn directory(&self, client: &bollard::Docker, address: &str) -> Option<&Path> {
        let find = || async {
            let home = self.home.as_ref()?.join("docker");
            let id = engine_id(&home, client, address).await?;
            Some(home.join(short(id.as_bytes())))
        };
        self.directory.get_or_init(find).await.as_deref()
    }

    /// Finds the record of a key, unless something that it was made of has been run again since.
    pub(super) fn find(&self, directory: &Path, key: &Digest) -> Option<Record> {
        let record = Record::read(&path(directory, key), key)?;
        let Facts { run, made_of, .. } = &record.facts;
        self.accept(Some(directory), key, run, made_of).then_some(record)
    }

    /// Whether nothing that a result was made of has been run again since; then this session knows the result's run.
    pub(super) fn accept(
        &self,
        directory: Option<&Path>,
        key: &Digest,
        run: &RunId,
        made_of: &[MadeOf],
    ) -> bool {
        let is_current = self.is_current(directory, made_of);
        if is_current {
            self.learn(key, run, made_of);
        }
        is_current
    }

    /// Of whatever is not recorded nobody knows another run.
    fn is_current(&self, directory: Option<&Path>, made_of: &[MadeOf]) -> bool {
        let mut open = made_of.to_vec();
        let mut seen = HashSet::new();
        while let Some(part) = open.pop() {
            if seen.contains(&part) {
                continue;
            }
            let known = lock(&self.known).get(&part.key).cloned();
            let known = known.or_else(|| {
                let facts = Record::glance(&path(directory?, &part.key), &part.key)?;
                let known = Known { run: facts.run, made_of: facts.made_of.into() };
                lock(&self.known).insert(part.key, known.clone());
                Some(known)
            });
            if let Some(known) = known {
                if known.run != part.run {
                    return false;
                }
                open.extend(known.made_of.iter().cloned());
            }
            seen.insert(part);
        }
        true
    }

    /// Takes note of the run that this session sees.
    pub(super) fn learn(&self, key: &Digest, run: &RunId, made_of: &[MadeOf]) {
        lock(&self.known).insert(*key, Known { run: run.clone(), made_of: made_of.into() });
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
        let place = self.home.as_deref().unwrap_or(Path::new("")).display();
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

fn path(directory: &Path, key: &Digest) -> PathBuf {
    directory.join(format!("{key}.step"))
}

/// A name for a file that stands for something of any length.
fn short(text: &[u8]) -> String {
    format!("{:.32}", Digest(Sha256::digest(text)))
}

/// The engine's own id, which it is asked for once a day. An address may lead to another engine meanwhile, whose results are
/// as good: files are looked for where they are needed.
async fn engine_id(home: &Path, client: &bollard::Docker, address: &str) -> Option<String> {
    let path = home.join("engines").join(short(address.as_bytes()));
    let read = || {
        let text = regular::read(&path, ID_AT_MOST).ok()?;
        let metadata = std::fs::metadata(&path).ok().filter(home::is_ours)?;
        let age = metadata.modified().ok()?.elapsed().unwrap_or_default();
        Some((String::from_utf8(text).ok().filter(|id| !id.is_empty())?, age))
    };
    let known = read();
    if let Some((id, _)) = known.as_ref().filter(|(_, age)| *age < ID_FOR) {
        return Some(id.clone());
    }
    let said = within(BRIEF, client.info()).await.ok().and_then(|info| info.id);
    let Some(id) = said.filter(|id| !id.is_empty()) else { return known.map(|(id, _)| id) };
    // It is asked again if it cannot be remembered.
    let _ = home::make(&home.join("engines")).and_then(|()| {
        let mut staged = AtomicFile::create(&path)?;
        std::io::Write::write_all(&mut staged.file, id.as_bytes())?;
        staged.commit(&path)
    });
    Some(id)
}
