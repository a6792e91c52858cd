//! Removal of what the native engine stores and nobody needs.

use std::fmt;
use std::time::Duration;

use crate::Result;

/// What [`prune`] removes: everything that is not in use, unless it is narrowed.
///
/// ```no_run
/// # async fn making_room() -> bowline::Result<()> {
/// use std::time::Duration;
///
/// use bowline::Prune;
///
/// const GIB: u64 = 1 << 30;
/// let fortnight = Duration::from_secs(14 * 24 * 60 * 60);
/// let pruned = bowline::prune(Prune::all().unused_for(fortnight).down_to(20 * GIB)).await?;
/// eprintln!("{pruned}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[cfg_attr(not(native_engine), expect(dead_code, reason = "nothing is pruned"))]
pub struct Prune {
    unused_for: Option<Duration>,
    down_to: Option<u64>,
}

impl Prune {
    /// Everything that is not in use.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only what no pipeline has used for this long.
    #[must_use]
    pub fn unused_for(self, time: Duration) -> Self {
        Self { unused_for: Some(time), ..self }
    }

    /// Removes the least recently used first, until no more than this many bytes are left. Together with
    /// [`unused_for`](Self::unused_for), whatever either of the two selects is removed.
    #[must_use]
    pub fn down_to(self, bytes: u64) -> Self {
        Self { down_to: Some(bytes), ..self }
    }
}

/// What [`prune`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// The number of images and step results.
    pub entries: u64,
    /// The bytes that this freed on the disk.
    pub bytes: u64,
    /// The bytes that are left in the store.
    pub left: u64,
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [bytes, left] = [self.bytes, self.left].map(|bytes| bytes.div_ceil(1_000_000));
        write!(f, "removed {} images and results, {bytes} MB; {left} MB are left", self.entries)
    }
}

/// Removes images and step results from the store of the native engine (`$BOWLINE_HOME`). It never removes what a
/// pipeline may be using: whatever was used since the oldest running one began. Cache volumes stay. The files of the
/// Docker engine's results are removed by Docker: `docker image prune --all --filter label=bowline.exit`; their output is in
/// `$BOWLINE_HOME/docker`.
///
/// # Errors
/// [`EngineUnreachable`](crate::Error::EngineUnreachable) if the native engine cannot run here,
/// [`Engine`](crate::Error::Engine) if something cannot be removed.
pub async fn prune(what: Prune) -> Result<Pruned> {
    Box::pin(prune_native(what)).await
}

#[cfg(native_engine)]
async fn prune_native(what: Prune) -> Result<Pruned> {
    use super::Engine as _;
    let native = super::native::Native::open(&crate::model::SessionId::random(), None, Vec::new()).await?;
    let Prune { unused_for, down_to } = what;
    let removed = native.prune(super::native::Bounds { unused_for, down_to }).await;
    native.close().await?;
    let super::native::Removed { records, bytes, left } = removed?;
    Ok(Pruned { entries: records, bytes, left })
}

#[cfg(not(native_engine))]
#[expect(clippy::unused_async, reason = "where the engine is built it waits")]
async fn prune_native(_: Prune) -> Result<Pruned> {
    Err(super::choice::not_built("native"))
}
