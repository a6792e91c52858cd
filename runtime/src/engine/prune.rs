//! What is on the disk for later runs, and its removal.

use std::fmt;
use std::sync::Arc;

use super::Engine;
use super::choice;
use super::storage::{Prune, StoredKind, Tallies, Tally};
use crate::Result;
use crate::model::SessionId;

mod background;

pub(crate) use self::background::{keep_small, wanted as kept_size};

/// What is there of one kind: a part of what [`usage`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KindUsage {
    /// How many there are.
    pub entries: u64,
    /// The bytes that they have on the disk. What several have, as layers, counts once.
    pub bytes: u64,
    /// The bytes that [`prune`] would free now: those of what is not in use.
    pub reclaimable: u64,
}

/// What an engine keeps on the disk for later runs: made by [`usage`], and read by printing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    engine: &'static str,
    tallies: Tallies,
}

impl Usage {
    /// The engine that it is of: `docker` or `native`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// What there is of one kind.
    #[must_use]
    pub fn of(&self, kind: StoredKind) -> KindUsage {
        let Tally { entries, bytes, removed_bytes, .. } =
            self.tallies.0.get(&kind).copied().unwrap_or_default();
        KindUsage { entries, bytes, reclaimable: removed_bytes }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:>7} {:>10} {:>12}", self.engine, "number", "MB", "not in use")?;
        for kind in StoredKind::ALL {
            let KindUsage { entries, bytes, reclaimable } = self.of(kind);
            write!(f, "\n{kind:<8} {entries:>7} {:>10} {:>12}", megabytes(bytes), megabytes(reclaimable))?;
        }
        Ok(())
    }
}

/// What [`prune`] removed, or would remove in a [dry run](Prune::dry_run).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The number of images, results and cache volumes.
    pub entries: u64,
    /// The bytes that this freed on the disk.
    pub bytes: u64,
    /// The bytes that are left, of the kinds that were asked for.
    pub left: u64,
    is_dry: bool,
    tallies: Tallies,
}

impl Pruned {
    fn new(tallies: Tallies, is_dry: bool) -> Self {
        Self {
            entries: tallies.0.values().map(|tally| tally.removed_entries).sum(),
            bytes: tallies.0.values().map(|tally| tally.removed_bytes).sum(),
            left: tallies.left(),
            is_dry,
            tallies,
        }
    }

    /// How many of one kind were removed, and the bytes that this freed.
    #[must_use]
    pub fn of(&self, kind: StoredKind) -> (u64, u64) {
        let tally = self.tallies.0.get(&kind).copied().unwrap_or_default();
        (tally.removed_entries, tally.removed_bytes)
    }
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_dry { "would remove " } else { "removed " })?;
        let kinds: Vec<String> = self
            .tallies
            .0
            .iter()
            .filter(|(_, tally)| tally.removed_entries > 0)
            .map(|(kind, tally)| {
                let MegaBytes(bytes) = megabytes(tally.removed_bytes);
                let noun =
                    if tally.removed_entries == 1 { kind.word().trim_end_matches('s') } else { kind.word() };
                format!("{} {noun} ({bytes} MB)", tally.removed_entries)
            })
            .collect();
        let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
        let would = if self.is_dry { "would be" } else { "are" };
        write!(f, "{kinds}, {} MB in all; {} MB {would} left", megabytes(self.bytes), megabytes(self.left))
    }
}

/// Bytes, rounded up: what is there is not nothing.
struct MegaBytes(u64);

fn megabytes(bytes: u64) -> MegaBytes {
    MegaBytes(bytes.div_ceil(1_000_000))
}

impl fmt::Display for MegaBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Finds what the engine that pipelines run on here keeps on the disk for later runs, by kind. It removes nothing.
///
/// ```no_run
/// # async fn looking() -> bowline::Result<()> {
/// use bowline::StoredKind;
///
/// let usage = bowline::usage().await?;
/// eprintln!("{usage}");
/// let caches = usage.of(StoredKind::Cache);
/// eprintln!("{} cache volumes have {} bytes", caches.entries, caches.bytes);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As of [`prune`].
pub async fn usage() -> Result<Usage> {
    let engine = Box::pin(open(None)).await?;
    let found = engine.prune(&Prune::all().dry_run()).await;
    let name = engine.describe().name;
    engine.close().await?;
    Ok(Usage { engine: name, tallies: found? })
}

/// Removes images, results and cache volumes that the engine which pipelines run on here keeps for later runs, the least
/// recently used first. What is removed is made, pulled or filled again when a pipeline needs it.
///
/// It never removes what may be in use: what was used since the oldest session that runs on this machine (with this
/// `BOWLINE_HOME`) began, what any container has, and caches that services of whatever session hold. With Docker it takes
/// only what pipelines made, by its name and labels: images named `bowline/…`, volumes with the label `bowline.cache`, and
/// what is recorded of results in `$BOWLINE_HOME/docker`. When something was used last is known on the machine, and with the
/// `BOWLINE_HOME`, that used it; of others' it is the time at which it was made.
///
/// # Errors
/// [`EngineUnreachable`](crate::Error::EngineUnreachable) if no engine can run here,
/// [`Engine`](crate::Error::Engine) if something cannot be removed.
pub async fn prune(what: Prune) -> Result<Pruned> {
    Box::pin(prune_on(None, &what)).await
}

/// The same of an engine by its name.
async fn prune_on(engine: Option<&str>, what: &Prune) -> Result<Pruned> {
    let engine = open(engine).await?;
    let removed = engine.prune(what).await;
    engine.close().await?;
    Ok(Pruned::new(removed?, what.is_dry()))
}

async fn open(engine: Option<&str>) -> Result<Arc<dyn Engine>> {
    choice::open(&SessionId::random(), engine).await
}
