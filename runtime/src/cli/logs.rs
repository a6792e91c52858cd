//! `logs`: what items wrote in a run that is kept.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Arg, Command};

use super::Call;
use super::failure::Failure;
use super::kept::{self, Run};
use super::options::{Needs, switch};
use super::select::{self, Pattern};
use crate::event::{self, Event, EventKind, Outcome, Subject};
use crate::report;
use crate::terminal::{self, Colours, plain as shown};

pub(super) const NAME: &str = "logs";
pub(super) const NEEDS: Needs = Needs::Nothing;

/// How often a run that goes on is asked for more.
const PERIOD: Duration = Duration::from_millis(100);

pub(super) fn describe(command: Command) -> Command {
    let item = Arg::new("item").value_name("ITEM");
    command
        .about("Print what an item wrote when it last ran, without running anything")
        .arg(item.help("A service or a container, or a glob of them; by default all of the last run"))
        .arg(switch("follow", "Go on as long as the run does").short('f'))
        .arg(kept::argument())
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let given = call.given;
    let item = given.text("item");
    let pattern = item.map(Pattern::new).transpose()?;
    let wanted = |name: &str| pattern.as_ref().is_none_or(|pattern| pattern.fits_name(name));
    let run = match (item, given.text("run")) {
        (Some(item), None) => last_of(item, wanted)?,
        (item, asked) => {
            let run = kept::one(asked)?;
            if let Some(item) = item {
                let seen = Seen::of(&run, wanted)?;
                if !seen.is_there {
                    return Err(nothing(item, &seen.names));
                }
                if !seen.has_run && !run.goes_on() {
                    return Err(idle(item, &format!("in the run {}", run.head.run), seen.instead));
                }
            }
            run
        }
    };
    // Of one item that is named as it is the lines are as they were written.
    let is_named = |name: &str| item != Some(name);
    let mut printer =
        Printer { out: io::BufWriter::new(io::stdout().lock()), is_terminal: io::stdout().is_terminal() };
    let mut lines = run.lines()?;
    loop {
        let is_over = !given.is_set("follow") || !run.goes_on();
        for line in lines.by_ref() {
            let line = line.map_err(|error| Failure::Program(error.into()))?;
            if let Ok(told) = event::read(&line)
                && wanted(told.event.subject.name())
            {
                printer.print(&told.event, is_named(told.event.subject.name()))?;
            }
        }
        printer.out.flush().map_err(|error| Failure::of_printing(&error))?;
        if is_over {
            return Ok(());
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// What a run has of the items that are asked for.
#[derive(Debug, Default)]
struct Seen {
    /// The names of all its items.
    names: BTreeSet<String>,
    is_there: bool,
    /// Whether one of them ran.
    has_run: bool,
    /// What became of them in its place.
    instead: Instead,
}

#[derive(Debug, Clone, Copy, Default)]
enum Instead {
    #[default]
    Nothing,
    Cached,
    Skipped,
    /// Another process runs it.
    Joined,
}

impl Seen {
    fn of(run: &Run, wanted: impl Fn(&str) -> bool) -> Result<Self, Failure> {
        let mut seen = Self::default();
        let mut known = HashSet::new();
        for line in run.lines()? {
            let line = line.map_err(|error| Failure::Program(error.into()))?;
            let Ok(told) = event::read(&line) else { continue };
            let Event { span, subject, kind, .. } = told.event;
            if !writes(&subject) {
                continue;
            }
            let is_wanted = wanted(subject.name());
            if known.insert(span) {
                seen.is_there |= is_wanted;
                seen.names.insert(subject.name().to_owned());
            }
            if !is_wanted {
                continue;
            }
            match kind {
                EventKind::Started { .. } | EventKind::Output { .. } => seen.has_run = true,
                EventKind::Cached => seen.instead = Instead::Cached,
                EventKind::Closed(Outcome::Skipped { .. }) => seen.instead = Instead::Skipped,
                EventKind::Joined { .. } => seen.instead = Instead::Joined,
                _ => {}
            }
        }
        Ok(seen)
    }
}

/// Whether its lines are those of an item.
fn writes(subject: &Subject) -> bool {
    matches!(subject, Subject::Step { .. } | Subject::Service { .. } | Subject::Preparation { .. })
}

/// The last run in which an item ran.
fn last_of(item: &str, wanted: impl Fn(&str) -> bool) -> Result<Run, Failure> {
    let runs = kept::all()?;
    if runs.is_empty() {
        return Err(kept::none());
    }
    let mut names = BTreeSet::new();
    let mut instead = None;
    for (index, run) in runs.iter().enumerate() {
        let seen = Seen::of(run, &wanted)?;
        if seen.has_run || (seen.is_there && run.goes_on()) {
            if index > 0 {
                // It is not standard output's: that is what the item wrote, and nothing else.
                report::say(&format!("bowline: `{}` last ran in {}", shown(item), run.in_words()));
            }
            return Ok(run.clone());
        }
        instead = instead.or(seen.is_there.then_some(seen.instead));
        names.extend(seen.names);
    }
    Err(match instead {
        Some(instead) => idle(item, "in any run that is kept", instead),
        None => nothing(item, &names),
    })
}

/// The error for an item that no run has.
fn nothing(item: &str, names: &BTreeSet<String>) -> Failure {
    let known: Vec<String> = names.iter().map(|name| format!("`{}`", shown(name))).collect();
    let help = match select::near(names.iter().map(String::as_str), item) {
        Some(near) => format!("an item with a similar name has: `{}`", shown(near)),
        None if known.is_empty() => "none of its items has".to_owned(),
        None => format!("these have: {}", known.join(", ")),
    };
    let item = shown(item);
    Failure::NothingMatched(format!("no item named `{item}` has run\n\nhelp: {help}"))
}

/// The error for an item that wrote nothing as it did not run.
fn idle(item: &str, runs: &str, instead: Instead) -> Failure {
    let item = shown(item);
    let why = match instead {
        Instead::Cached => {
            format!(": its result was there\n\nhelp: `run {item} -o` prints what its last command wrote")
        }
        Instead::Skipped => ": it was skipped, as something that it needs failed".to_owned(),
        Instead::Joined => ": it was another process's, which has its log".to_owned(),
        Instead::Nothing => String::new(),
    };
    Failure::NothingMatched(format!("`{item}` did not run {runs}{why}"))
}

struct Printer<W: io::Write> {
    out: W,
    is_terminal: bool,
}

impl<W: io::Write> Printer<W> {
    fn print(&mut self, event: &Event, is_named: bool) -> Result<(), Failure> {
        let missing;
        let lines = match &event.kind {
            EventKind::Output { line, .. } if writes(&event.subject) => &**line,
            EventKind::OutputDropped { lines } if writes(&event.subject) => {
                missing = format!("[{lines} lines are missing here: there were too many]");
                &missing
            }
            _ => return Ok(()),
        };
        let name = if is_named { format!("{} | ", shown(event.subject.name())) } else { String::new() };
        for line in lines.split('\n') {
            let written = if self.is_terminal {
                writeln!(self.out, "{name}{}", terminal::clean(line, Colours::Kept))
            } else {
                writeln!(self.out, "{name}{line}")
            };
            written.map_err(|error| Failure::of_printing(&error))?;
        }
        Ok(())
    }
}
