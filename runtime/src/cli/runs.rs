//! `runs`: the runs of the program that are kept.

use std::fmt::Write as _;
use std::time::SystemTime;

use clap::Command;

use super::failure::Failure;
use super::kept::{self, Outcome, Run};
use super::options::{Needs, switch};
use super::{Call, exit, print};
use crate::report;

pub(super) const NAME: &str = "runs";
pub(super) const NEEDS: Needs = Needs::Nothing;

pub(super) fn describe(command: Command) -> Command {
    command
        .about("List the last runs, the last first: `logs` and `report` say more of them")
        .arg(switch("json", "As JSON"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let runs = kept::all()?;
    if call.given.is_set("json") {
        let runs = runs.iter().map(|run| {
            let started = run.started().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let exit_code = match run.outcome {
                Outcome::Ended(code) => Some(code),
                Outcome::GoesOn | Outcome::Interrupted => None,
            };
            serde_json::json!({
                "id": run.head.run, "started": started.as_secs_f64(), "took": run.took.as_secs_f64(),
                "outcome": word(run.outcome), "exit_code": exit_code, "command": run.head.command,
            })
        });
        return print::json(&runs.collect::<Vec<_>>());
    }
    if runs.is_empty() {
        return Err(kept::none());
    }
    print::text(&table(&runs))
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::GoesOn => "running",
        Outcome::Ended(exit::SUCCESS) => "succeeded",
        Outcome::Ended(_) => "failed",
        Outcome::Interrupted => "interrupted",
    }
}

fn table(runs: &[Run]) -> String {
    let head = ["ID", "STARTED", "TOOK", "OUTCOME", "COMMAND"].map(str::to_owned);
    let rows = runs.iter().map(|run| {
        let outcome = match run.outcome {
            Outcome::Ended(code) if code != exit::SUCCESS => format!("failed ({code})"),
            outcome => word(outcome).to_owned(),
        };
        [run.head.run.clone(), run.ago(), report::in_words(run.took), outcome, run.command()]
    });
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for [cells @ .., last] in &rows {
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(text, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{last}");
    }
    text
}
