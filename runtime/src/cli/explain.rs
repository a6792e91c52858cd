//! `explain`: why the steps of an item would run, or not.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::failure::Failure;
use super::memory::Memory;
use super::options::{Needs, switch};
use super::why::Verdict;
use super::{Call, print, select, unkept};
use crate::error::command_line;
use crate::session::{self, Earlier, Explained};
use crate::terminal::{self, Colours};
use crate::value::ItemHandle;

pub(super) const NAME: &str = "explain";
pub(super) const NEEDS: Needs = Needs::Engine;

pub(super) fn describe(command: Command) -> Command {
    command
        .about(
            "Say why the steps of a container would run, or not: what has changed since their last results",
        )
        .arg(Arg::new("item").value_name("ITEM").required(true).help("The container"))
        .arg(switch("json", "As JSON, with what every key is made of"))
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
                "locations": step.locations, "made_of": step.asked.made_of,
            })
        });
        return print::json(&steps.collect::<Vec<_>>());
    }
    print::text(&told(&judged))
}

fn judge(step: &Explained, memory: &Memory) -> Verdict {
    match &step.earlier {
        Earlier::Taken => Verdict::Cached,
        Earlier::TooOld(why) => Verdict::Stale(why.clone()),
        Earlier::Nothing => Verdict::of_missed(memory, (&*step.item, step.number), &step.asked),
    }
}

fn told(steps: &[(&Explained, Verdict)]) -> String {
    if steps.is_empty() {
        return "it has no steps\n".to_owned();
    }
    let mut text = String::new();
    for (step, verdict) in steps {
        let verdict = match verdict {
            Verdict::Cached => verdict.in_words(),
            missed => format!("runs: {}", missed.in_words()),
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
        if let Some(why) = unkept::words(step.unkept) {
            let _ = writeln!(text, "    {why}");
        }
        for location in &step.locations {
            let _ = writeln!(text, "    --> {location}");
        }
    }
    text
}
