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

use super::held::HeldRun;
use super::keep::{self, Image};
use super::records::{Facts, Record};
use super::{Shared, held};
use crate::Result;
use crate::engine::{Call, Choice, Claim, Files, Kept, Recording, Stored};
use crate::model::{Digest, MadeOf, RunId, Snapshot};

/// How often a lock is tried again.
#[cfg(unix)]
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Finds a result: as it is recorded on this machine, else as an image.
pub(super) async fn lookup(shared: &Arc<Shared>, key: &Digest) -> Result<Option<Kept>> {
    let directory = shared.records_at();
    if let Some(directory) = directory {
        let (owned, directory, wanted) = (Arc::clone(shared), directory.to_owned(), *key);
        // Output may be long, and all of it is checked.
        let find = move || owned.records.find(&directory, &wanted);
        if let Some(Record { facts, output }) = tokio::task::spawn_blocking(find).await.unwrap_or(None) {
            let (run, made_of) = (facts.run.clone(), facts.made_of.clone());
            let files = Arc::new(Left::new(shared, facts, output.clone()));
            return Ok(Some(Kept { output, run, made_of, files }));
        }
    }
    let Some(Image { snapshot, output, run, made_of }) = keep::find(shared, key).await? else {
        return Ok(None);
    };
    let is_current = shared.records.accept(directory, key, &run, &made_of);
    Ok(is_current.then(|| Kept { output, run, made_of, files: Arc::new(snapshot) }))
}

/// A step that has succeeded.
pub(super) struct Succeeded {
    pub(super) container: HeldRun,
    pub(super) run: RunId,
    /// How long its process took.
    pub(super) took: Duration,
}

/// Records what a step wrote, and keeps its files if that is worth it.
pub(super) async fn keep(
    shared: &Arc<Shared>,
    step: Succeeded,
    key: Digest,
    output: Recording,
    made_of: Vec<MadeOf>,
) -> Result<Stored> {
    let Succeeded { container, run, took } = step;
    let directory = shared.records_at().map(Path::to_owned);
    let keeping = directory.as_deref().map(|directory| shared.records.keeping(directory)).unwrap_or_default();
    let record = Record { facts: Facts::new(key, run.clone(), made_of, took, keeping), output };
    shared.records.learn(&key, &run, &record.facts.made_of);
    held::hold_run(shared, &run, container);
    let files = Arc::new(Left::new(shared, record.facts.clone(), record.output.clone()));
    let recorded = match directory {
        Some(directory) => {
            let owned = Arc::clone(shared);
            let put = move || owned.records.put(&directory, &record);
            let put = tokio::task::spawn_blocking(put).await;
            Some(put.unwrap_or_else(|error| Err(std::io::Error::other(error))))
        }
        None => None,
    };
    let is_recorded = matches!(recorded, Some(Ok(())));
    let keeps_files = !is_recorded || took > keeping;
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
struct Left {
    shared: Arc<Shared>,
    facts: Facts,
    /// An image has it too, for other machines.
    output: Recording,
    /// The image, once it was found or made.
    image: OnceLock<Snapshot>,
}

impl fmt::Debug for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Left")
            .field("key", &self.facts.key)
            .field("run", &self.facts.run)
            .finish_non_exhaustive()
    }
}

impl Left {
    fn new(shared: &Arc<Shared>, facts: Facts, output: Recording) -> Self {
        Self { shared: Arc::clone(shared), facts, output, image: OnceLock::new() }
    }

    async fn find_or_keep(&self) -> Result<Option<Snapshot>> {
        let Self { shared, facts: Facts { key, run, .. }, .. } = self;
        if let Some(found) = keep::image_of(shared, key, run).await? {
            return Ok(Some(found));
        }
        // One of all sessions makes the image.
        let _turn = turn(shared, &format!("{}.files", run.as_str()), &|| {}).await;
        if let Some(found) = keep::image_of(shared, key, run).await? {
            return Ok(Some(found));
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

impl Files for Left {
    fn snapshot(&self) -> Call<'_, Option<Snapshot>> {
        Box::pin(async {
            if let Some(image) = self.image.get() {
                return Ok(Some(image.clone()));
            }
            let image = self.find_or_keep().await?;
            Ok(image.map(|image| self.image.get_or_init(|| image).clone()))
        })
    }

    fn kept(&self) -> Call<'_, Option<Snapshot>> {
        Box::pin(async {
            match self.image.get() {
                Some(image) => Ok(Some(image.clone())),
                None => keep::image_of(&self.shared, &self.facts.key, &self.facts.run).await,
            }
        })
    }

    fn unkept(&self) -> Call<'_, Option<Choice>> {
        Box::pin(async {
            let Self { shared, facts, image, .. } = self;
            let is_there = image.get().is_some()
                || held::run(shared, &facts.run).is_some()
                || keep::image_of(shared, &facts.key, &facts.run).await?.is_some();
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
