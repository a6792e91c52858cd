//! Results of steps: found in the engine's store, or made by running the step once, and stored there.

use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::watch;

use super::close_failed;
use super::steps::{Again, Evaluation, Ran, subject};
use super::stored::{self, StepResult};
use crate::engine::{Claim, Kept, Stored};
use crate::event::{EventKind, Outcome, Span, Waiting};
use crate::graph::Step;
use crate::model::Digest;
use crate::{Error, Result};

/// What of a result is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Output,
    Files,
}

impl Evaluation {
    // Boxed, as steps wait for steps: the future's type must not contain itself.
    pub(super) fn step<'a>(self: &'a Arc<Self>, step: &Arc<Step>) -> BoxFuture<'a, Result<Arc<StepResult>>> {
        let key = self.key(step);
        let work = self.clone().find_or_run(step.clone(), key, Need::Output);
        // A caller with a longer timeout must not join a run that will be killed earlier.
        let done = self.session.steps.get_or_run((key, step.options.timeout), work);
        let step = step.clone();
        Box::pin(async move { done.await.map_err(|error| error.of_step(key, step.locations.all())) })
    }

    pub(super) async fn find_or_run(
        self: Arc<Self>,
        step: Arc<Step>,
        key: Digest,
        need: Need,
    ) -> Result<Arc<StepResult>> {
        if step.passes_by() {
            return self.pass_by(&step).await;
        }
        let span = self.session.span.child_at(subject(&step), step.locations.all());
        let done = self.find_or_run_in(&span, &step, key, need).await;
        match &done {
            Ok(result) if self.session.caching().stores() => {
                self.record(&step);
                self.offer(&step, key, result);
            }
            Ok(_) => {}
            Err(error) => close_failed(&span, error),
        }
        done
    }

    /// Lets whoever remembers that know what the result of a step is made of.
    #[cfg(feature = "cli")]
    fn record(&self, step: &Arc<Step>) {
        if let Some(recorder) = &self.session.settings.recorder {
            let (made_of, contents) = self.ingredients(step);
            recorder.record(&step.name, step.number(), made_of, contents);
        }
    }

    #[cfg(not(feature = "cli"))]
    #[allow(clippy::unused_self)]
    fn record(&self, _: &Arc<Step>) {}

    /// Says why a step has no result, where somebody remembers what its last one was made of.
    #[cfg(feature = "cli")]
    fn tell_why(&self, span: &Span, step: &Arc<Step>) {
        if let Some(recorder) = &self.session.settings.recorder {
            let caching = self.session.caching();
            if !caching.takes() {
                let why = format!("no earlier result is taken: the cache is `{}`", caching.word());
                return span.emit(|| EventKind::Missed { why: why.into() });
            }
            span.emit(|| {
                let (made_of, contents) = self.ingredients(step);
                let why = recorder.why(&step.name, step.number(), step.is_volatile, &made_of, &contents);
                EventKind::Missed { why: why.into() }
            });
        }
    }

    #[cfg(not(feature = "cli"))]
    #[allow(clippy::unused_self)]
    fn tell_why(&self, _: &Span, _: &Arc<Step>) {}

    /// A step that changes nothing, and only comes after others.
    async fn pass_by(self: &Arc<Self>, step: &Step) -> Result<Arc<StepResult>> {
        let _pins = self.pin(&step.bindings)?;
        try_join_all(step.inputs().map(|input| self.step(input))).await?;
        Ok(Arc::new(StepResult::of_nothing()))
    }

    async fn find_or_run_in(
        self: &Arc<Self>,
        span: &Arc<Span>,
        step: &Arc<Step>,
        key: Digest,
        need: Need,
    ) -> Result<Arc<StepResult>> {
        let cached = |kept: Kept| {
            span.emit(|| EventKind::Cached);
            span.close(|| Outcome::Succeeded);
            Ok(Arc::new(StepResult::kept(kept)))
        };
        let caching = self.session.caching();
        let (may_be_found, may_be_kept) =
            (!step.is_volatile && caching.takes(), !step.is_volatile && caching.stores());
        let mut has_output = false;
        if may_be_found && let Some(kept) = self.engine.lookup(&key).await? {
            if self.is_enough(&kept, need).await? {
                return cached(kept);
            }
            has_output = true;
        }
        if may_be_found && let Some(kept) = self.fetch(span, step, key, need).await? {
            return cached(kept);
        }
        if has_output {
            span.emit(|| EventKind::FilesMissing);
        }
        self.engine.expect(!step.bindings.is_empty());
        // Held until this step is done: earlier steps that run against the same services then meet the same instances.
        let _pins = self.pin(&step.bindings)?;
        for input in step.inputs().filter(|input| !input.passes_by()) {
            span.emit(|| EventKind::Waiting(Waiting::For(subject(input))));
        }
        try_join_all(step.inputs().map(|input| self.step(input)))
            .await
            .inspect_err(|error| span.skip(error))?;
        let mut claim = None;
        if may_be_kept {
            let waiting = || span.emit(|| EventKind::Waiting(Waiting::Process));
            claim = Some(self.engine.claim(&key, step.options.timeout, &waiting).await?);
            // The previous holder of the claim has left a result, unless its run failed.
            if may_be_found
                && let Some(kept) = self.engine.lookup(&key).await?
                && self.is_enough(&kept, need).await?
            {
                return cached(kept);
            }
        }
        self.tell_why(span, step);
        let run = |again| self.clone().run(step.clone(), span.clone(), again);
        let ran = match run(Again::UnlessSeen).await? {
            Some(ran) => ran,
            None => match self.engine.lookup(&key).await? {
                Some(kept) if may_be_found && self.is_enough(&kept, need).await? => return cached(kept),
                // Another process has run it, and could not store its result; or none is to be taken.
                _ => run(Again::Always).await?.ok_or_else(|| Error::internal("a step did not run"))?,
            },
        };
        Ok(Arc::new(self.keep(step, span, key, claim, ran)))
    }

    pub(super) async fn is_enough(&self, kept: &Kept, need: Need) -> Result<bool> {
        Ok(need == Need::Output || kept.files.snapshot().await?.is_some())
    }

    /// Stores a result in the background: callers that need the file system wait for it, callers that need the output do
    /// not.
    fn keep(
        &self,
        step: &Step,
        span: &Arc<Span>,
        key: Digest,
        claim: Option<Claim>,
        Ran { finished, output, made_of, turns }: Ran,
    ) -> StepResult {
        let (done, files) = watch::channel(None);
        let (span, run) = (span.clone(), finished.run_id());
        let (kept, parts) = (output.clone(), made_of.clone());
        let is_stored = !step.is_volatile && self.session.caching().stores();
        self.session.keeping().spawn(async move {
            let result = if is_stored {
                finished.keep(key, kept, parts).await
            } else {
                finished.hold().await.map(Stored::whole)
            };
            stored::tell(&span, &result);
            span.close(|| Outcome::Succeeded);
            // Others have their turn only once they can find the result.
            drop((claim, turns));
            done.send_replace(Some(result.map(|result| result.files)));
        });
        StepResult::being_stored(output, run, made_of, files)
    }
}
