//! `doctor`: what runs pipelines on this machine.

use clap::Command;

use super::failure::Failure;
use super::options::Needs;
use super::{Call, print};
use crate::engine::doctor;

pub(super) const NAME: &str = "doctor";
pub(super) const NEEDS: Needs = Needs::Nothing;

pub(super) fn describe(command: Command) -> Command {
    command.about("Say which engines can run pipelines on this machine, and which one is chosen")
}

pub(super) async fn run(_: Call<'_>) -> Result<(), Failure> {
    print::text(&doctor().await.to_string())
}
