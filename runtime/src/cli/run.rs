//! `run`: runs containers, and whatever else is asked for by name. It is what the program does without a subcommand.

use std::io::IsTerminal;

use clap::{Arg, ArgAction, Command};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::failure::{self, Failure};
use super::options::{Needs, globs, switch};
use super::select::{self, Partition};
use super::{Call, print};
use crate::value::{Item, ItemHandle, ItemKind};
use crate::{Error, Result, report};

pub(super) const NAME: &str = "run";
pub(super) const NEEDS: Needs = Needs::Engine;

pub(super) fn describe(command: Command) -> Command {
    let about = "Run containers, with the services that they need: the default";
    let globs = globs("What to run: a service is started until it is ready; by default every container");
    options(command.about(about).arg(globs))
}

/// What may also be said without `run`.
pub(super) fn options(command: Command) -> Command {
    let skip = Arg::new("skip")
        .long("skip")
        .value_name("GLOB")
        .action(ArgAction::Append)
        .help("Leave these out; other items that need them still run them");
    let partition = Arg::new("partition")
        .long("partition")
        .value_name("PART")
        .value_parser(|text: &str| text.parse::<Partition>().map_err(|error| error.to_string()))
        .help("Only a part: `slice:2/3` is every third item, from the second");
    command
        .arg(skip)
        .arg(switch("keep-going", "Run what can run when something has failed, in place of cancelling it"))
        .arg(switch("interactive", "Open a shell in what a failed command left").short('i'))
        .arg(partition)
        .arg(
            switch("output", "Print what the last command of each container writes to standard output")
                .short('o'),
        )
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let given = call.given;
    let globs = if call.has("glob") { given.texts("glob") } else { Vec::new() };
    let items = chosen(call.items, &globs, &given.texts("skip"))?;
    let partition = given.of("partition").get_one::<Partition>("partition");
    let items = partition.map_or_else(|| items.clone(), |partition| partition.of(items.clone()));
    // A shell is typed into.
    let _keys = (!given.is_set("interactive")).then(report::listen);
    let (with_output, keep_going) = (given.is_set("output"), given.is_set("keep-going"));
    let mut outputs = Outputs::new(items.len());
    let mut failures: Vec<Error> = Vec::new();
    let mut running: FuturesUnordered<_> = items
        .iter()
        .enumerate()
        .map(|(index, item)| async move { (index, run_item(item, with_output).await) })
        .collect();
    while let Some((index, done)) = running.next().await {
        match done {
            Ok(output) => outputs.add(index, output)?,
            Err(error) => {
                outputs.add(index, Vec::new())?;
                // Several items may need the same step.
                if !failures.iter().any(|other| other.to_string() == error.to_string()) {
                    failures.push(error);
                }
                if !keep_going {
                    break;
                }
            }
        }
    }
    // Cancels what has not ended.
    drop(running);
    if failures.is_empty() {
        return Ok(());
    }
    if given.is_set("interactive") {
        // Whoever looks around knows what went wrong.
        report::settle();
        failures.iter().for_each(failure::say);
        look_around(&failures).await?;
        return Err(Failure::Shown(Failure::Pipeline(failures).code()));
    }
    Err(Failure::Pipeline(failures))
}

/// What is to be run.
fn chosen<'i>(items: &'i [Item], globs: &[&str], skipped: &[&str]) -> Result<Vec<&'i Item>, Failure> {
    let named = select::select(items, globs)?;
    let runs = |item: &&Item| match item.kind() {
        ItemKind::Container => true,
        ItemKind::Service | ItemKind::Directory | ItemKind::File => !globs.is_empty(),
        ItemKind::Cache | ItemKind::Secret => false,
    };
    let runnable: Vec<&Item> = named.iter().copied().filter(runs).collect();
    if runnable.is_empty() {
        let message = match (globs, named.first()) {
            ([], _) => "the pipeline has no container to run\n\nhelp: `up` starts its services".to_owned(),
            (_, Some(item)) => format!("`{}` is a {}, and nothing runs for it", item.name, item.kind()),
            (_, None) => "nothing to run".to_owned(),
        };
        return Err(Failure::NothingMatched(message));
    }
    select::skip(runnable, skipped)
}

/// Gives what the item writes to standard output, if that is wanted.
async fn run_item(item: &Item, with_output: bool) -> Result<Vec<u8>> {
    match &item.handle {
        ItemHandle::Service(service) => service.start().await?,
        ItemHandle::Container(container) if with_output && container.has_command() => {
            return Ok(container.output().await?.stdout);
        }
        ItemHandle::Container(container) => container.sync().await?,
        ItemHandle::Directory(directory) => directory.sync().await?,
        ItemHandle::File(file) => file.sync().await?,
        ItemHandle::Cache(_) | ItemHandle::Secret(_) => {}
    }
    Ok(Vec::new())
}

/// A shell in what the first failed command left.
async fn look_around(failures: &[Error]) -> Result<(), Failure> {
    let Some(container) = failures.iter().find_map(Error::container) else {
        report::say("bowline: no shell: only a command of a container leaves something to look at");
        return Ok(());
    };
    if !std::io::stdin().is_terminal() {
        report::say("bowline: no shell: standard input is not a terminal");
        return Ok(());
    }
    container.terminal().await?;
    Ok(())
}

/// What containers print, in the order of the pipeline, each as soon as those before it have ended.
struct Outputs {
    /// What has ended and waits for its turn.
    ended: Vec<Option<Vec<u8>>>,
    next: usize,
    is_read: bool,
}

impl Outputs {
    fn new(items: usize) -> Self {
        Self { ended: vec![None; items], next: 0, is_read: true }
    }

    fn add(&mut self, index: usize, output: Vec<u8>) -> Result<(), Failure> {
        if let Some(place) = self.ended.get_mut(index) {
            *place = Some(output);
        }
        while let Some(output) = self.ended.get_mut(self.next).and_then(Option::take) {
            self.next += 1;
            if self.is_read {
                match print::bytes(&output) {
                    // What was asked for still runs, though nobody reads what it prints.
                    Err(Failure::NobodyReads) => self.is_read = false,
                    other => other?,
                }
            }
        }
        Ok(())
    }
}
