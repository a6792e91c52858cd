//! What came out, for people.

use std::time::Duration;

use crate::methods::{Role, SCENARIOS};
use crate::rounds::{Outcome, Times};

/// One table a scenario, and what every method leaves out.
pub(crate) fn render(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for (scenario, what) in SCENARIOS {
        let of_it: Vec<&Outcome> =
            outcomes.iter().filter(|outcome| outcome.method.scenario == scenario).collect();
        if of_it.is_empty() {
            continue;
        }
        text += &["\n", scenario, ": ", what, "\n\n", &table(&of_it), "\nwhat it leaves out:\n"].concat();
        let names = of_it.iter().map(|outcome| outcome.method.name.len()).max().unwrap_or_default();
        for Outcome { method, .. } in of_it.iter().filter(|outcome| !outcome.missing) {
            let padding = " ".repeat(names - method.name.len());
            text += &[method.name, &padding, "  ", method.leaves_out, "\n"].concat();
        }
    }
    text
}

const HEAD: [&str; 10] = [
    "method",
    "n",
    "result min",
    "result",
    "whole",
    "nothing left",
    "result/raw",
    "whole/raw",
    "result/bowline",
    "whole/bowline",
];

fn table(outcomes: &[&Outcome]) -> String {
    let medians: Vec<Option<Times>> = outcomes.iter().map(|outcome| medians(&outcome.times)).collect();
    let fastest = |role: Role, of: fn(&Times) -> Duration| {
        let of_role = outcomes.iter().zip(&medians).filter(|(outcome, _)| outcome.method.role == role);
        of_role.filter_map(|(_, times)| times.as_ref().map(of)).min()
    };
    let ratio = |time: Duration, to: Option<Duration>| match to {
        Some(to) => format!("{:.2}", time.as_secs_f64() / to.as_secs_f64()),
        None => "-".to_owned(),
    };
    let (result, whole) = (|times: &Times| times.result, |times: &Times| times.whole);
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for (outcome, times) in outcomes.iter().zip(&medians) {
        let mut row = vec![outcome.method.name.to_owned(), outcome.times.len().to_string()];
        match times {
            Some(times) => {
                let minimum = outcome.times.iter().map(result).min().unwrap_or_default();
                row.extend(
                    [minimum, times.result, times.whole, times.gone].map(|time| time.as_millis().to_string()),
                );
                row.extend([
                    ratio(times.result, fastest(Role::Raw, result)),
                    ratio(times.whole, fastest(Role::Raw, whole)),
                    ratio(times.result, fastest(Role::Ours, result)),
                    ratio(times.whole, fastest(Role::Ours, whole)),
                ]);
            }
            None if outcome.missing => row.push("not installed".to_owned()),
            None => row.push("failed".to_owned()),
        }
        if outcome.has_failed() && times.is_some() {
            row.push(format!("({} failed)", outcome.failures.len()));
        }
        rows.push(row);
    }
    align(&rows) + "medians in ms, unless said otherwise; raw is the fastest raw way that isolates\n"
}

/// The median of each, by itself.
fn medians(times: &[Times]) -> Option<Times> {
    let of = |get: fn(&Times) -> Duration| {
        let mut sorted: Vec<_> = times.iter().map(get).collect();
        sorted.sort_unstable();
        let upper = sorted.get(sorted.len() / 2)?;
        let lower = sorted.get((sorted.len() - 1) / 2)?;
        Some((*upper + *lower) / 2)
    };
    Some(Times {
        result: of(|times| times.result)?,
        whole: of(|times| times.whole)?,
        gone: of(|times| times.gone)?,
    })
}

/// The first column to the left, numbers to the right.
fn align(rows: &[Vec<String>]) -> String {
    let columns = HEAD.len();
    let is_row = |row: &&Vec<String>| row.len() >= columns;
    let width = |column: usize| {
        let cells = rows.iter().filter(is_row).chain(rows.first()).filter_map(|row| row.get(column));
        cells.map(String::len).max().unwrap_or_default()
    };
    let mut text = String::new();
    for row in rows {
        let name_width = rows.iter().filter_map(|row| row.first()).map(String::len).max().unwrap_or_default();
        let cells = row.iter().enumerate().map(|(column, cell)| match column {
            0 => format!("{cell:<name_width$}"),
            _ => format!("{cell:>width$}", width = width(column)),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
