//! `explain`: why the steps of an item would run, or not.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::failure::Failure;
use super::memory::Memory;
use super::options::{Needs, switch};
use super::{Call, kept, print, select};
use crate::error::command_line;
use crate::graph::Change;
use crate::session::{self, Explained};
use crate::terminal::{self, Colours};
use crate::value::ItemHandle;

pub(super) const NAME: &str = "explain";
pub(super) const NEEDS: Needs = Needs::Engine;

/// How many changes are named, and how many files of each.
const MOST: usize = 5;

pub(super) fn describe(command: Command) -> Command {
    command
        .about(
            "Say why the steps of a container would run, or not: what has changed since their last results",
        )
        .arg(Arg::new("item").value_name("ITEM").required(true).help("The container"))
        .arg(switch("json", "As JSON, with what every key is made of"))
}

/// What would become of a step.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// Its result is there.
    Cached,
    /// It runs in every session.
    Uncached,
    /// There has been no result of it.
    New,
    /// Nothing has changed, and the engine has its result no longer.
    Evicted,
    /// This has changed.
    Changed(Vec<String>),
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let name = call.given.text("item").unwrap_or_default();
    let item = select::one(call.items, name)?;
    let ItemHandle::Container(container) = &item.handle else {
        return Err(select::unfit(item, "has no steps"));
    };
    let steps = session::explain(container.clone()).await?;
    let memory = Memory::of_program();
    let judged: Vec<(&Explained, Verdict)> = steps.iter().map(|step| (step, judge(step, &memory))).collect();
    if call.given.is_set("json") {
        let steps = judged.iter().map(|(step, verdict)| {
            serde_json::json!({
                "item": &*step.item, "number": step.number, "command": step.args, "verdict": verdict,
                "locations": step.locations, "made_of": step.made_of,
            })
        });
        return print::json(&steps.collect::<Vec<_>>());
    }
    print::text(&told(&judged))
}

fn judge(step: &Explained, memory: &Memory) -> Verdict {
    if step.is_kept {
        return Verdict::Cached;
    }
    if step.is_volatile {
        return Verdict::Uncached;
    }
    let Some(before) = memory.step(&step.item, step.number) else { return Verdict::New };
    let changes = step.made_of.changes_since(&before);
    if changes.is_empty() {
        return Verdict::Evicted;
    }
    let mut words: Vec<String> = Vec::new();
    for change in changes {
        match change {
            Change::New(part) => words.push(format!("{part} is new")),
            Change::Gone(part) => words.push(format!("{part} is gone")),
            Change::Changed(part) => match files(step, &before, &part, memory) {
                Some(files) => words.extend(files),
                None => words.push(format!("{part} changed")),
            },
        }
    }
    Verdict::Changed(words)
}

/// The files that have changed, if the part is a directory of this machine.
fn files(
    step: &Explained,
    before: &crate::graph::Ingredients,
    part: &str,
    memory: &Memory,
) -> Option<Vec<String>> {
    let mut sources = step.made_of.sources.iter().zip(&step.contents);
    let ((path, _), contents) =
        sources.find(|((path, _), _)| part.starts_with(&format!("files of {path}")))?;
    let (_, digest) = before.sources.iter().find(|(other, _)| other == path)?;
    let (changed, count) = memory.changed_files(digest, &**contents, MOST)?;
    let mut words: Vec<String> =
        changed.iter().map(|file| format!("file {} changed", path_of(path, file))).collect();
    if count > changed.len() {
        words.push(format!("{} more files of {path} changed", count - changed.len()));
    }
    (count > 0).then_some(words)
}

/// The path of a file as the pipeline has it.
fn path_of(source: &str, file: &str) -> String {
    let source = source.trim_end_matches('/');
    let is_the_file = std::path::Path::new(source).file_name().is_some_and(|name| name == file);
    if is_the_file { source.to_owned() } else { format!("{source}/{file}") }
}

fn told(steps: &[(&Explained, Verdict)]) -> String {
    if steps.is_empty() {
        return "it has no steps\n".to_owned();
    }
    let mut text = String::new();
    for (step, verdict) in steps {
        let verdict = match verdict {
            Verdict::Cached => "cached".to_owned(),
            Verdict::Uncached => "runs: it is uncached, or needs what is".to_owned(),
            Verdict::New => "runs: this program has no earlier result of it".to_owned(),
            Verdict::Evicted => {
                "runs: nothing changed, but the engine does not have its result any more".to_owned()
            }
            Verdict::Changed(words) => {
                let mut shown: Vec<&str> = words.iter().take(MOST).map(String::as_str).collect();
                let more = format!("{} more", words.len().saturating_sub(MOST));
                if words.len() > MOST {
                    shown.push(&more);
                }
                format!("runs: {}", shown.join(", "))
            }
        };
        let command = match &step.args {
            Some(args) => command_line(args),
            None => "files are put into it".to_owned(),
        };
        let command =
            terminal::clean(command.lines().next().unwrap_or_default(), Colours::Removed).into_owned();
        let verdict = terminal::clean(&verdict, Colours::Removed).into_owned();
        let item = terminal::clean(&step.item, Colours::Removed).into_owned();
        let _ = writeln!(text, "{item} {}: {verdict}\n    {command}", step.number);
        if let Some(why) = kept::words(step.unkept) {
            let _ = writeln!(text, "    {why}");
        }
        for location in &step.locations {
            let _ = writeln!(text, "    --> {location}");
        }
    }
    text
}
