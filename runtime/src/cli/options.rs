//! Arguments that several commands have.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::given::Given;
use super::shown::{Colour, Progress, Shown};
use crate::session::Settings;

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
    let progress = Arg::new("progress")
        .long("progress")
        .value_name("MODE")
        .value_parser(PossibleValuesParser::new(Progress::ALL.map(Progress::word)))
        .help("How to show what happens; by default what BOWLINE_PROGRESS says");
    let color = Arg::new("color")
        .long("color")
        .value_name("WHEN")
        .value_parser(PossibleValuesParser::new(Colour::ALL.map(Colour::word)))
        .help("When to use colours; by default where standard error is a terminal");
    let verbose = Arg::new("verbose")
        .long("verbose")
        .short('v')
        .action(ArgAction::Count)
        .conflicts_with("quiet")
        .help("Show more of what happens");
    let quiet = Arg::new("quiet")
        .long("quiet")
        .short('q')
        .action(ArgAction::Count)
        .help("Show less of what happens; twice: nothing but errors");
    let arguments = [engine, jobs, progress, color, verbose, quiet];
    command.args(arguments.map(|argument| argument.help_heading("Running")))
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
    Settings {
        engine: given.text("engine").map(str::to_owned),
        jobs: jobs.map(|jobs| tokio::sync::Semaphore::new(usize::from(*jobs))),
    }
}

/// What people see.
pub(super) fn shown(given: &Given<'_>) -> Shown {
    Shown {
        progress: given.text("progress").and_then(Progress::of),
        colour: given.text("color").and_then(Colour::of),
        verbosity: i16::from(given.count("verbose")) - i16::from(given.count("quiet")),
    }
}
