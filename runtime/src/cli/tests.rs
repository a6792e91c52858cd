//! Promises of the whole command line.

use std::collections::BTreeSet;

use super::*;

fn whole() -> Command {
    command("ci", "about", &[])
}

/// A pipeline's flag would hide one of these, which the compiler says of literals.
#[test]
fn every_flag_of_a_command_that_evaluates_a_pipeline_is_reserved() {
    let command = whole();
    let evaluating = SUBCOMMANDS.iter().filter(|subcommand| subcommand.needs != Needs::Nothing);
    let commands =
        evaluating.filter_map(|subcommand| command.find_subcommand(subcommand.name)).chain([&command]);
    let arguments: Vec<_> = commands.flat_map(Command::get_arguments).collect();
    let long: BTreeSet<&str> = arguments.iter().filter_map(|argument| argument.get_long()).collect();
    let short: BTreeSet<char> = arguments.iter().filter_map(|argument| argument.get_short()).collect();
    let reserved: BTreeSet<&str> = crate::flags::LONG.into_iter().collect();
    assert_eq!(long.difference(&reserved).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(
        short.difference(&crate::flags::SHORT.into_iter().collect()).collect::<Vec<_>>(),
        Vec::<&char>::new()
    );
}

/// clap's own checks of its definitions, which it makes in debug builds only.
#[test]
fn the_command_line_has_no_contradictions() {
    let flags = [Flag::new("a").default(1), Flag::switch("b").short('b'), Flag::new("c").repeated()];
    command("ci", "", &flags).debug_assert();
}

fn run(cli: Cli, args: &[&str]) -> u8 {
    let args = ["ci"].iter().chain(args).map(OsString::from).collect();
    cli.run(args).map_or_else(|failure| failure.code(), |()| exit::SUCCESS)
}

#[test]
fn values_reach_the_pipeline_as_they_were_given() {
    let given = |args: &'static [&str]| {
        let cli = Cli::new(async |flags| {
            assert_eq!(flags.get::<u16>("port")?, 81);
            assert_eq!(flags.optional::<String>("name")?.as_deref(), Some("-x"));
            assert_eq!(flags.repeated::<i8>("level")?, [1, -2]);
            assert!(flags.is_set("quick")?);
            assert!(flags.get::<u16>("name").is_err() && flags.is_set("port").is_err());
            Ok::<_, crate::Error>(Vec::new())
        });
        let cli = cli.flag(Flag::new("port").default(80).parsed_as::<u16>()).flag(Flag::switch("quick"));
        run(cli.flag(Flag::new("name").optional()).flag(Flag::new("level").repeated()), args)
    };
    assert_eq!(given(&["list", "--port", "81", "--name", "-x", "--level", "1", "--level=-2", "--quick"]), 0);
    // Also before the subcommand.
    assert_eq!(given(&["--port", "81", "--quick", "list", "--name=-x", "--level", "1", "--level", "-2"]), 0);
}

#[test]
fn what_cannot_be_understood_ends_before_the_pipeline_is_evaluated() {
    let code = |args: &[&str]| {
        let cli = Cli::new(async |_| -> Result<Vec<Item>, String> { panic!("it is evaluated") });
        run(cli.flag(Flag::new("port").parsed_as::<u16>()), args)
    };
    assert_eq!(code(&["list"]), exit::USAGE);
    assert_eq!(code(&["list", "--port", "many"]), exit::USAGE);
    assert_eq!(code(&["lst", "--port", "1"]), exit::USAGE);
    assert_eq!(code(&["--keep-going", "list", "--port", "1"]), exit::USAGE);
    assert_eq!(code(&["list", "--help"]), exit::SUCCESS);
}

#[test]
fn flags_that_cannot_be_are_refused() {
    let code = |flags: Vec<Flag>| {
        let cli = Cli::new(async |_| Ok::<_, String>(Vec::new()));
        run(flags.into_iter().fold(cli, Cli::flag), &["list"])
    };
    assert_eq!(code(vec![Flag::switch("jobs")]), exit::FAILURE);
    assert_eq!(code(vec![Flag::switch("a b")]), exit::FAILURE);
    assert_eq!(code(vec![Flag::switch("fast").short('f')]), exit::FAILURE);
    assert_eq!(code(vec![Flag::switch("a"), Flag::switch("a")]), exit::FAILURE);
    assert_eq!(code(vec![Flag::switch("a"), Flag::switch("b")]), exit::SUCCESS);
}

#[test]
fn what_a_pipeline_says_is_an_error() {
    let cli = Cli::new(async |_| Err::<Vec<Item>, _>("no pipeline today"));
    assert_eq!(run(cli, &["list"]), exit::FAILURE);
    let cli = Cli::new(async |_| Ok::<_, String>(Vec::new()));
    assert_eq!(run(cli, &["run"]), exit::NOTHING_MATCHED);
}
