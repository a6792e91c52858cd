//! Files of results: found, or made by one more run of the step, where they were not kept.
//!
//! Another run may come to another result. So whatever was made of the earlier one does not count any more, and everybody
//! who sees a step's output and its files from then on sees them of one run.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::steps::Evaluation;
use super::stored::{Need, StepResult};
use crate::Result;
use crate::graph::{Fs, ServiceNode, Step};
use crate::model::{Digest, MadeOf, Provenance, RunId, Snapshot};

impl Evaluation {
    /// The files that a step left.
    pub(super) async fn files(self: &Arc<Self>, step: &Arc<Step>) -> Result<Snapshot> {
        let mut step = step;
        while step.passes_by() {
            self.step(step).await?;
            match &step.base {
                Fs::Step(base) => step = base,
                base => return Box::pin(self.filesystem(base)).await,
            }
        }
        loop {
            let result = self.step(step).await?;
            if let Some(files) = result.snapshot().await? {
                return Ok(files);
            }
            let renewed = self.renew(step, &result, Need::Files).await;
            renewed.map_err(|error| error.of_step(self.key(step), step.locations.all()))?;
        }
    }

    /// Waits until everything that a file system needs has run and is stored, whether or not its files are kept.
    pub(super) async fn settle(self: &Arc<Self>, fs: &Fs) -> Result<()> {
        let mut fs = fs;
        while let Fs::Step(step) = fs {
            let result = self.step(step).await?;
            if !step.passes_by() {
                return result.stored().await.map(drop);
            }
            fs = &step.base;
        }
        self.filesystem(fs).await.map(drop)
    }

    /// Lets a step run again, or finds the result of whoever has done so, as this one's files are gone, or as it is too old.
    pub(super) async fn renew(
        self: &Arc<Self>,
        step: &Arc<Step>,
        gone: &Arc<StepResult>,
        need: Need,
    ) -> Result<()> {
        let key = self.key(step);
        let work = self.clone().find_or_run(step.clone(), key, need);
        let is_gone = {
            let gone = gone.clone();
            move |result: &Arc<StepResult>| Arc::ptr_eq(result, &gone)
        };
        let renewed = self.session.steps.get_or_run_unless((key, step.options.timeout), is_gone, work).await;
        renewed.map(drop)
    }

    /// Takes note of the run of a result, found or made. What was made of another run of the step does not count any more.
    pub(super) fn see(&self, key: &Digest, from: &Provenance) {
        if !self.engine.sees(key, from) {
            return;
        }
        let mut all = Vec::new();
        self.session.steps.with_all(|_, result| all.push(result.from.clone()));
        let gone: HashSet<RunId> =
            all.into_iter().filter(|from| !self.engine.is_current(from)).map(|from| from.run).collect();
        self.session.steps.retain(|_, result| !gone.contains(&result.from.run));
    }

    /// The results that a step is made of, those before steps that change nothing among them, and those that its services
    /// are made of.
    pub(super) fn made_of(&self, step: &Step) -> Vec<MadeOf> {
        let bound = step.bindings.iter().map(|binding| binding.service.clone());
        let prepared = step.prepared().map(|prepared| prepared.service.clone());
        self.runs_of(step.inputs().collect(), bound.chain(prepared).collect())
    }

    /// The same of a service.
    pub(super) fn made_of_service(&self, service: &Arc<ServiceNode>) -> Vec<MadeOf> {
        self.runs_of(Vec::new(), vec![service.clone()])
    }

    fn runs_of(&self, inputs: Vec<&Arc<Step>>, services: Vec<Arc<ServiceNode>>) -> Vec<MadeOf> {
        let services = with_prepared(services);
        let mut open = inputs;
        open.extend(services.iter().flat_map(|service| service.inputs()));
        let (mut seen, mut found) = (HashSet::new(), BTreeMap::new());
        while let Some(input) = open.pop() {
            if !seen.insert(input.digest) {
                continue;
            }
            if input.passes_by() {
                open.extend(input.inputs());
                continue;
            }
            let key = self.key(input);
            // A service that other processes share may be made of what this session never looked at.
            if let Some(result) = self.session.steps.get(&(key, input.options.timeout)) {
                found.insert(key, result.from.run.clone());
            }
        }
        found.into_iter().map(|(key, run)| MadeOf { key, run }).collect()
    }
}

/// These services, those that they are bound to, and those that they are prepared from.
fn with_prepared(mut open: Vec<Arc<ServiceNode>>) -> Vec<Arc<ServiceNode>> {
    let mut found: BTreeMap<Digest, Arc<ServiceNode>> = BTreeMap::new();
    while let Some(service) = open.pop() {
        if found.contains_key(&service.digest) {
            continue;
        }
        open.extend(service.bindings.iter().map(|binding| binding.service.clone()));
        open.extend(service.prepared().map(|prepared| prepared.service.clone()));
        found.insert(service.digest, service);
    }
    found.into_values().collect()
}
