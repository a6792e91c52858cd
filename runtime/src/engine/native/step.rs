//! Steps: prepared, run to their end, and kept or held.

use std::sync::Arc;
use std::time::Duration;

use super::process::{NotLaunched, hear_within, launch};
use super::store::{Scratch, StoredStep, layers, snapshot_of};
use super::wire::{self, Answer, Container, Files, Request, Root};
use super::{Shared, failed, spec};
use crate::engine::command::cannot_run;
use crate::engine::{
    Call, Exit, Finished, Placement, Prepared, Process, Sink, Snapshot, StepOutput, StepSpec,
};
use crate::{Digest, Error, Result};

/// What a step sees as its own name: the same on every machine, so that nothing depends on it.
const HOSTNAME: &str = "bowline";

struct Ready {
    shared: Arc<Shared>,
    name: String,
    base: Snapshot,
    scratch: Scratch,
    mounts: spec::Mounts,
    process: Option<Process>,
    stdin: Option<Arc<[u8]>>,
    limit: Option<Duration>,
    links: Vec<crate::engine::Link>,
}

struct Ended {
    shared: Arc<Shared>,
    name: String,
    base: Snapshot,
    scratch: Scratch,
    exit: Exit,
    timed_out: bool,
}

pub(super) async fn prepare(shared: &Arc<Shared>, step: StepSpec) -> Result<Box<dyn Prepared>> {
    let what = format!("prepare {}", step.name);
    let scratch = shared.store.scratch().map_err(failed(&what))?;
    let base = step.filesystem.base.clone();
    place(shared, &step.name, &base, &scratch, step.filesystem.placements).await?;
    let mounts = spec::mounts(shared, &what, &step.filesystem.mounts, step.process.as_ref())?;
    if let Some(process) = &step.process {
        spec::check(&what, process)?;
    }
    Ok(Box::new(Ready {
        shared: Arc::clone(shared),
        name: step.name,
        base,
        scratch,
        mounts,
        process: step.process,
        stdin: step.stdin,
        limit: step.limit,
        links: step.links,
    }))
}

/// Puts files into a file system that nothing runs in.
pub(super) async fn place(
    shared: &Shared,
    name: &str,
    base: &Snapshot,
    scratch: &Scratch,
    placements: Vec<Placement>,
) -> Result<()> {
    if placements.is_empty() {
        return Ok(());
    }
    let what = format!("place files of {name}");
    let placements = placements.into_iter().map(|placement| match placement {
        Placement::File { path, contents } => wire::Placement::File { path, contents: contents.to_vec() },
        Placement::Copy { snapshot, from, to } => {
            wire::Placement::Copy { layers: layers(&snapshot), from, to }
        }
    });
    let root = Root { layers: layers(base), changes: Some(scratch.changes.clone()) };
    let request = Request::Files(Files::Place { root, placements: placements.collect() });
    match shared.host.ask_once(&request, &[]).await.map_err(failed(&what))? {
        Answer::Done => Ok(()),
        Answer::Failed(text) => Err(Error::engine(what, text)),
        other => Err(failed(what)(super::client::unexpected(&other))),
    }
}

impl Prepared for Ready {
    fn run(self: Box<Self>, sink: Sink) -> Call<'static, Box<dyn Finished>> {
        Box::pin(async move { Ok(Box::new(run(*self, sink).await?) as Box<dyn Finished>) })
    }
}

async fn run(step: Ready, sink: Sink) -> Result<Ended> {
    let Ready { shared, name, base, scratch, mounts, process, stdin, limit, links } = step;
    let mut exit = Exit { code: 0, out_of_memory: false };
    let mut timed_out = false;
    if let Some(process) = process {
        let command = process.args.first().cloned().unwrap_or_default();
        let what = format!("run `{command}` in {name}");
        let address = if links.is_empty() { None } else { Some(shared.address(&what)?) };
        let hostname = process.hostname.clone().unwrap_or_else(|| HOSTNAME.to_owned());
        let hosts = shared.hosts(&what, &hostname, address.as_ref().map(|address| address.number), &links)?;
        let request = Request::Run(Box::new(Container {
            root: Root { layers: layers(&base), changes: Some(scratch.changes.clone()) },
            mounts: mounts.list,
            hostname,
            hosts,
            address: address.as_ref().map(|address| address.number),
            process: spec::process(&process),
        }));
        let launched = match launch(&shared.host, &request, stdin).await {
            Ok(launched) => launched,
            Err(NotLaunched::CannotRun(error)) => {
                return Err(cannot_run(&what, &command, &error.to_string()));
            }
            Err(NotLaunched::Failed(error)) => return Err(failed(what)(error)),
        };
        exit = hear_within(launched, limit, &sink, &mut timed_out).await.map_err(failed(what))?;
        drop((address, mounts.scratches));
    }
    Ok(Ended { shared, name, base, scratch, exit, timed_out })
}

impl Finished for Ended {
    fn exit(&self) -> Exit {
        self.exit
    }

    fn timed_out(&self) -> bool {
        self.timed_out
    }

    fn place(&mut self, placements: Vec<Placement>) -> Call<'_, ()> {
        Box::pin(async move { place(&self.shared, &self.name, &self.base, &self.scratch, placements).await })
    }

    fn keep(self: Box<Self>, key: Digest, output: StepOutput) -> Call<'static, Snapshot> {
        Box::pin(async move {
            let what = format!("keep what {} left", self.name);
            let kept = tokio::task::spawn_blocking(move || self.keep_now(&key, output)).await;
            kept.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(failed(what))
        })
    }

    fn hold(self: Box<Self>) -> Call<'static, Snapshot> {
        Box::pin(async move {
            let upper = self.scratch.changes.upper.display().to_string();
            let snapshot = Snapshot(format!("{},{upper}", self.base.0));
            self.shared.hold(self.scratch);
            Ok(snapshot)
        })
    }
}

impl Ended {
    fn keep_now(&self, key: &Digest, output: StepOutput) -> std::io::Result<Snapshot> {
        let store = &self.shared.store;
        let mut names = super::store::names(&self.base);
        let upper = store.root().join(&self.scratch.changes.upper);
        // A step that changed nothing needs no layer.
        if std::fs::read_dir(upper)?.next().is_some() {
            names.push(store.keep(&self.scratch, key)?);
        }
        let StepOutput { stdout, stderr, exit_code } = output;
        store.keep_step(key, &StoredStep { layers: names.clone(), stdout, stderr, exit_code })?;
        Ok(snapshot_of(&names))
    }
}
