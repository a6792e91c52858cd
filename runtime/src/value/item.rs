//! The items of a pipeline as a list: what a command line, a report or a loop goes through.

use std::fmt;

use super::{CacheVolume, Container, Directory, File, Secret, Service};
use crate::model::Location;

/// An item of a pipeline: what `items()` of its struct lists.
///
/// ```
/// use bowline::prelude::*;
///
/// let p = pipeline! {
///     /// The store under test.
///     service redis { image "redis:7"; expose 6379; }
///     for client in 0..2 {
///         container ping { image "redis:7"; bind redis; env CLIENT = client; exec ["redis-cli", "-h", "redis", "ping"]; }
///     }
/// };
/// let items = p.items();
/// assert_eq!((items[0].name.as_str(), items[0].docs.as_str()), ("redis", "The store under test."));
/// assert_eq!((items[2].name.as_str(), items[2].field.as_str()), ("ping.1", "ping"));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Item {
    /// The name that logs, plans and errors show.
    pub name: String,
    /// The field of the pipeline's struct that it is in. Several items are in one field if they are declared in a `for`.
    pub field: String,
    /// Its doc comment, empty if there is none.
    pub docs: String,
    /// The value.
    pub handle: ItemHandle,
    /// What of it is exported under a name: `export "/app" as app;`.
    pub exports: Vec<ItemExport>,
    /// Whether the pipeline says what it is, and does not only name a value that is made elsewhere.
    written_here: bool,
}

/// A file or a directory that an item exports under a name: `export "/app" as app;` in a container.
///
/// ```
/// use bowline::ItemKind;
/// use bowline::prelude::*;
///
/// let p = pipeline! {
///     container build { image "debian:12"; shell "mkdir /out; date >/out/date"; export "/out/" as out; }
/// };
/// let export = &p.items()[0].exports[0];
/// assert_eq!((export.name.as_str(), export.path(), export.kind()), ("out", "/out/", ItemKind::Directory));
/// # _ = p.build.out();
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ItemExport {
    /// The name of the method that gives it.
    pub name: String,
    /// The value: a file or a directory.
    pub handle: ItemHandle,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemKind {
    /// A server that clients need.
    Service,
    /// Commands, one after another.
    Container,
    /// A volume that outlives a run.
    Cache,
    /// Files of this machine, or what a container left.
    Directory,
    /// The same, for one file.
    File,
    /// What must not be seen.
    Secret,
}

/// The value of an [`Item`].
#[derive(Debug, Clone)]
pub enum ItemHandle {
    /// A service.
    Service(Service),
    /// A container.
    Container(Container),
    /// A cache volume.
    Cache(CacheVolume),
    /// A directory.
    Directory(Directory),
    /// A file.
    File(File),
    /// A secret.
    Secret(Secret),
}

impl Item {
    /// An item that no `pipeline!` declares, for builders by hand. Its name is the value's own, if it has one, and its field
    /// is `name`.
    pub fn new(name: impl Into<String>, handle: impl Into<ItemHandle>) -> Self {
        let (field, handle) = (name.into(), handle.into());
        let own = match &handle {
            ItemHandle::Service(service) => service.name(),
            ItemHandle::Container(container) => container.name(),
            _ => None,
        };
        let name = own.map_or_else(|| field.clone(), str::to_owned);
        Self { name, field, docs: String::new(), handle, exports: Vec::new(), written_here: true }
    }

    /// Says what the item is for.
    #[must_use]
    pub fn with_docs(self, docs: impl Into<String>) -> Self {
        Self { docs: docs.into(), ..self }
    }

    /// Names a file or a directory of it, which a command line's `export` then finds by this name.
    #[must_use]
    pub fn with_export(mut self, name: impl Into<String>, handle: impl Into<ItemHandle>) -> Self {
        self.exports.push(ItemExport { name: name.into(), handle: handle.into() });
        self
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> ItemKind {
        self.handle.kind()
    }

    /// Where it is written.
    #[must_use]
    pub fn location(&self) -> Location {
        match &self.handle {
            ItemHandle::Service(service) => service.location(),
            ItemHandle::Container(container) => container.location(),
            ItemHandle::Cache(cache) => cache.location(),
            ItemHandle::Directory(Directory { at }) | ItemHandle::File(File { at }) => at.at,
            ItemHandle::Secret(secret) => secret.location(),
        }
    }

    pub(crate) fn is_written_here(&self) -> bool {
        self.written_here
    }
}

impl ItemExport {
    /// What it is: a directory or a file.
    #[must_use]
    pub fn kind(&self) -> ItemKind {
        self.handle.kind()
    }

    /// Its path in the container; empty for what is neither a file nor a directory.
    #[must_use]
    pub fn path(&self) -> &str {
        match &self.handle {
            ItemHandle::Directory(Directory { at }) | ItemHandle::File(File { at }) => &at.path,
            _ => "",
        }
    }
}

impl ItemHandle {
    fn kind(&self) -> ItemKind {
        match self {
            Self::Service(_) => ItemKind::Service,
            Self::Container(_) => ItemKind::Container,
            Self::Cache(_) => ItemKind::Cache,
            Self::Directory(_) => ItemKind::Directory,
            Self::File(_) => ItemKind::File,
            Self::Secret(_) => ItemKind::Secret,
        }
    }
}

impl ItemKind {
    /// As it is called in a pipeline: `service`, `container`, `cache`, `dir`, `file` or `secret`.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Container => "container",
            Self::Cache => "cache",
            Self::Directory => "dir",
            Self::File => "file",
            Self::Secret => "secret",
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword())
    }
}

