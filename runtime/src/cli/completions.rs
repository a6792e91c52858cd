//! `completions`: for shells.

use clap::{Arg, Command, value_parser};
use clap_complete::Shell;

use super::failure::Failure;
use super::options::Needs;
use super::{Call, print};

pub(super) const NAME: &str = "completions";
pub(super) const NEEDS: Needs = Needs::Nothing;

pub(super) fn describe(command: Command) -> Command {
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell));
    command.about("Print what makes a shell complete this command line").arg(shell.help("The shell"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let mut command = call.command.clone();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    if let Some(shell) = call.given.of("shell").get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut command, name, &mut script);
    }
    print::bytes(&script)
}
