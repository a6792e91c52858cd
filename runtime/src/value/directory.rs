//! What steps leave behind: files and directories, read when asked for.

use super::Container;

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
}

impl File {
    pub(crate) fn in_container(container: Container, path: String) -> Self {
        Self { at: PathIn { container, path } }
    }
}
