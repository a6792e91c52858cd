//! `man`: a manual page.

use clap::Command;

use super::failure::Failure;
use super::options::Needs;
use super::{Call, print};

pub(super) const NAME: &str = "man";
pub(super) const NEEDS: Needs = Needs::Nothing;

pub(super) fn describe(command: Command) -> Command {
    command.about("Print a manual page: `man -l` shows it")
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(call.command.clone()).render(&mut page);
    rendered.map_err(|error| Failure::Program(error.into()))?;
    print::text(&String::from_utf8_lossy(&page))
}
