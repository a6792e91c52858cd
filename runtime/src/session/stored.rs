//! Results of steps as a session has them.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use crate::Result;
use crate::engine::{Choice, Files, Kept, Recording, Stored};
use crate::event::{EventKind, Span};
use crate::model::{Provenance, Snapshot};

/// What of a result is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Output,
    Files,
}

/// A step that has succeeded, now or earlier.
#[derive(Debug)]
pub(super) struct StepResult {
    pub(super) output: Recording,
    pub(super) from: Provenance,
    /// When an earlier one was found; `None` for that of a run in this session.
    pub(super) found: Option<SystemTime>,
    /// `None` until the engine has stored it: whoever only wants the output need not wait.
    files: watch::Receiver<Option<Result<Arc<dyn Files>>>>,
}

impl StepResult {
    pub(super) fn kept(kept: Kept) -> Self {
        let Kept { output, from, files } = kept;
        let found = Some(SystemTime::now());
        Self { output, from, found, files: watch::channel(Some(Ok(files))).1 }
    }

    /// One that was run, and is being stored.
    pub(super) fn being_stored(
        output: Recording,
        from: Provenance,
        files: watch::Receiver<Option<Result<Arc<dyn Files>>>>,
    ) -> Self {
        Self { output, from, found: None, files }
    }

    /// That of a step that changes nothing, whose files are those of its base.
    pub(super) fn of_nothing() -> Self {
        Self::being_stored(Recording::default(), Provenance::of_nothing(), watch::channel(None).1)
    }

    /// Waits until it is stored.
    pub(super) async fn stored(&self) -> Result<Arc<dyn Files>> {
        let mut files = self.files.clone();
        match files.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            _ => Err(super::closed("keeping a result")),
        }
    }

    /// The files that it left, if they are still to be had.
    pub(super) async fn snapshot(&self) -> Result<Option<Snapshot>> {
        self.stored().await?.snapshot().await
    }
}

/// Says what became of a result.
pub(super) fn tell(span: &Span, stored: &Result<Stored>) {
    match stored {
        Ok(Stored { choice, warning, .. }) => {
            if let Some(message) = warning {
                span.emit(|| EventKind::warning(message.as_str()));
            }
            if let Some(Choice { keeps_files: files, took, keeping }) = *choice {
                span.emit(|| EventKind::Kept { files, took, keeping });
            }
            span.emit(|| EventKind::Stored);
        }
        Err(error) => span.emit(|| EventKind::NotStored { error: error.to_string().into() }),
    }
}
