//! Steps: prepared, run to their end, and kept or held.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use super::address::Network;
use super::capabilities::Users;
use super::model::Root;
use super::netns::Netns;
use super::process::{Future, hear_within, launch};
use super::store::{Scratch, Store, StoredStep, is_merged, layers, snapshot_of};
use super::wire::{self, Answer, Container, Files, Request};
use super::{Shared, failed, spec};
use crate::engine::blocking::blocking;
use crate::engine::{
    Call, Finished, Placement, Prepared, Process, Recording, Sink, StepSpec, Stored, Terminal, Written,
};
use crate::model::{Digest, Existing, Exit, MadeOf, Provenance, RunId, Snapshot, WindowSize};
use crate::sha256::Sha256;
use crate::{Error, Result};

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
    terminal: Option<WindowSize>,
}

struct Ended {
    shared: Arc<Shared>,
    name: String,
    base: Snapshot,
    scratch: Scratch,
    exit: Exit,
    timed_out: bool,
    run: RunId,
}

pub(super) async fn prepare(shared: &Arc<Shared>, step: StepSpec) -> Result<Box<dyn Prepared>> {
    let what = format!("prepare {}", step.name);
    let scratch = shared.store.scratch().map_err(failed(&what))?;
    let base = step.filesystem.base.clone();
    place(shared, &step.name, &base, &scratch, step.filesystem.placements).await?;
    let mounts = spec::mounts(shared, &what, &step.filesystem.mounts)?;
    shared.store.wait_for(&mounts.volumes).await.map_err(failed(&what))?;
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
        terminal: step.terminal,
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
    let (placements, contents) = on_the_way(placements).map_err(failed(&what))?;
    let root = Root { layers: layers(base), changes: Some(scratch.changes.clone()) };
    let request = Request::Files(Files::Place { root, placements });
    let descriptors: Vec<_> = contents.iter().map(|file| file.as_fd()).collect();
    match shared.shim.ask_once(&request, &descriptors).await.map_err(failed(&what))? {
        Answer::Done => Ok(()),
        Answer::Failed(text) => Err(Error::engine(what, text)),
        other => Err(failed(what)(super::client::unexpected(&other))),
    }
}

/// What the shim is told of placements, and the files that contents are in: small ones are one after another in the
/// first, in memory, and what is in a file already is sent as that.
fn on_the_way(placements: Vec<Placement>) -> io::Result<(Vec<wire::Placement>, Vec<Arc<File>>)> {
    let memory = rustix::fs::memfd_create(c"contents", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut memory = File::from(memory);
    let (mut told, mut files, mut filled) = (Vec::new(), Vec::new(), 0);
    for placement in placements {
        told.push(match placement {
            Placement::File { path, contents: Written::File(part) } => {
                files.push(part.file);
                let contents =
                    wire::Piece { descriptor: files.len(), offset: part.offset, length: part.length };
                wire::Placement::File { path, contents }
            }
            Placement::File { path, contents } => {
                contents.write_to(&mut memory)?;
                let contents = wire::Piece { descriptor: 0, offset: filled, length: contents.length() };
                filled += contents.length;
                wire::Placement::File { path, contents }
            }
            Placement::Copy { snapshot, from, to, existing } => {
                let replaces = existing == Existing::Goes;
                wire::Placement::Copy { layers: layers(&snapshot), from, to, replaces }
            }
        });
    }
    files.insert(0, Arc::new(memory));
    Ok((told, files))
}

impl Prepared for Ready {
    fn run(self: Box<Self>, sink: Sink) -> Call<'static, Box<dyn Finished>> {
        Box::pin(async move { Ok(Box::new(run(*self, sink).await?) as Box<dyn Finished>) })
    }

    fn open(self: Box<Self>) -> Call<'static, Terminal> {
        Box::pin(open(*self))
    }
}

async fn run(step: Ready, sink: Sink) -> Result<Ended> {
    let Ready { shared, name, base, scratch, mounts, process, stdin, limit, links, terminal: _ } = step;
    let mut exit = Exit { code: 0, out_of_memory: false };
    let mut timed_out = false;
    if let Some(process) = process {
        let command = process.args.first().cloned().unwrap_or_default();
        let what = format!("run `{command}` in {name}");
        let may_change_network = process.security.may_change_network();
        let root = Root { layers: layers(&base), changes: Some(scratch.changes.clone()) };
        let told = spec::process(&process, &scratch.changes, None);
        let (netns, request) = container(&shared, &what, root, mounts.list, &process, told, &links).await?;
        let launched =
            launch(&shared.shim, &request, Some(netns.namespace.as_fd()), stdin, Future::Ends).await;
        let launched = launched.map_err(|error| error.explain(&what, &command))?;
        exit = hear_within(launched, limit, &sink, &mut timed_out).await.map_err(failed(what))?;
        if !may_change_network {
            shared.give_back(netns);
        }
        drop(mounts.scratches);
    }
    Ok(Ended { shared, name, base, scratch, exit, timed_out, run: RunId::random() })
}

