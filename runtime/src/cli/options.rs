//! Arguments that several commands have.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::given::Given;
use crate::engine::CachePlace;
use crate::report::{Progress, Report, Wish};
use crate::session::{CachePlaces, Caching, Settings, cache_place};
use crate::{Error, Result};

/// The reports, by the flag that names their file.
const REPORTS: [(&str, Report, &str); 4] = [
    ("report", Report::Html, "Write what happened into FILE, as a page for browsers"),
    ("junit", Report::JUnit, "Write what happened into FILE, as JUnit XML"),
    ("trace", Report::ChromeTrace, "Write what happened into FILE, as a Chrome trace"),
    ("events", Report::Events, "Write every event into FILE as it happens, as lines of JSON"),
];

/// What a command needs of the pipeline and of the machine, from which follow its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: the pipeline is not even evaluated.
    Nothing,
    /// The pipeline's items, and no engine.
    Items,
    /// An engine that runs them.
    Engine,
}

/// Adds the arguments of commands that run something.
pub(super) fn of_engine(command: Command) -> Command {
    let engine = Arg::new("engine")
        .long("engine")
        .value_name("ENGINE")
        .value_parser(PossibleValuesParser::new(["docker", "native"]))
        .help("What runs the containers; by default what BOWLINE_ENGINE says, else whichever there is");
    let jobs = Arg::new("jobs")
        .long("jobs")
        .short('j')
        .value_name("N")
        .value_parser(value_parser!(u16).range(1..))
        .help("Run at most this many commands at once; by default any number");
    let cache = Arg::new("cache")
        .long("cache")
        .value_name("MODE")
        .value_parser(PossibleValuesParser::new(Caching::ALL.map(Caching::word)))
        .help("Whether results of earlier runs are taken, and new ones stored; by default what BOWLINE_CACHE says, else on");
    let cache_from = Arg::new("cache-from")
        .long("cache-from")
        .value_name("PLACE")
        .action(ArgAction::Append)
        .value_parser(cache_place)
        .help("Take results from there, where there are none here: `dir:PATH` or `registry:HOST/NAME`; by default what BOWLINE_CACHE_FROM says");
    let cache_to = Arg::new("cache-to")
        .long("cache-to")
        .value_name("PLACE")
        .value_parser(cache_place)
        .help("Write the results that this run uses there; by default what BOWLINE_CACHE_TO says");
    let progress = Arg::new("progress")
        .long("progress")
        .value_name("MODE")
        .value_parser(PossibleValuesParser::new(Progress::ALL.map(Progress::word)))
        .help("How to show what happens; by default what BOWLINE_PROGRESS says");
    let color = Arg::new("color")
        .long("color")
        .value_name("WHEN")
        .value_parser(PossibleValuesParser::new(["auto", "always", "never"]))
        .help("When to use colours; by default where standard error is a terminal");
    let verbose = Arg::new("verbose")
        .long("verbose")
        .short('v')
        .action(ArgAction::SetTrue)
        .conflicts_with_all(["quiet", "progress"])
        .help("Show every line, as it comes: `--progress log`");
    let quiet = Arg::new("quiet")
        .long("quiet")
        .short('q')
        .action(ArgAction::SetTrue)
        .conflicts_with("progress")
        .help("Show nothing but errors: `--progress quiet`");
    let arguments = [engine, jobs, cache, cache_from, cache_to, progress, color, verbose, quiet];
    let command = command.args(arguments.map(|argument| argument.help_heading("Running")));
    command.args(REPORTS.map(|(name, _, help)| {
        let file = Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf));
        file.help(help).help_heading("Reports")
    }))
}

/// The one item that a command is about.
pub(super) fn item(help: &'static str) -> Arg {
    Arg::new("item").value_name("ITEM").required(true).help(help)
}

/// Globs of items.
pub(super) fn globs(help: &'static str) -> Arg {
    Arg::new("glob").value_name("GLOB").num_args(0..).help(help)
}

pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// The settings of the session.
pub(super) fn settings(given: &Given<'_>) -> Settings {
    let jobs = given.of("jobs").get_one::<u16>("jobs");
    let from = given.of("cache-from").get_many::<CachePlace>("cache-from");
    let to = given.of("cache-to").get_one::<CachePlace>("cache-to");
    Settings {
        places: CachePlaces { from: from.into_iter().flatten().cloned().collect(), to: to.cloned() },
        engine: given.text("engine").map(str::to_owned),
        caching: given.text("cache").and_then(Caching::called),
        recorder: None,
        jobs: jobs.map(|jobs| tokio::sync::Semaphore::new(usize::from(*jobs))),
    }
}

/// What people are to see.
pub(super) fn wish(given: &Given<'_>) -> Wish {
    let progress = if given.is_set("verbose") {
        Some(Progress::Log)
    } else if given.is_set("quiet") {
        Some(Progress::Quiet)
    } else {
        given.text("progress").and_then(|word| word.parse().ok())
    };
    let colours = match given.text("color") {
        Some("always") => Some(true),
        Some("never") => Some(false),
        _ => None,
    };
    Wish { progress, colours }
}

/// Begins the reports, before anything runs.
pub(super) fn report(given: &Given<'_>) -> Result<(), Error> {
    for (name, report, _) in REPORTS {
        if let Some(path) = given.of(name).get_one::<PathBuf>(name) {
            report.write_to(path)?;
        }
    }
    Ok(())
}
