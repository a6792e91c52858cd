//! `list`: what there is.

use std::fmt::Write as _;

use clap::Command;
use serde_json::json;

use super::failure::Failure;
use super::options::{Needs, globs, switch};
use super::{Call, print, select};
use crate::terminal;
use crate::value::{Item, ItemExport};

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
        let export = |export: &ItemExport| json!({ "name": export.name, "kind": export.kind().keyword(), "path": export.path() });
        let entry = |item: &&Item| {
            json!({
                "name": item.name,
                "field": item.field,
                "kind": item.kind().keyword(),
                "docs": item.docs,
                "location": item.location().to_string(),
                "exports": item.exports.iter().map(export).collect::<Vec<_>>(),
            })
        };
        return print::json(&items.iter().map(entry).collect::<Vec<_>>());
    }
    print::text(&table(&items))
}

/// One line an item, with the first line of its doc comment; below a container what it exports, with the path.
fn table(items: &[&Item]) -> String {
    let mut rows: Vec<[String; 3]> = Vec::new();
    for item in items {
        let docs = item.docs.lines().next().unwrap_or_default().to_owned();
        rows.push([item.name.clone(), item.kind().to_string(), docs]);
        rows.extend(item.exports.iter().map(|export| {
            [select::exported(item, export), export.kind().to_string(), export.path().to_owned()]
        }));
    }
    for cell in rows.iter_mut().flatten() {
        *cell = terminal::plain(cell).replace('\n', " ");
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, kinds) = (width(0), width(1));
    let mut table = String::new();
    for [name, kind, about] in &rows {
        let line = format!("{name:names$}  {kind:kinds$}  {about}");
        let _ = writeln!(table, "{}", line.trim_end());
    }
    table
}
