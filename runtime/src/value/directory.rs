//! What steps leave behind: files and directories, read when asked for.

use super::Container;
use crate::model::Location;

/// A path in a container, once its steps have run.
#[derive(Debug, Clone)]
pub(crate) struct PathIn {
    pub(crate) container: Container,
    pub(crate) path: String,
    /// Where the path was asked for in the program's source.
    pub(crate) at: Location,
}

impl PathIn {
    #[track_caller]
    pub(crate) fn new(container: Container, path: String) -> Self {
        Self { container, path, at: Location::caller() }
    }

    #[track_caller]
    fn join(&self, path: &str) -> Self {
        let path = format!("{}/{}", self.path.trim_end_matches('/'), path.trim_start_matches('/'));
        Self::new(self.container.clone(), path)
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
    /// A directory below this one, by its relative path.
    #[track_caller]
    pub fn directory(&self, path: impl AsRef<str>) -> Directory {
        Self { at: self.at.join(path.as_ref()) }
    }

    /// A file below this directory, by its relative path.
    #[track_caller]
    pub fn file(&self, path: impl AsRef<str>) -> File {
        File { at: self.at.join(path.as_ref()) }
    }
}
