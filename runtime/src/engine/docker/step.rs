//! Steps: prepared, run to their end, and stored or held.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attach::{self, End};
use super::chained::{self, Where};
use super::held::{self, HeldRun, Mounts};
use super::recipe::{Created, First, HOSTNAME_OF_STEPS, NetworkScope, Recipe, Stdin};
use super::results::{self, Left, Succeeded};
use super::{Shared, create, inside, labels, place};
use crate::engine::command::cannot_run;
use crate::engine::{Call, Finished, Placement, Prepared, Recording, Sink, StepSpec, Stored, Terminal};
use crate::model::{Digest, Exit, MadeOf, RunId, Snapshot, WindowSize};
use crate::{Error, Result};

/// A step whose container exists.
struct Ready {
    shared: Arc<Shared>,
    created: Created,
    name: String,
    /// The command, and which network it uses; `None` for a step that only places files.
    run: Option<(String, NetworkScope)>,
    stdin: Option<Arc<[u8]>>,
    limit: Option<Duration>,
    terminal: Option<WindowSize>,
    has_secrets: bool,
    mounts: Mounts,
    run_id: RunId,
}

/// A step whose process has ended, or that had none.
struct Ended {
    shared: Arc<Shared>,
    created: Created,
    name: String,
    exit: Exit,
    timed_out: bool,
    has_secrets: bool,
    mounts: Mounts,
    run_id: RunId,
    /// How long the process took.
    took: Duration,
}

/// Prepares a step.
pub(super) async fn prepare(shared: &Arc<Shared>, step: StepSpec) -> Result<Box<dyn Prepared>> {
    let step = match chained::prepare(shared, step).await? {
        Where::InChain(prepared) => return Ok(prepared),
        Where::Apart(step) => *step,
    };
    let scope = if step.links.is_empty() { NetworkScope::World } else { NetworkScope::Services };
    let run_id = RunId::random();
    let recipe = Recipe {
        container: shared.number('s'),
        name: &step.name,
        kind: labels::KIND_STEP,
        run: Some(&run_id),
        hostname: HOSTNAME_OF_STEPS,
        filesystem: &step.filesystem,
        process: step.process.as_ref(),
        links: &step.links,
        scope,
        stdin: match (&step.terminal, &step.stdin) {
            (Some(_), _) => Stdin::Terminal,
            (None, Some(_)) => Stdin::Written,
            (None, None) => Stdin::Empty,
        },
        first: First::Init,
    };
    let created = Box::pin(create::create(shared, recipe)).await?;
    let process = step.process.as_ref();
    Ok(Box::new(Ready {
        shared: Arc::clone(shared),
        created,
        has_secrets: process.is_some_and(|process| !process.secret_env.is_empty()),
        mounts: if step.filesystem.mounts.is_empty() { Mounts::None } else { Mounts::Some },
        run: process.map(|process| (process.args.first().cloned().unwrap_or_default(), scope)),
        stdin: step.stdin,
        limit: step.limit,
        terminal: step.terminal,
        name: step.name,
        run_id,
    }))
}

impl Prepared for Ready {
    fn run(self: Box<Self>, sink: Sink) -> Call<'static, Box<dyn Finished>> {
        Box::pin(async move { Ok(Box::new(Box::pin(run(*self, sink)).await?) as Box<dyn Finished>) })
    }

    fn open(self: Box<Self>) -> Call<'static, Terminal> {
        Box::pin(open(*self))
    }
}

async fn open(step: Ready) -> Result<Terminal> {
    let (Some((command, scope)), Some(size)) = (step.run, step.terminal) else {
        return Err(Error::internal("a step without a terminal was opened"));
    };
    let what = format!("run `{command}` in {}", step.name);
    if scope == NetworkScope::Services {
        step.shared.network.begin(&step.shared).await?;
    }
    inside::open(&step.shared, step.created.container, what, command, size).await
}

async fn run(step: Ready, sink: Sink) -> Result<Ended> {
    let Ready { shared, mut created, name, run, stdin, limit, has_secrets, mounts, run_id, terminal: _ } =
        step;
    let mut exit = Exit { code: 0, out_of_memory: false };
    let (mut timed_out, mut took) = (false, Duration::ZERO);
    if let Some((command, scope)) = run {
        let what = format!("run `{command}` in {name}");
        let (output, input) = attach::attach(&shared, created.container.name(), stdin.is_some()).await?;
        let died = shared.ends.of(&created.container);
        if scope == NetworkScope::Services {
            shared.network.begin(&shared).await?;
        }
        created.container = attach::start(&shared, created.container, &what, &command).await?;
        let began = Instant::now();
        let container = created.container.name();
        let hearing = attach::hear_out(&shared, container, output, died, &sink);
        let limited = attach::kill_after(&shared, container, limit, &mut timed_out, Box::pin(hearing));
        match attach::while_feeding(input, stdin, Box::pin(limited)).await? {
            End::Exit(ended) => exit = ended,
            End::CannotRun(reason) => return Err(cannot_run(&what, &command, &reason)),
        }
        took = began.elapsed();
    }
    Ok(Ended { shared, created, name, exit, timed_out, has_secrets, mounts, run_id, took })
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
            async move { place::place(&self.shared, &self.created.container, &self.name, &placements).await },
        )
    }

    fn run_id(&self) -> RunId {
        self.run_id.clone()
    }

    fn keep(self: Box<Self>, key: Digest, output: Recording, made_of: Vec<MadeOf>) -> Call<'static, Stored> {
        Box::pin(async move {
            let Ended { shared, created, name, has_secrets, run_id: run, took, .. } = *self;
            let left = Left::Held(HeldRun::new(created, name, has_secrets));
            let step = Succeeded { left, run, took, again: took };
            results::keep(&shared, step, key, output, made_of).await
        })
    }

    fn hold(self: Box<Self>) -> Call<'static, Snapshot> {
        Box::pin(async move { Ok(held::hold(&self.shared, self.created.container, self.mounts)) })
    }
}
