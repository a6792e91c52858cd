//! Results of steps: their output is always recorded; their files are kept as images when somebody needs them, or when making
//! them took longer than keeping them.
//!
//! Until then the files are in the container that the step ran in, which is there as long as the session. Whoever needs them
//! meanwhile, in whatever process, makes the image.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::chain::{self, Between, Chain};
use super::held::HeldRun;
use super::keep::{self, Image};
use super::records::{Facts, Record};
use super::{Shared, held};
use crate::Result;
use crate::engine::blocking::blocking;
use crate::engine::{Call, Choice, Claim, Files, Kept, Recording, Stored, TakeOver};
use crate::model::{Digest, MadeOf, Provenance, RunId, Snapshot};

/// What a run may cost that would make files again which were not kept, where each single process takes less than keeping
/// them.
const AGAIN_AT_MOST: Duration = Duration::from_secs(5);

/// More than a command takes in a chain that does nothing.
const NOTHING_TAKES: Duration = Duration::from_millis(250);

/// How often a lock is tried again.
#[cfg(unix)]
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Finds a result: as it is recorded on this machine, else as an image.
pub(super) async fn lookup(shared: &Arc<Shared>, key: &Digest) -> Result<Option<Kept>> {
    let directory = shared.records_at();
    if let Some(directory) = directory {
        shared.living.begin(directory, &shared.session);
        if let Some(kept) = recorded(shared, directory, key).await {
            return Ok(Some(kept));
        }
    }
    let Some(Image { snapshot, output, from }) = keep::find(shared, key).await? else {
        return Ok(None);
    };
    let is_current = shared.records.accept(directory, key, &from);
    Ok(is_current.then(|| Kept { output, from, files: Arc::new(snapshot) }))
}

/// The same for who has looked before: whoever could have held the claim meanwhile records what it stores, where the locks
/// are that claims are made of.
pub(super) async fn lookup_anew(shared: &Arc<Shared>, key: &Digest) -> Result<Option<Kept>> {
    match shared.records_at() {
        Some(directory) => Ok(recorded(shared, directory, key).await),
        None => lookup(shared, key).await,
    }
}

async fn recorded(shared: &Arc<Shared>, directory: &Path, key: &Digest) -> Option<Kept> {
    let (owned, directory, wanted) = (Arc::clone(shared), directory.to_owned(), *key);
    // Output may be long, and all of it is checked.
    let find = move || owned.records.find(&directory, &wanted);
    let Record { facts, output } = tokio::task::spawn_blocking(find).await.unwrap_or(None)?;
    let from = facts.from.clone();
    let files = Arc::new(LeftFiles::new(shared, facts, output.clone()));
    Some(Kept { output, from, files })
}

/// A step that has succeeded.
pub(super) struct Succeeded {
    pub(super) left: Left,
    pub(super) run: RunId,
    /// How long its process took, and with those before it that would have to run again too.
    pub(super) took: Duration,
    pub(super) again: Duration,
}

/// Where the files are that a step left.
pub(super) enum Left {
    Held(HeldRun),
    /// In a chain, which the next step takes over. The name is that of the step.
    InChain(Chain, String),
}

/// Records what a step wrote, and keeps its files if that is worth it.
pub(super) async fn keep(
    shared: &Arc<Shared>,
    step: Succeeded,
    key: Digest,
    output: Recording,
    made_of: Vec<MadeOf>,
) -> Result<Stored> {
    let Succeeded { left, run, took, again } = step;
    let directory = shared.records_at().map(Path::to_owned);
    let keeping = directory.as_deref().map(|directory| shared.records.keeping(directory)).unwrap_or_default();
    let from = Provenance::now(run.clone(), made_of);
    shared.records.learn(&key, &from);
    let record = Record { facts: Facts::new(key, from, took, keeping), output };
    let least = match &left {
        Left::Held(_) => keeping,
        // Most of what a command takes that does nothing is the engine's.
        Left::InChain(..) => keeping.max(NOTHING_TAKES),
    };
    match left {
        Left::Held(container) => held::hold_run(shared, &run, container),
        Left::InChain(chain, name) => {
            let (facts, output) = (record.facts.clone(), record.output.clone());
            chain::wait(shared, Between { chain, name, facts, output });
        }
    }
    let files = Arc::new(LeftFiles::new(shared, record.facts.clone(), record.output.clone()));
    let recorded = match directory {
        Some(directory) => {
            let owned = Arc::clone(shared);
            Some(blocking(move || owned.records.put(&directory, &record)).await)
        }
        None => None,
    };
    let is_recorded = matches!(recorded, Some(Ok(())));
    let keeps_files = !is_recorded || took > least || again > keeping.max(AGAIN_AT_MOST);
    if keeps_files {
        files.snapshot().await?;
    }
    Ok(Stored {
        files,
        choice: is_recorded.then_some(Choice { keeps_files, took, keeping }),
        warning: recorded
            .and_then(std::result::Result::err)
            .and_then(|error| shared.records.complain(&error)),
    })
}

