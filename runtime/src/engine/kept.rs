//! Results of steps: what of them is kept, and how whoever needs the files gets them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Call, Recording};
use crate::model::{Provenance, Snapshot};

/// The result of a step, as it is found.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) output: Recording,
    pub(crate) from: Provenance,
    pub(crate) files: Arc<dyn Files>,
}

/// The result of a step that has just been stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) files: Arc<dyn Files>,
    /// Whether its files are kept, if the engine has a choice.
    pub(crate) choice: Option<Choice>,
    /// What went wrong without losing the result, once a session.
    pub(crate) warning: Option<String>,
}

impl Stored {
    /// With files that are there.
    pub(crate) fn whole(files: Snapshot) -> Self {
        Self { files: Arc::new(files), choice: None, warning: None }
    }
}

/// An engine's choice to keep the files of a result for good, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) keeps_files: bool,
    /// How long the step's process took.
    pub(crate) took: Duration,
    /// How long keeping a file system takes.
    pub(crate) keeping: Duration,
}

/// What remains of files that a step takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakeOver {
    /// Nothing need remain.
    Moves,
    /// They are kept for good first.
    Kept,
}

/// The files that a step left.
pub(crate) trait Files: Send + Sync + fmt::Debug {
    /// Their snapshot, which from then on is kept for good. `None` if they were not kept when they could be, or are gone:
    /// then they are to be had by another run alone.
    fn snapshot(&self) -> Call<'_, Option<Snapshot>>;

    /// Their snapshot for the one step that goes on from them, which nobody else will have: where the engine has them in a
    /// place of their own, the step may run there and change them. From then on they are gone, unless they were kept. To
    /// be given to the step that is prepared next.
    fn take_over(&self, _how: TakeOver) -> Call<'_, Option<Snapshot>> {
        self.snapshot()
    }

    /// Their snapshot, if it is kept for good already.
    fn kept(&self) -> Call<'_, Option<Snapshot>>;

    /// If nobody has them: the choice that was made then. Nothing is kept by asking.
    fn unkept(&self) -> Call<'_, Option<Choice>> {
        Box::pin(async { Ok(None) })
    }
}

impl Files for Snapshot {
    fn snapshot(&self) -> Call<'_, Option<Snapshot>> {
        Box::pin(async { Ok(Some(self.clone())) })
    }

    fn kept(&self) -> Call<'_, Option<Snapshot>> {
        self.snapshot()
    }
}

/// The files of a result of which only the output is here.
#[derive(Debug)]
pub(crate) struct NoFiles;

impl Files for NoFiles {
    fn snapshot(&self) -> Call<'_, Option<Snapshot>> {
        Box::pin(async { Ok(None) })
    }

    fn kept(&self) -> Call<'_, Option<Snapshot>> {
        Box::pin(async { Ok(None) })
    }
}
