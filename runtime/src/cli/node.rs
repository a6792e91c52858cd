//! An item as drawings show it.

use crate::terminal;
use crate::value::{Item, ItemKind};

/// A node of a drawing.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) kind: ItemKind,
}

impl Node {
    pub(super) fn of(item: &Item) -> Self {
        let name = terminal::plain(&item.name).replace('\n', " ");
        Self { name, kind: item.kind() }
    }
}