/// The files that a run left.
struct LeftFiles {
    shared: Arc<Shared>,
    facts: Facts,
    /// An image has it too, for other machines.
    output: Recording,
    /// The image, once it was found or made.
    image: OnceLock<Snapshot>,
}

impl fmt::Debug for LeftFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeftFiles")
            .field("key", &self.facts.key)
            .field("run", &self.facts.from.run)
            .finish_non_exhaustive()
    }
}

impl LeftFiles {
    fn new(shared: &Arc<Shared>, facts: Facts, output: Recording) -> Self {
        Self { shared: Arc::clone(shared), facts, output, image: OnceLock::new() }
    }

    async fn find_or_keep(&self) -> Result<Option<Snapshot>> {
        let Self { shared, facts: Facts { key, from: Provenance { run, .. }, .. }, .. } = self;
        if let Some(found) = keep::image_of(shared, key, run).await? {
            return Ok(Some(found));
        }
        // One of all sessions makes the image.
        let _turn = turn(shared, &format!("{}.files", run.as_str()), &|| {}).await;
        if let Some(found) = keep::image_of(shared, key, run).await? {
            return Ok(Some(found));
        }
        if let Some(kept) = chain::keep(shared, run).await? {
            return Ok(Some(kept));
        }
        let container = match held::run(shared, run) {
            Some(own) => own,
            None => match held::run_elsewhere(shared, run).await? {
                Some(other) => Arc::new(other),
                None => return Ok(None),
            },
        };
        let began = Instant::now();
        let kept = match keep::keep(shared, &container, &self.facts, &self.output).await {
            Ok(kept) => kept,
            // Its session has ended meanwhile, and took it away.
            Err(_) if container.is_elsewhere() => return Ok(None),
            Err(error) => return Err(error),
        };
        shared.records.kept_in(shared.records_at(), began.elapsed());
        held::release_run(shared, run);
        Ok(Some(kept))
    }
}

impl Files for LeftFiles {
    fn snapshot(&self) -> Call<'_, Option<Snapshot>> {
        Box::pin(async {
            if let Some(image) = self.image.get() {
                return Ok(Some(image.clone()));
            }
            let image = self.find_or_keep().await?;
            Ok(image.map(|image| self.image.get_or_init(|| image).clone()))
        })
    }

    fn take_over(&self, how: TakeOver) -> Call<'_, Option<Snapshot>> {
        Box::pin(async move {
            if how == TakeOver::Kept {
                self.snapshot().await?;
            }
            match chain::take_over(&self.shared, &self.facts.from.run).await {
                Some(taken) => Ok(Some(taken)),
                None => self.snapshot().await,
            }
        })
    }

    fn kept(&self) -> Call<'_, Option<Snapshot>> {
        Box::pin(async {
            match self.image.get() {
                Some(image) => Ok(Some(image.clone())),
                None => keep::image_of(&self.shared, &self.facts.key, &self.facts.from.run).await,
            }
        })
    }

    fn unkept(&self) -> Call<'_, Option<Choice>> {
        Box::pin(async {
            let Self { shared, facts, image, .. } = self;
            let is_there = image.get().is_some()
                || held::run(shared, &facts.from.run).is_some()
                || chain::is_waiting(shared, &facts.from.run)
                || keep::image_of(shared, &facts.key, &facts.from.run).await?.is_some();
            let Facts { took, keeping, .. } = *facts;
            Ok((!is_there).then_some(Choice { keeps_files: took > keeping, took, keeping }))
        })
    }
}

/// Claims the right to run a step.
pub(super) async fn claim(
    shared: &Arc<Shared>,
    key: &Digest,
    limit: Option<Duration>,
    waiting: &(dyn Fn() + Sync),
) -> Claim {
    // Runs with different timeouts do not wait for each other.
    let name = format!("{key}-{}", limit.unwrap_or_default().as_nanos());
    turn(shared, &name, waiting).await
}

/// Waits until nobody else has the lock of this name, in this process or another. Where there can be no lock, it is
/// granted.
#[cfg(unix)]
async fn turn(shared: &Shared, name: &str, waiting: &(dyn Fn() + Sync)) -> Claim {
    let Some(directory) = shared.records_at() else { return Claim::granted() };
    if crate::home::make(directory).is_err() {
        return Claim::granted();
    }
    let path = directory.join(format!("{name}.lock"));
    let mut tell = Some(waiting);
    loop {
        match crate::flock::FileLock::try_new(&path) {
            Ok(Some(lock)) => return Claim::new(lock),
            Ok(None) => {}
            Err(_) => return Claim::granted(),
        }
        if let Some(tell) = tell.take() {
            tell();
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

#[cfg(not(unix))]
#[allow(clippy::unused_async, reason = "as the one with locks")]
async fn turn(_: &Shared, _: &str, _: &(dyn Fn() + Sync)) -> Claim {
    Claim::granted()
}
