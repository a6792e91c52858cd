//! `terminal`: a shell in an item.

use clap::{Arg, Command};

use super::failure::Failure;
use super::options::{Needs, item};
use super::{Call, exit, select};
use crate::value::ItemHandle;

pub(super) const NAME: &str = "terminal";
pub(super) const NEEDS: Needs = Needs::Engine;

pub(super) fn describe(command: Command) -> Command {
    let other = Arg::new("command").value_name("COMMAND").num_args(1..).last(true);
    command
        .about("Open a shell in a service, or in what a container leaves")
        .arg(item("A service or a container, which runs first"))
        .arg(other.help("What to run in the place of a shell; the program ends as it does"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let item = select::one(call.items, call.given.text("item").unwrap_or_default())?;
    let terminal = match &item.handle {
        ItemHandle::Container(container) => container.terminal(),
        ItemHandle::Service(service) => service.terminal(),
        _ => return Err(select::unfit(item, "has no processes: `terminal` takes a service or a container")),
    };
    let command = call.given.texts("command");
    if command.is_empty() {
        // Whoever leaves a shell does not judge the last command in it.
        terminal.await?;
        return Ok(());
    }
    match terminal.command(command).await? {
        0 => Ok(()),
        code => Err(Failure::Shown(u8::try_from(code).unwrap_or(exit::FAILURE))),
    }
}
