//! What of a pipeline needs what, item by item: for drawings. Values between two items, which a builder made, are passed
//! through: whatever they need, the item needs that they are part of.

use std::collections::HashSet;

use crate::value::{
    Base, Body, Container, CopyKind, Directory, EnvValueKind, File, Item, ItemHandle, MountKind, Op, PathIn,
    Secret, Service, Setting,
};

/// That one item needs another.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Edge {
    /// What is needed, by its index among the items.
    pub(crate) from: usize,
    /// What needs it.
    pub(crate) to: usize,
    /// The statement by which it does: `bind`, `from`, `after`, `mount`, `copy` or `env`.
    pub(crate) by: &'static str,
}

/// All of them, in the order of the items and of their statements, each once.
pub(crate) fn edges(items: &[&Item]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (to, item) in items.iter().enumerate() {
        let mut search = Search { items, to, seen: HashSet::new(), edges: &mut edges };
        match &item.handle {
            ItemHandle::Service(service) => search.parts_of_service(service),
            ItemHandle::Container(container) => search.parts_of_container(container),
            ItemHandle::Directory(Directory { at }) | ItemHandle::File(File { at }) => {
                search.container(&at.container, "from");
            }
            ItemHandle::Cache(_) | ItemHandle::Secret(_) => {}
        }
    }
    edges
}

/// What one item needs.
struct Search<'a> {
    items: &'a [&'a Item],
    to: usize,
    /// Values without a name that were looked into.
    seen: HashSet<usize>,
    edges: &'a mut Vec<Edge>,
}

impl Search<'_> {
    fn add(&mut self, from: usize, by: &'static str) {
        let edge = Edge { from, to: self.to, by };
        if from != self.to && !self.edges.contains(&edge) {
            self.edges.push(edge);
        }
    }

    fn find(&self, is: impl Fn(&ItemHandle) -> bool) -> Option<usize> {
        self.items.iter().position(|item| is(&item.handle))
    }

    fn service(&mut self, service: &Service, by: &'static str) {
        let is = |handle: &ItemHandle| matches!(handle, ItemHandle::Service(other) if other.identity() == service.identity());
        match self.find(is) {
            Some(index) => self.add(index, by),
            None => self.parts_of_service(service),
        }
    }

    fn container(&mut self, container: &Container, by: &'static str) {
        let is = |handle: &ItemHandle| matches!(handle, ItemHandle::Container(other) if other.identity() == container.identity());
        match self.find(is) {
            Some(index) => self.add(index, by),
            None => self.parts_of_container(container),
        }
    }

    /// A directory or a file: an item of its own, or of a container that is one.
    fn path(&mut self, path: &PathIn, by: &'static str) {
        let is = |handle: &ItemHandle| match handle {
            ItemHandle::Directory(Directory { at }) | ItemHandle::File(File { at }) => {
                at.path == path.path && at.container.identity() == path.container.identity()
            }
            _ => false,
        };
        match self.find(is) {
            Some(index) => self.add(index, by),
            None => self.container(&path.container, by),
        }
    }

    fn secret(&mut self, secret: &Secret, by: &'static str) {
        let is = |handle: &ItemHandle| match handle {
            ItemHandle::Secret(other) => {
                other.name() == secret.name() && other.location() == secret.location()
            }
            _ => false,
        };
        if let Some(index) = self.find(is) {
            self.add(index, by);
        }
    }

    fn parts_of_service(&mut self, service: &Service) {
        // What was never defined needs nothing; the plan says that it is a mistake.
        if self.seen.insert(service.identity())
            && let Ok(service) = service.get()
        {
            self.parts(&service.body);
        }
    }

    fn parts_of_container(&mut self, container: &Container) {
        if self.seen.insert(container.identity())
            && let Ok(body) = container.get()
        {
            self.parts(body);
        }
    }

    fn parts(&mut self, body: &Body) {
        match &body.base.value {
            Base::Container(other) => self.container(other, "from"),
            Base::Prepared(prepared) => self.service(&prepared.service, "from"),
            Base::Unset | Base::Image(_) | Base::Local(_) | Base::Held(_) | Base::Server(_) => {}
        }
        for op in &body.ops {
            match &op.value {
                Op::Bind { service, .. } => self.service(service, "bind"),
                Op::After(other) => self.container(other, "after"),
                Op::Mount { source, .. } => match &source.0 {
                    MountKind::Cache(cache) => {
                        let is = |handle: &ItemHandle| matches!(handle, ItemHandle::Cache(other) if other == cache);
                        if let Some(index) = self.find(is) {
                            self.add(index, "mount");
                        }
                    }
                    MountKind::Directory(Directory { at }) | MountKind::File(File { at }) => {
                        self.path(at, "mount");
                    }
                    MountKind::Secret(secret) => self.secret(secret, "mount"),
                },
                Op::Copy { source, .. } => match &source.0 {
                    CopyKind::Directory(Directory { at }) | CopyKind::File(File { at }) => {
                        self.path(at, "copy");
                    }
                },
                Op::Set(Setting::Env { value, .. }) => {
                    if let EnvValueKind::Secret(secret) = &value.0 {
                        self.secret(secret, "env");
                    }
                }
                _ => {}
            }
        }
    }
}
