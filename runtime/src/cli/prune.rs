//! `prune`: room on the disk.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};

use super::failure::Failure;
use super::options::Needs;
use super::options::switch;
use super::{Call, print};
use crate::engine::{Prune, StoredKind, prune};
use crate::value::{IntoDuration, IntoSize};

pub(super) const NAME: &str = "prune";
pub(super) const NEEDS: Needs = Needs::Nothing;

pub(super) fn describe(command: Command) -> Command {
    let time = Arg::new("unused-for").long("unused-for").value_name("TIME");
    let size = Arg::new("down-to").long("down-to").value_name("SIZE");
    command
        .about("Remove images, results and caches that the engine keeps and no pipeline uses")
        .arg(
            time.value_parser(|text: &str| text.into_duration())
                .help("Only what no pipeline has used for so long: `2h`, `336h`"),
        )
        .arg(
            size.value_parser(|text: &str| text.into_size())
                .help("The least recently used first, until so much is left: `20GiB`"),
        )
        .arg(
            Arg::new("kind")
                .long("kind")
                .value_name("KIND")
                .action(ArgAction::Append)
                .value_parser(PossibleValuesParser::new(StoredKind::ALL.map(StoredKind::word)))
                .help("Only these, and no others count: may be given several times"),
        )
        .arg(switch("dry-run", "Remove nothing, and say what would be removed"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let mut what = Prune::all();
    if let Some(time) = call.given.of("unused-for").get_one("unused-for") {
        what = what.unused_for(*time);
    }
    if let Some(bytes) = call.given.of("down-to").get_one("down-to") {
        what = what.down_to(*bytes);
    }
    let kinds = call.given.texts("kind");
    if !kinds.is_empty() {
        what = what.only(StoredKind::ALL.into_iter().filter(|kind| kinds.contains(&kind.word())));
    }
    if call.given.is_set("dry-run") {
        what = what.dry_run();
    }
    print::text(&prune(what).await?.to_string())
}
