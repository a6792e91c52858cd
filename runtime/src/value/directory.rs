//! What steps leave behind: files and directories, read when asked for.

use std::path::Path;

use super::Container;
use crate::{Error, Result, session};

/// A path in a container, once its steps have run.
#[derive(Debug, Clone)]
pub(crate) struct PathIn {
    pub(crate) container: Container,
    pub(crate) path: String,
}

impl PathIn {
    fn join(&self, path: &str) -> Self {
        let path = format!("{}/{}", self.path.trim_end_matches('/'), path.trim_start_matches('/'));
        Self { container: self.container.clone(), path }
    }
}

/// A directory that a container has once its steps have run. Asking for its contents runs them.
#[derive(Debug, Clone)]
#[must_use = "a directory is read only when one of its outputs is awaited"]
pub struct Directory {
    pub(crate) at: PathIn,
}

/// A file that a container has once its steps have run. Asking for its contents runs them.
#[derive(Debug, Clone)]
#[must_use = "a file is read only when one of its outputs is awaited"]
pub struct File {
    pub(crate) at: PathIn,
}

/// One entry of a [`Directory`].
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

impl Directory {
    pub(crate) fn in_container(container: Container, path: String) -> Self {
        Self { at: PathIn { container, path } }
    }

    /// A directory below this one.
    pub fn directory(&self, path: impl AsRef<str>) -> Directory {
        Self { at: self.at.join(path.as_ref()) }
    }

    /// A file below this directory.
    pub fn file(&self, path: impl AsRef<str>) -> File {
        File { at: self.at.join(path.as_ref()) }
    }

    /// The entries, sorted by name.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`] when there is no such directory or it is a file.
    pub fn entries(&self) -> impl Future<Output = Result<Vec<Entry>>> + Send + use<> {
        session::entries(self.at.clone())
    }

    /// Writes the directory's contents into a directory on the pipeline's machine, which is made where it is missing.
    /// What is there already stays, unless it has the same name. Nothing is written outside it.
    pub fn save_to<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::save_directory(self.at.clone(), path.as_ref().to_owned())
    }

    /// Makes sure that the directory exists, running what is needed.
    pub fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let entries = self.entries();
        async move { entries.await.map(drop) }
    }
}

impl File {
    pub(crate) fn in_container(container: Container, path: String) -> Self {
        Self { at: PathIn { container, path } }
    }

    /// The contents, byte for byte.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`] when there is no such file or it is a directory.
    pub fn bytes(&self) -> impl Future<Output = Result<Vec<u8>>> + Send + use<> {
        session::file_bytes(self.at.clone())
    }

    /// The contents as text.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and [`Error::Invalid`] when the contents are not UTF-8.
    pub fn contents(&self) -> impl Future<Output = Result<String>> + Send + use<> {
        let (bytes, at) = (self.bytes(), self.at.clone());
        async move {
            let message = || format!("`{}` is not UTF-8\n\nhelp: use `bytes`", at.path);
            String::from_utf8(bytes.await?).map_err(|_| Error::invalid(at.container.name(), message()))
        }
    }

    /// The size in bytes.
    pub fn size(&self) -> impl Future<Output = Result<u64>> + Send + use<> {
        let stat = self.stat();
        async move { Ok(stat.await?.size) }
    }

    /// Kind, size and permissions.
    pub fn stat(&self) -> impl Future<Output = Result<Stat>> + Send + use<> {
        session::stat(self.at.clone())
    }

    /// Writes the file to a path on the pipeline's machine, with its permission bits; missing parents are made. Where
    /// the path is a directory, the file goes into it under its own name. An interrupted save leaves the old file.
    pub fn save_to<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::save_file(self.at.clone(), path.as_ref().to_owned())
    }

    /// Makes sure that the file exists, running what is needed.
    pub fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let stat = self.stat();
        async move { stat.await.map(drop) }
    }
}
