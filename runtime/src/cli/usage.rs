//! `usage`: what is on the disk for later runs.

use clap::Command;
use serde_json::json;

use super::failure::Failure;
use super::options::{Needs, switch};
use super::{Call, print};
use crate::engine::{KindUsage, StoredKind, usage};

pub(super) const NAME: &str = "usage";
pub(super) const NEEDS: Needs = Needs::Nothing;

pub(super) fn describe(command: Command) -> Command {
    command
        .about("Say what the engine keeps on the disk for later runs, and what of it no pipeline uses")
        .arg(switch("json", "Print JSON, with sizes in bytes"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let usage = usage().await?;
    if !call.given.is_set("json") {
        return print::text(&usage.to_string());
    }
    let kind = |kind: StoredKind| {
        let KindUsage { entries, bytes, reclaimable } = usage.of(kind);
        json!({ "kind": kind.word(), "entries": entries, "bytes": bytes, "reclaimable": reclaimable })
    };
    print::json(&json!({ "engine": usage.engine(), "kinds": StoredKind::ALL.map(kind) }))
}
