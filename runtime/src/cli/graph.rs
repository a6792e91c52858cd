//! `graph`: what needs what, as a drawing.

use std::fmt::Write as _;

use clap::{ArgGroup, Command};
use serde_json::json;

use super::failure::Failure;
use super::node::Node;
use super::options::{Needs, globs, switch};
use super::{Call, print, select, svg};
use crate::graph::{Edge, edges};
use crate::value::{Item, ItemKind};

pub(super) const NAME: &str = "graph";
pub(super) const NEEDS: Needs = Needs::Items;

const FORMATS: [&str; 4] = ["mermaid", "dot", "json", "svg"];

pub(super) fn describe(command: Command) -> Command {
    command
        .about("Draw what needs what: for Mermaid, unless another format is asked for")
        .arg(globs("Only these items"))
        .arg(switch("mermaid", "For Mermaid, which READMEs show (the default)"))
        .arg(switch("dot", "For Graphviz"))
        .arg(switch("json", "As JSON"))
        .arg(switch("svg", "As an image"))
        .group(ArgGroup::new("format").args(FORMATS))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let items = select::select(call.items, &call.given.texts("glob"))?;
    let edges = edges(&items);
    if call.given.is_set("json") {
        return print::json(&as_json(&items, &edges));
    }
    let nodes: Vec<Node> = items.iter().map(|item| Node::of(item)).collect();
    let drawn = if call.given.is_set("dot") {
        dot(&nodes, &edges)
    } else if call.given.is_set("svg") {
        svg::drawn(&nodes, &edges)
    } else {
        mermaid(&nodes, &edges)
    };
    print::text(&drawn)
}

fn as_json(items: &[&Item], edges: &[Edge]) -> serde_json::Value {
    let name = |index: usize| items.get(index).map(|item| item.name.as_str());
    let items: Vec<_> =
        items.iter().map(|item| json!({ "name": item.name, "kind": item.kind().keyword() })).collect();
    let edge = |edge: &Edge| json!({ "from": name(edge.from), "to": name(edge.to), "by": edge.by });
    json!({ "items": items, "edges": edges.iter().map(edge).collect::<Vec<_>>() })
}

fn mermaid(nodes: &[Node], edges: &[Edge]) -> String {
    let mut drawn = String::from("flowchart LR\n");
    for (index, Node { name, kind }) in nodes.iter().enumerate() {
        // Entities are how Mermaid writes what would end a text.
        let name = name.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;");
        let (open, close) = match kind {
            ItemKind::Service => ("([", "])"),
            ItemKind::Container => ("[", "]"),
            ItemKind::Cache => ("[(", ")]"),
            ItemKind::Directory | ItemKind::File => ("[/", "/]"),
            ItemKind::Secret => ("{{", "}}"),
        };
        let _ = writeln!(drawn, "  n{index}{open}\"{name}\"{close}");
    }
    for Edge { from, to, by } in edges {
        let _ = writeln!(drawn, "  n{from} -- {by} --> n{to}");
    }
    drawn
}

fn dot(nodes: &[Node], edges: &[Edge]) -> String {
    let mut drawn = String::from("digraph pipeline {\n  rankdir=LR;\n");
    for (index, Node { name, kind }) in nodes.iter().enumerate() {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        let shape = match kind {
            ItemKind::Service => "ellipse",
            ItemKind::Container => "box",
            ItemKind::Cache => "cylinder",
            ItemKind::Directory | ItemKind::File => "folder",
            ItemKind::Secret => "hexagon",
        };
        let _ = writeln!(drawn, "  n{index} [label=\"{name}\" shape={shape}];");
    }
    for Edge { from, to, by } in edges {
        let _ = writeln!(drawn, "  n{from} -> n{to} [label=\"{by}\"];");
    }
    drawn.push_str("}\n");
    drawn
}
