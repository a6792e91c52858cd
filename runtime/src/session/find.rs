//! Results of steps: found in the engine's store, or made by running the step once, and stored there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::watch;

use super::steps::{Again, Evaluation, Ran, subject};
use super::stored::{self, Need, StepResult};
use super::{age, close_failed};
use crate::engine::{Claim, Kept, Stored};
use crate::event::{EventKind, Outcome, Span, Waiting};
#[cfg(feature = "cli")]
use crate::graph::Asked;
use crate::graph::{Expiring, Step};
use crate::model::{Digest, Provenance};
use crate::{Error, Result};

/// What there is of an earlier result.
enum Found {
    Nothing,
    /// One that is not taken, and why not.
    TooOld(String),
    /// Its files are needed, and gone.
    WithoutFiles,
    Result(Kept),
}

impl Evaluation {
    // Boxed, as steps wait for steps: the future's type must not contain itself.
    pub(super) fn step<'a>(self: &'a Arc<Self>, step: &Arc<Step>) -> BoxFuture<'a, Result<Arc<StepResult>>> {
        let (key, step) = (self.key(step), step.clone());
        Box::pin(async move {
            self.once(&step, key).await.map_err(|error| error.of_step(key, step.locations.all()))
        })
    }

    /// The result that this session has of a step, or makes or finds now.
    async fn once(self: &Arc<Self>, step: &Arc<Step>, key: Digest) -> Result<Arc<StepResult>> {
        loop {
            let work = self.clone().find_or_run(step.clone(), key, Need::Output);
            // A caller with a longer timeout must not join a run that will be killed earlier.
            let result = self.session.steps.get_or_run((key, step.options.timeout), work).await?;
            let found = result.found.and_then(|when| age::too_old(step, &result.from, when));
            if found.is_none() {
                return Ok(result);
            }
            // Somebody found it who takes older ones.
            self.renew(step, &result, Need::Output).await?;
        }
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

    /// Says why a step runs: because of its earlier result, or else where somebody remembers what that was made of.
    fn tell_why(&self, span: &Span, step: &Arc<Step>, known: Option<String>) {
        match known {
            Some(why) => span.emit(|| EventKind::Missed { why: why.into() }),
            None => self.tell_what_changed(span, step),
        }
    }

    #[cfg(feature = "cli")]
    fn tell_what_changed(&self, span: &Span, step: &Arc<Step>) {
        if let Some(recorder) = &self.session.settings.recorder {
            let caching = self.session.caching();
            if !caching.takes() {
                let why = format!("no earlier result is taken: the cache is `{}`", caching.word());
                return span.emit(|| EventKind::Missed { why: why.into() });
            }
            span.emit(|| {
                let (made_of, contents) = self.ingredients(step);
                let asked = Asked {
                    is_volatile: step.is_volatile,
                    is_renewed: self.is_of_new_runs(step),
                    made_of,
                    contents,
                };
                let why = recorder.why(&step.name, step.number(), &asked);
                EventKind::Missed { why: why.into() }
            });
        }
    }

    /// Whether something that a step is made of has run in this session.
    #[cfg(feature = "cli")]
    fn is_of_new_runs(&self, step: &Step) -> bool {
        let mut parts = step.inputs().chain(step.expiring.iter());
        parts.any(|part| {
            let result = self.session.steps.get(&(self.key(part), part.options.timeout));
            result.is_some_and(|result| result.found.is_none() && !part.passes_by())
        })
    }

    #[cfg(not(feature = "cli"))]
    #[allow(clippy::unused_self)]
    fn tell_what_changed(&self, _: &Span, _: &Arc<Step>) {}

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
            self.see(&key, &kept.from);
            span.emit(|| EventKind::Cached);
            span.close(|| Outcome::Succeeded);
            Ok(Arc::new(StepResult::kept(kept)))
        };
        let caching = self.session.caching();
        let (may_be_found, may_be_kept) =
            (!step.is_volatile && caching.takes(), !step.is_volatile && caching.stores());
        let mut why = None;
        if may_be_found {
            self.settle_ages(&step.expiring).await.inspect_err(|error| span.skip(error))?;
            let mut has_output = false;
            match self.judge(step, self.engine.lookup(&key).await?, need).await? {
                Found::Result(kept) => return cached(kept),
                Found::WithoutFiles => has_output = true,
                Found::TooOld(age) => why = Some(age),
                Found::Nothing => {}
            }
            if let Some(kept) = self.fetch(span, step, key, need).await? {
                return cached(kept);
            }
            if has_output {
                span.emit(|| EventKind::FilesMissing);
            }
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
            let was_held = AtomicBool::new(false);
            let waiting = || {
                was_held.store(true, Ordering::Relaxed);
                span.emit(|| EventKind::Waiting(Waiting::Process));
            };
            claim = Some(self.engine.claim(&key, step.options.timeout, &waiting).await?);
            if may_be_found {
                // The previous holder of the claim has left a result, unless its run failed.
                let kept = if was_held.into_inner() {
                    self.engine.lookup(&key).await?
                } else {
                    self.engine.lookup_anew(&key).await?
                };
                if let Found::Result(kept) = self.judge(step, kept, need).await? {
                    return cached(kept);
                }
            }
        }
        self.tell_why(span, step, why);
        let run = |again| self.clone().run(step.clone(), span.clone(), again, need);
        let ran = match run(Again::UnlessSeen).await? {
            Some(ran) => ran,
            None => match self.judge(step, self.engine.lookup(&key).await?, need).await? {
                Found::Result(kept) if may_be_found => return cached(kept),
                // Another process has run it, and could not store its result; or none is to be taken.
                _ => run(Again::Always).await?.ok_or_else(|| Error::internal("a step did not run"))?,
            },
        };
        Ok(Arc::new(self.keep(step, span, key, claim, ran)))
    }

    /// Looks for results that may be too old, or lets their steps run: what was made of one that is replaced does not count.
    pub(super) async fn settle_ages(self: &Arc<Self>, expiring: &Expiring) -> Result<()> {
        try_join_all(expiring.iter().map(|step| self.step(step))).await.map(drop)
    }

    /// Whether an earlier result is taken.
    async fn judge(&self, step: &Step, kept: Option<Kept>, need: Need) -> Result<Found> {
        let Some(kept) = kept else { return Ok(Found::Nothing) };
        if let Some(why) = age::too_old(step, &kept.from, SystemTime::now()) {
            return Ok(Found::TooOld(why));
        }
        Ok(if self.is_enough(&kept, need).await? { Found::Result(kept) } else { Found::WithoutFiles })
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
        let span = span.clone();
        let from = Provenance::now(finished.run_id(), made_of.clone());
        let kept = output.clone();
        let is_stored = !step.is_volatile && self.session.caching().stores();
        // From now on, and not once it is stored.
        self.see(&key, &from);
        self.session.keeping().spawn(async move {
            let result = if is_stored {
                finished.keep(key, kept, made_of).await
            } else {
                finished.hold().await.map(Stored::whole)
            };
            stored::tell(&span, &result);
            span.close(|| Outcome::Succeeded);
            // Others have their turn only once they can find the result.
            drop((claim, turns));
            done.send_replace(Some(result.map(|result| result.files)));
        });
        StepResult::being_stored(output, from, files)
    }
}
