//! `list`: what there is.

use std::fmt::Write as _;

use clap::Command;
use serde_json::json;

use super::failure::Failure;
use super::options::{Needs, globs, switch};
use super::{Call, print, select};
use crate::terminal::{self, Colours};
use crate::value::Item;

pub(super) const NAME: &str = "list";
pub(super) const NEEDS: Needs = Needs::Items;

pub(super) fn describe(command: Command) -> Command {
    command
        .about("List the items: name, kind, and what they are for")
        .arg(globs("Only items with these names"))
        .arg(switch("json", "Print JSON"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let items = select::select(call.items, &call.given.texts("glob"))?;
    if call.given.is_set("json") {
        let entry = |item: &&Item| {
            json!({
                "name": item.name,
                "field": item.field,
                "kind": item.kind().keyword(),
                "docs": item.docs,
                "location": item.location().to_string(),
            })
        };
        return print::json(&items.iter().map(entry).collect::<Vec<_>>());
    }
    print::text(&table(&items))
}

/// One line an item, with the first line of its doc comment.
fn table(items: &[&Item]) -> String {
    let shown = |text: &str| terminal::clean(text, Colours::Removed).replace('\n', " ");
    let width =
        |texts: &mut dyn Iterator<Item = String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let names = width(&mut items.iter().map(|item| shown(&item.name)));
    let kinds = width(&mut items.iter().map(|item| item.kind().to_string()));
    let mut table = String::new();
    for item in items {
        let (name, kind) = (shown(&item.name), item.kind().keyword());
        let docs = shown(item.docs.lines().next().unwrap_or_default());
        let line = format!("{name:names$}  {kind:kinds$}  {docs}");
        let _ = writeln!(table, "{}", line.trim_end());
    }
    table
}