macro_rules! handles {
    ($($kind:ident($type:ident)),*) => { $(
        impl From<&$type> for ItemHandle {
            fn from(value: &$type) -> Self {
                Self::$kind(value.clone())
            }
        }
        impl From<$type> for ItemHandle {
            fn from(value: $type) -> Self {
                Self::$kind(value)
            }
        }
    )* };
}
handles!(
    Service(Service),
    Container(Container),
    Cache(CacheVolume),
    Directory(Directory),
    File(File),
    Secret(Secret)
);

/// What `items()` of a pipeline's struct calls, one call an item. Handles with methods of their own are lent as what they
/// are below, which only a parameter of that type does.
#[derive(Debug, Default)]
#[must_use]
pub struct Items(Vec<Item>);

impl Items {
    /// No items yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn add(mut self, field: &str, docs: &str, handle: ItemHandle, written_here: bool) -> Self {
        self.0.push(Item { written_here, ..Item::new(field, handle).with_docs(docs) });
        self
    }

    /// A service with a body.
    pub fn service(self, field: &str, docs: &str, service: &Service) -> Self {
        self.add(field, docs, service.into(), true)
    }

    /// A service that is made elsewhere.
    pub fn given_service(self, field: &str, docs: &str, service: &Service) -> Self {
        self.add(field, docs, service.into(), false)
    }

    /// A container with a body.
    pub fn container(self, field: &str, docs: &str, container: &Container) -> Self {
        self.add(field, docs, container.into(), true)
    }

    /// A container that is made elsewhere.
    pub fn given_container(self, field: &str, docs: &str, container: &Container) -> Self {
        self.add(field, docs, container.into(), false)
    }

    /// What the last item exports.
    pub fn export(mut self, name: &str, handle: impl Into<ItemHandle>) -> Self {
        if let Some(item) = self.0.last_mut() {
            item.exports.push(ItemExport { name: name.to_owned(), handle: handle.into() });
        }
        self
    }

    /// The same where it may be absent, as it is written in an `if`.
    pub fn export_if(self, name: &str, handle: Option<impl Into<ItemHandle>>) -> Self {
        match handle {
            Some(handle) => self.export(name, handle),
            None => self,
        }
    }

    /// A cache volume.
    pub fn cache(self, field: &str, docs: &str, cache: &CacheVolume) -> Self {
        self.add(field, docs, cache.into(), false)
    }

    /// A directory.
    pub fn directory(self, field: &str, docs: &str, directory: &Directory) -> Self {
        self.add(field, docs, directory.into(), false)
    }

    /// A file.
    pub fn file(self, field: &str, docs: &str, file: &File) -> Self {
        self.add(field, docs, file.into(), false)
    }

    /// A secret.
    pub fn secret(self, field: &str, docs: &str, secret: &Secret) -> Self {
        self.add(field, docs, secret.into(), false)
    }

    /// All of them. Those of a loop that have no name of their own are told apart by their numbers.
    #[must_use]
    pub fn build(self) -> Vec<Item> {
        let Self(mut items) = self;
        let mut rest = items.as_mut_slice();
        while let Some(first) = rest.first() {
            let field = first.field.clone();
            let length = rest.iter().take_while(|item| item.field == field).count();
            let (same, others) = rest.split_at_mut(length);
            for (number, item) in same.iter_mut().enumerate().filter(|_| length > 1) {
                if item.name == field {
                    item.name = format!("{field}.{number}");
                }
            }
            rest = others;
        }
        items
    }
}
