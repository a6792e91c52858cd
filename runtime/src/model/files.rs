//! Files and file systems.

/// A file system that an engine holds, under the engine's own name for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Snapshot(pub(crate) String);

/// The access to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
}

/// What happens to what is already at the path where something is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Existing {
    /// A directory keeps its entries, except those whose names come again; a file is replaced.
    Stays,
    /// Everything is replaced; a directory takes the owner and the mode of the new one.
    Goes,
}

/// One entry of a [`Directory`](crate::Directory).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without the path.
    pub name: String,
    /// Its kind.
    pub kind: EntryKind,
}

/// The kind of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, a socket or a pipe.
    Other,
}

/// What is known about a path without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its kind.
    pub kind: EntryKind,
    /// The size in bytes.
    pub size: u64,
    /// The permission bits, for example `0o644`.
    pub mode: u32,
}
