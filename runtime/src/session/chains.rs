//! Chains: a step that goes on from the files of another one may take them over, where nothing else needs them. An engine may
//! then run it where they are, and nobody can have them any more; whoever needs them later is the reason for another run.

use std::sync::Arc;

use super::steps::Evaluation;
use super::stored::Need;
use crate::Result;
use crate::engine::TakeOver;
use crate::event::Span;
use crate::graph::{Fs, Step};
use crate::lock::lock;
use crate::model::{MadeOf, Snapshot};

/// What a step starts from.
pub(super) struct Start {
    pub(super) files: Snapshot,
    /// The result that they are of, if the step has taken them over: others may have run that step again since.
    pub(super) taken: Option<MadeOf>,
}

impl Evaluation {
    /// Whether the next step will take over what this one leaves, as far as is known.
    pub(super) fn is_taken_over(&self, step: &Step) -> bool {
        self.session.caching().stores() && lock(&self.session.uses).next_of(&step.digest).is_some()
    }

    /// What a step starts from, which needs it for this.
    pub(super) async fn start_of(self: &Arc<Self>, step: &Step, span: &Span, need: Need) -> Result<Start> {
        if let Fs::Step(base) = &step.base
            && self.is_next(base, step)
            && let Some(taken) =
                Box::pin(self.take_over(base, step, need)).await.inspect_err(|error| span.skip(error))?
        {
            return Ok(taken);
        }
        Ok(Start { files: self.filesystem_for(span, &step.base).await?, taken: None })
    }

    fn is_next(&self, base: &Step, step: &Step) -> bool {
        self.session.caching().stores() && lock(&self.session.uses).next_of(&base.digest) == Some(step.digest)
    }

    async fn take_over(self: &Arc<Self>, base: &Arc<Step>, step: &Step, need: Need) -> Result<Option<Start>> {
        let mut how = TakeOver::Moves;
        loop {
            let result = self.step(base).await?;
            let files = result.stored().await?;
            // Whoever has asked for it meanwhile needs it as it is.
            if !self.is_next(base, step) {
                return Ok(None);
            }
            if let Some(files) = files.take_over(how).await? {
                let taken = MadeOf { key: self.key(base), run: result.from.run.clone() };
                return Ok(Some(Start { files, taken: Some(taken) }));
            }
            self.renew(base, &result, Need::Files).await?;
            // A second step goes on from it: there may be a third. But one that runs again itself is on the way to another.
            if need == Need::Output {
                how = TakeOver::Kept;
            }
        }
    }
}
