//! `prune`: room on the disk.

use clap::{Arg, Command};

use super::failure::Failure;
use super::options::Needs;
use super::{Call, print};
use crate::engine::{Prune, prune};
use crate::value::{IntoDuration, IntoSize};

pub(super) const NAME: &str = "prune";
pub(super) const NEEDS: Needs = Needs::Nothing;

pub(super) fn describe(command: Command) -> Command {
    let time = Arg::new("unused-for").long("unused-for").value_name("TIME");
    let size = Arg::new("down-to").long("down-to").value_name("SIZE");
    command
        .about("Remove images and results from the native engine's store that no pipeline uses")
        .arg(
            time.value_parser(|text: &str| text.into_duration())
                .help("Only what no pipeline has used for so long: `2h`, `336h`"),
        )
        .arg(
            size.value_parser(|text: &str| text.into_size())
                .help("The least recently used first, until so much is left: `20GiB`"),
        )
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let mut what = Prune::all();
    if let Some(time) = call.given.of("unused-for").get_one("unused-for") {
        what = what.unused_for(*time);
    }
    if let Some(bytes) = call.given.of("down-to").get_one("down-to") {
        what = what.down_to(*bytes);
    }
    print::text(&prune(what).await?.to_string())
}
