//! A graph as an image: a column for each distance from what needs nothing, and a line for each need.

use std::fmt::Write as _;

use super::node::Node;
use crate::graph::Edge;
use crate::value::ItemKind;

// In pixels.
const MARGIN: usize = 12;
const HEIGHT: usize = 30;
const ROW: usize = 46;
const GAP: usize = 80;
const LETTER: usize = 8;

/// The place of a node.
#[derive(Clone, Copy)]
struct Place {
    x: usize,
    y: usize,
    width: usize,
}

pub(super) fn drawn(nodes: &[Node], edges: &[Edge]) -> String {
    let (places, width, height) = places(nodes, &columns(nodes.len(), edges));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"13\">\n\
         <defs><marker id=\"end\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#777\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for Edge { from, to, by } in edges {
        let (Some(from), Some(to)) = (places.get(*from), places.get(*to)) else { continue };
        let (x1, y1, x2, y2) = (from.x + from.width, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2);
        let _ = writeln!(
            svg,
            "<path d=\"M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#777\" \
             marker-end=\"url(#end)\"><title>{by}</title></path>",
            x1 + GAP / 2,
            x2.saturating_sub(GAP / 2),
        );
    }
    for (Node { name, kind }, Place { x, y, width }) in nodes.iter().zip(&places) {
        let (radius, fill) = match kind {
            ItemKind::Service => (15, "#dbeafe"),
            ItemKind::Container => (3, "#dcfce7"),
            ItemKind::Cache => (8, "#fef3c7"),
            ItemKind::Directory | ItemKind::File => (0, "#f3f4f6"),
            ItemKind::Secret => (8, "#fee2e2"),
        };
        let name = escaped(name);
        let _ = writeln!(
            svg,
            "<g><title>{kind} {name}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" \
             rx=\"{radius}\" fill=\"{fill}\" stroke=\"#777\"/><text x=\"{}\" y=\"{}\" \
             text-anchor=\"middle\" fill=\"#111\">{name}</text></g>",
            x + width / 2,
            y + HEIGHT / 2 + 4,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The column of each node: behind everything that it needs. Items that need each other, which is a mistake, stay.
fn columns(nodes: usize, edges: &[Edge]) -> Vec<usize> {
    let mut columns = vec![0; nodes];
    for _ in 0..nodes {
        let mut has_changed = false;
        for edge in edges {
            let behind = columns.get(edge.from).map_or(0, |column| column + 1);
            if let Some(column) =
                columns.get_mut(edge.to).filter(|column| **column < behind && behind < nodes)
            {
                *column = behind;
                has_changed = true;
            }
        }
        if !has_changed {
            break;
        }
    }
    columns
}

/// Where the nodes are, and the size of the whole.
fn places(nodes: &[Node], columns: &[usize]) -> (Vec<Place>, usize, usize) {
    let width = |node: &Node| (node.name.chars().count() + 2) * LETTER;
    let mut places = vec![Place { x: 0, y: 0, width: 0 }; nodes.len()];
    let (mut left, mut bottom) = (MARGIN, MARGIN);
    for column in 0..=columns.iter().copied().max().unwrap_or(0) {
        let mut widest = 0;
        let mut y = MARGIN;
        let all = nodes.iter().zip(columns).zip(&mut places);
        for ((node, _), place) in all.filter(|((_, at), _)| **at == column) {
            *place = Place { x: left, y, width: width(node) };
            widest = widest.max(width(node));
            y += ROW;
        }
        bottom = bottom.max(y);
        left += widest + GAP;
    }
    (places, left.saturating_sub(GAP) + MARGIN, bottom)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