/// What a step's container is asked for with, and its network.
async fn container(
    shared: &Arc<Shared>,
    what: &str,
    root: Root,
    mounts: Vec<wire::Mount>,
    process: &Process,
    told: wire::Process,
    links: &[crate::engine::Link],
) -> Result<(Netns, Request)> {
    let network = if links.is_empty() { Network::Others } else { Network::Services };
    let netns = shared.netns(what, network, Users::of(&process.security)).await?;
    let resolver = shared.resolver(network).await;
    let hostname = process.hostname.clone().unwrap_or_else(|| HOSTNAME.to_owned());
    let hosts = shared.hosts(what, &[&hostname], netns.ip(), links)?;
    let container = Container { root, mounts, hostname, hosts, resolver, process: told };
    Ok((netns, Request::Run(Box::new(container))))
}

/// The same for a process with a terminal, whose changes go with it.
async fn open(step: Ready) -> Result<Terminal> {
    let Ready { shared, name, base, scratch, mounts, process, links, terminal, .. } = step;
    let (Some(process), Some(size)) = (process, terminal) else {
        return Err(Error::internal("a step without a terminal was opened"));
    };
    let command = process.args.first().cloned().unwrap_or_default();
    let what = format!("run `{command}` in {name}");
    let root = Root { layers: layers(&base), changes: Some(scratch.changes.clone()) };
    let told = spec::process(&process, &scratch.changes, Some(size));
    let (netns, request) = container(&shared, &what, root, mounts.list, &process, told, &links).await?;
    let network = netns.namespace.try_clone().map_err(failed(&what))?;
    let kept = (netns, scratch, mounts.scratches);
    let opened = super::terminal::open(&shared.shim, &request, Some(network.as_fd()), &what, kept).await;
    opened.map_err(|error| error.explain(&what, &command))
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

    fn run_id(&self) -> RunId {
        self.run.clone()
    }

    fn keep(self: Box<Self>, key: Digest, output: Recording, made_of: Vec<MadeOf>) -> Call<'static, Stored> {
        Box::pin(async move {
            let what = format!("keep what {} left", self.name);
            let Self { shared, base, scratch, run, .. } = *self;
            let from = Provenance::now(run, made_of);
            let kept = keep_under(&shared, base, scratch, key, output, from).await;
            kept.map(Stored::whole).map_err(failed(what))
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

/// Makes fewer layers of as many as an overlay is to have: those on top become one.
pub(super) async fn shorten(shared: &Shared, mut names: Vec<String>) -> io::Result<Vec<String>> {
    let Some(start) = merge_from(&names) else { return Ok(names) };
    let top = names.split_off(start);
    let name = Store::merged_name(&top);
    if !shared.store.has(&name) {
        let scratch = shared.store.scratch()?;
        let layers = layers(&snapshot_of(&top));
        let request = Request::Files(Files::Merge { layers, into: scratch.changes.upper.clone() });
        match shared.shim.ask_once(&request, &[]).await? {
            Answer::Done => shared.store.keep_as(&scratch, &name)?,
            Answer::Failed(text) => return Err(io::Error::other(text)),
            other => return Err(super::client::unexpected(&other)),
        }
    }
    names.push(name);
    Ok(names)
}

/// Which of the layers are merged. Those that were merged before are left alone as long as enough others come, so that
/// what a chain costs does not grow with its length.
fn merge_from(names: &[String]) -> Option<usize> {
    const MOST: usize = 128;
    const HALF: usize = MOST / 2;
    const WORTH_IT: usize = 16;
    if names.len() < MOST {
        return None;
    }
    let above_merged = names.iter().rposition(|name| is_merged(name)).map_or(0, |last| last + 1);
    let start = above_merged.max(HALF);
    Some(if names.len() - start >= WORTH_IT { start } else { HALF })
}

/// Stores under a key what a container left.
pub(super) async fn keep_under(
    shared: &Arc<Shared>,
    base: Snapshot,
    scratch: Scratch,
    key: Digest,
    output: Recording,
    from: Provenance,
) -> io::Result<Snapshot> {
    let for_layer = Arc::clone(shared);
    let layer = of_run(&key, &from.run);
    let names = blocking(move || keep_layer(&for_layer.store, &base, &scratch, &layer)).await?;
    let names = shorten(shared, names).await?;
    let shared = Arc::clone(shared);
    blocking(move || {
        let snapshot = snapshot_of(&names);
        shared.store.keep_step(&key, &StoredStep { layers: names, output, from })?;
        Ok(snapshot)
    })
    .await
}

/// What tells the layer of a run from those of others of the same step, which may be in use.
fn of_run(key: &Digest, run: &RunId) -> Digest {
    Digest(Sha256::digest(format!("{key} {}", run.as_str())))
}

/// All layers of what a container left.
fn keep_layer(store: &Store, base: &Snapshot, scratch: &Scratch, layer: &Digest) -> io::Result<Vec<String>> {
    let mut names = super::store::names(base);
    let upper = store.root().join(&scratch.changes.upper);
    // One that changed nothing needs no layer.
    if std::fs::read_dir(upper)?.next().is_some() {
        names.push(store.keep(scratch, layer)?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_any_length_has_few_layers() {
        let mut names = Vec::new();
        let (mut merges, mut taken) = (0, 0);
        for number in 0..10_000 {
            names.push(format!("{number:020}"));
            if let Some(start) = merge_from(&names) {
                merges += 1;
                taken += names.len() - start;
                names.truncate(start);
                names.push(format!("m{number:019}"));
            }
            assert!(names.len() < 128);
        }
        assert!(merges < 400 && taken < 25_000, "{merges} merges of {taken} layers");
    }
}
