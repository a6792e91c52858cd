//! Steps in [chains](super::chain): prepared, run to their end, and left to the next one, stored or held.

use std::sync::Arc;
use std::time::Duration;

use super::chain::{self, Chain};
use super::cleaner::Container;
use super::held::{self, HeldRun, Mounts};
use super::recipe::Created;
use super::results::{self, Left, Succeeded};
use super::{Shared, place};
use crate::engine::{
    Call, Finished, Placement, Prepared, Process, Recording, Sink, StepSpec, Stored, Terminal,
};
use crate::model::{Digest, Exit, MadeOf, RunId, Snapshot};
use crate::{Error, Result};

/// Where a step runs.
pub(super) enum Where {
    InChain(Box<dyn Prepared>),
    /// In a container of its own.
    Apart(Box<StepSpec>),
}

/// Prepares a step in the chain whose files it has taken over, or in a new one if others are to follow it.
pub(super) async fn prepare(shared: &Arc<Shared>, mut step: StepSpec) -> Result<Where> {
    let mut chain = None;
    if let Some(mut between) = chain::taken(shared, &step.filesystem.base)? {
        if between.chain.suits(shared, &step).await? {
            chain = Some(between.chain);
        } else {
            step.filesystem.base = between.keep(shared).await?;
        }
    }
    if chain.is_none() && step.is_taken_over {
        chain = Chain::begin(shared, &step).await?;
    }
    match (chain, step.process.take()) {
        (Some(chain), Some(process)) => {
            let run_id = RunId::random();
            Ok(Where::InChain(Box::new(Ready { shared: Arc::clone(shared), chain, step, process, run_id })))
        }
        (_, process) => Ok(Where::Apart(Box::new(StepSpec { process, ..step }))),
    }
}

/// A step whose chain is there.
struct Ready {
    shared: Arc<Shared>,
    chain: Chain,
    step: StepSpec,
    process: Process,
    run_id: RunId,
}

impl Prepared for Ready {
    fn run(self: Box<Self>, sink: Sink) -> Call<'static, Box<dyn Finished>> {
        Box::pin(async move { Ok(Box::new(Box::pin(run(*self, sink)).await?) as Box<dyn Finished>) })
    }

    fn open(self: Box<Self>) -> Call<'static, Terminal> {
        Box::pin(async { Err(Error::internal("a step in a chain has no terminal")) })
    }
}

async fn run(ready: Ready, sink: Sink) -> Result<Ended> {
    let Ready { shared, mut chain, step, process, run_id } = ready;
    let StepSpec { name, stdin, limit, is_taken_over, .. } = step;
    let what = format!("run `{}` in {name}", process.args.first().map_or("", String::as_str));
    let ran = chain.run(&shared, &what, (&process, stdin, limit), &sink).await?;
    let left = if ran.goes_on { LeftIn::Chain(chain) } else { LeftIn::Container(chain.kill(&shared).await?) };
    Ok(Ended {
        shared,
        left,
        name,
        exit: ran.exit,
        timed_out: ran.timed_out,
        took: ran.took,
        again: ran.again,
        is_taken_over,
        run_id,
    })
}

/// Where the files are that a step left.
enum LeftIn {
    Chain(Chain),
    /// One that runs nothing any more.
    Container(Created),
}

/// A step whose process has ended.
struct Ended {
    shared: Arc<Shared>,
    left: LeftIn,
    name: String,
    exit: Exit,
    timed_out: bool,
    /// How long the process took, and with those before it of which nothing was kept.
    took: Duration,
    again: Duration,
    is_taken_over: bool,
    run_id: RunId,
}

impl LeftIn {
    fn container(&self) -> &Container {
        match self {
            Self::Chain(chain) => chain.container(),
            Self::Container(created) => &created.container,
        }
    }

    /// The container, in which nothing will run any more.
    fn end(self) -> Created {
        match self {
            Self::Chain(chain) => chain.end(),
            Self::Container(created) => created,
        }
    }
}

impl Finished for Ended {
    fn exit(&self) -> Exit {
        self.exit
    }

    fn timed_out(&self) -> bool {
        self.timed_out
    }

    fn place(&mut self, placements: Vec<Placement>) -> Call<'_, ()> {
        Box::pin(
            async move { place::place(&self.shared, self.left.container(), &self.name, &placements).await },
        )
    }

    fn run_id(&self) -> RunId {
        self.run_id.clone()
    }

    fn keep(self: Box<Self>, key: Digest, output: Recording, made_of: Vec<MadeOf>) -> Call<'static, Stored> {
        Box::pin(async move {
            let Ended { shared, left, name, took, again, is_taken_over, run_id: run, .. } = *self;
            let left = match left {
                LeftIn::Chain(chain) if is_taken_over => Left::InChain(chain, name),
                left => Left::Held(HeldRun::new(left.end(), name, false)),
            };
            results::keep(&shared, Succeeded { left, run, took, again }, key, output, made_of).await
        })
    }

    fn hold(self: Box<Self>) -> Call<'static, Snapshot> {
        Box::pin(async move { Ok(held::hold(&self.shared, self.left.end().container, Mounts::None)) })
    }
}
