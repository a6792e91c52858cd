//! `plan`: what would run.

use clap::Command;

use super::failure::Failure;
use super::options::{Needs, globs, switch};
use super::{Call, print, select};
use crate::graph::Plan;

pub(super) const NAME: &str = "plan";
pub(super) const NEEDS: Needs = Needs::Items;

pub(super) fn describe(command: Command) -> Command {
    command
        .about("Show what would run, without running it")
        .arg(globs("Only these items, and what they need"))
        .arg(switch("files", "Read the files of this machine that it uses, and show hashes of them"))
        .arg(switch("json", "Print JSON"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let globs = call.given.texts("glob");
    let items = select::select(call.items, &globs)?;
    // Without globs what the pipeline itself says, as its `plan()` does.
    let is_planned = |item: &&crate::Item| !globs.is_empty() || item.is_written_here();
    let mut plan = Plan::of_items(items.into_iter().filter(is_planned));
    if call.given.is_set("files") {
        plan = plan.with_files()?;
    }
    if call.given.is_set("json") {
        print::json(&plan)?;
    } else {
        print::text(&plan.to_string())?;
    }
    plan.check()?;
    Ok(())
}
