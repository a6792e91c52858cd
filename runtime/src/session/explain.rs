//! Whether steps would run, and what their keys are made of, without running anything.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::{age, in_session};
use crate::Result;
use crate::engine::Choice;
use crate::graph::{self, Asked, Fs, Requirements, Step, closure};
use crate::model::Location;
use crate::value::Container;

/// One step, as it would be found.
#[derive(Debug)]
pub(crate) struct Explained {
    pub(crate) item: Arc<str>,
    /// Which step of its item it is, from 1.
    pub(crate) number: usize,
    /// The command; `None` for one that only places files.
    pub(crate) args: Option<Vec<String>>,
    pub(crate) locations: Vec<Location>,
    pub(crate) earlier: Earlier,
    /// If it has no files of the result: what was chosen when the step ran.
    pub(crate) unkept: Option<Choice>,
    pub(crate) asked: Asked,
}

/// What there is of an earlier result.
#[derive(Debug)]
pub(crate) enum Earlier {
    /// One that would be taken.
    Taken,
    /// One that would not, and why.
    TooOld(String),
    Nothing,
}

/// Looks up every step that a container needs, those before others first. Images are looked up too, and pulled if they are
/// not there, as a key is made of what they are.
pub(crate) async fn explain(container: Container) -> Result<Vec<Explained>> {
    let node = graph::lower_container(&container)?;
    in_session(format!("container `{}`", node.name), |session| async move {
        let evaluation = session.evaluation(Requirements::of_fs(&node.fs)).await?;
        let (mut explained, mut would_run) = (Vec::new(), HashSet::new());
        for step in in_order(&node.fs) {
            if step.args.is_none() && step.places.is_empty() {
                continue;
            }
            // A result that is made of what runs again does not count.
            let is_renewed = step.expiring.iter().any(|expiring| would_run.contains(&expiring.digest));
            let kept = if step.is_volatile || is_renewed {
                None
            } else {
                evaluation.engine.lookup(&evaluation.key(&step)).await?
            };
            let too_old = kept.as_ref().and_then(|kept| age::too_old(&step, &kept.from, SystemTime::now()));
            let earlier = match (&kept, too_old) {
                (_, Some(why)) => Earlier::TooOld(why),
                (Some(_), None) => Earlier::Taken,
                (None, None) => Earlier::Nothing,
            };
            if !matches!(earlier, Earlier::Taken) {
                would_run.insert(step.digest);
            }
            let unkept = match &kept {
                Some(kept) => kept.files.unkept().await?,
                None => None,
            };
            let (made_of, contents) = evaluation.ingredients(&step);
            explained.push(Explained {
                item: step.name.clone(),
                number: step.number(),
                args: step.args.clone(),
                locations: step.locations.all(),
                earlier,
                unkept,
                asked: Asked { is_volatile: step.is_volatile, is_renewed, made_of, contents },
            });
        }
        Ok(explained)
    })
    .await
}

/// All steps that make a file system, and those that the services which they need are made of, each after what it needs.
fn in_order(fs: &Fs) -> Vec<Arc<Step>> {
    let Fs::Step(last) = fs else { return Vec::new() };
    let mut ordered = Vec::new();
    let mut seen = HashSet::new();
    // Chains can be hundreds of steps long: no recursion. A step stands twice, the second time behind what it needs.
    let mut open = vec![(last.clone(), false)];
    while let Some((step, is_ready)) = open.pop() {
        if is_ready {
            ordered.push(step);
        } else if seen.insert(step.digest) {
            open.push((step.clone(), true));
            open.extend(step.inputs().map(|input| (input.clone(), false)));
            let services = closure(&step.bindings);
            open.extend(
                services.values().flat_map(|service| service.inputs()).map(|input| (input.clone(), false)),
            );
        }
    }
    ordered
}
