//! Files and file systems.

/// A file system that an engine holds, under the engine's own name for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot(pub(crate) String);

/// What may be done with something that is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
}

/// What becomes of what is in the place of something that is put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// A directory stays, with what is in it and does not have the name of anything that comes; a file goes.
    Stays,
    /// All of it goes; a directory has the owner and the mode of the one that comes.
    Goes,
}

/// One entry of a [`Directory`](crate::Directory).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without the path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What a path is.
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

/// What is known of a path without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: EntryKind,
    /// The size in bytes.
    pub size: u64,
    /// The permission bits, for example `0o644`.
    pub mode: u32,
}
