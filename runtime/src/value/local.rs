//! Files and directories of the pipeline's own machine.

use std::path::{Path, PathBuf};

use super::{Container, CopySource, Directory, File, Invalid, Mount, PathIn};
use crate::model::{Located, Location};
use crate::rules::Problem;

/// A directory of the pipeline's machine: `dir src = host("./src");`.
///
/// It is read once a session, when something that needs it runs, and again after [`Session::refresh`](crate::Session::refresh);
/// and sent to the engine unless the engine already has it. Of a large directory only those files are read that have
/// changed since a pipeline last read it, as their metadata says.
///
/// Its identity is its contents: names, file contents, which files are executable, where links lead. Times and owners do
/// not count, and everything belongs to root; permissions become 0755 for directories and executables, 0644 for the rest.
/// Symbolic links stay links. Sockets, pipes and devices are left out.
///
/// A relative path starts at the working directory of the process, which for `cargo test` is the package's directory.
/// `concat!(env!("CARGO_MANIFEST_DIR"), "/src")` is the package's directory whatever the working directory.
///
/// Left out are: what the `.gitignore` files in the directory ignore, and `.git`; what a `.dockerignore` file at its root
/// ignores; what [`exclude`](Self::exclude) names; and, if [`include`](Self::include) was called, what no `include`
/// names.
///
/// Patterns are those of `.dockerignore`: relative to the directory's root, `*` and `?` within a name, `**` for any
/// number of directories, `[a-z]`; a pattern that names a directory means everything in it.
///
/// ```
/// use bowline::{Container, host};
/// let tests = Container::from_image("python:3.11")
///     .mount("/src", host("./src").exclude(["*.tmp", "**/node_modules"]))
///     .workdir("/src")
///     .exec(["python3", "-m", "unittest"]);
/// # let _ = tests;
/// ```
#[derive(Debug, Clone)]
#[must_use = "a directory is read only when something needs it"]
pub struct HostDirectory {
    source: LocalSource,
    invalid: Vec<Located<Invalid>>,
    at: Location,
}

/// A file or directory of the pipeline's machine that a pipeline reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LocalSource {
    pub(crate) path: PathBuf,
    pub(crate) kind: LocalKind,
}

impl LocalSource {
    /// The directory that holds the files in the file system made of them. It is not the root, as engines put files of
    /// their own into the root of whatever a container starts from.
    pub(crate) const ROOT: &str = "/host";
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LocalKind {
    File,
    Directory {
        /// The patterns to take; empty means everything.
        include: Vec<String>,
        exclude: Vec<String>,
        ignore_files: IgnoreFiles,
    },
}

/// Whether ignore files in a directory (`.gitignore`, `.dockerignore`) leave parts of it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum IgnoreFiles {
    Honoured,
    Disregarded,
}

impl std::fmt::Display for LocalSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "host {}", self.path.display())
    }
}

/// A directory of the pipeline's machine; [`HostDirectory`] has methods that narrow it.
#[track_caller]
pub fn host(path: impl AsRef<Path>) -> HostDirectory {
    let kind = LocalKind::Directory {
        include: Vec::new(),
        exclude: Vec::new(),
        ignore_files: IgnoreFiles::Honoured,
    };
    let source = LocalSource { path: path.as_ref().to_owned(), kind };
    HostDirectory { source, invalid: Vec::new(), at: Location::caller() }
}

/// A file of the pipeline's machine: `file config = host_file("./config.toml");`.
///
/// It is read when something that needs it runs. Its contents and whether it is executable count; see [`HostDirectory`]
/// for the rest.
///
/// ```
/// use bowline::{Container, host_file};
/// let config = host_file("./redis.conf");
/// let check = Container::from_image("redis:7").mount("/etc/redis.conf", &config).exec(["cat", "/etc/redis.conf"]);
/// # let _ = check;
/// ```
#[track_caller]
pub fn host_file(path: impl AsRef<Path>) -> File {
    let (path, at) = (path.as_ref(), Location::caller());
    let source = LocalSource { path: path.to_owned(), kind: LocalKind::File };
    let (name, invalid) = if let Some(name) = path.file_name() {
        (name.to_string_lossy().into_owned(), Vec::new())
    } else {
        let message = format!("`{}` names no file", path.display());
        let value = Invalid::from(Problem::new(message).help("for example `./config.toml`"));
        (String::new(), vec![Located { value, at }])
    };
    let container = Container::from_host(source, invalid, at);
    File { at: PathIn { container, path: format!("{}/{name}", LocalSource::ROOT), at } }
}

impl HostDirectory {
    /// Takes only what these patterns name, and the directories that lead there. Further calls add patterns.
    #[track_caller]
    pub fn include<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.add(patterns, |kind| match kind {
            LocalKind::Directory { include, .. } => Some(include),
            LocalKind::File => None,
        });
        self
    }

    /// Leaves out what these patterns name, even where [`include`](Self::include) names it. Further calls add patterns.
    #[track_caller]
    pub fn exclude<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.add(patterns, |kind| match kind {
            LocalKind::Directory { exclude, .. } => Some(exclude),
            LocalKind::File => None,
        });
        self
    }

    /// Takes `.git` and what `.gitignore` and `.dockerignore` files would leave out.
    pub fn without_ignore_files(mut self) -> Self {
        if let LocalKind::Directory { ignore_files, .. } = &mut self.source.kind {
            *ignore_files = IgnoreFiles::Disregarded;
        }
        self
    }

    /// Turns it into a [`Directory`], a value like any other.
    pub fn directory(&self) -> Directory {
        let container = Container::from_host(self.source.clone(), self.invalid.clone(), self.at);
        Directory { at: PathIn { container, path: LocalSource::ROOT.to_owned(), at: self.at } }
    }

    #[track_caller]
    fn add<P: Into<String>>(
        &mut self,
        patterns: impl IntoIterator<Item = P>,
        list: fn(&mut LocalKind) -> Option<&mut Vec<String>>,
    ) {
        let at = Location::caller();
        for pattern in patterns {
            let pattern = pattern.into();
            if let Err(problem) = crate::patterns::check(&pattern) {
                self.invalid.push(Located { value: problem.into(), at });
            }
            if let Some(list) = list(&mut self.source.kind) {
                list.push(pattern);
            }
        }
    }
}

impl From<HostDirectory> for Directory {
    fn from(host: HostDirectory) -> Self {
        host.directory()
    }
}

impl From<HostDirectory> for Mount {
    fn from(host: HostDirectory) -> Self {
        host.directory().into()
    }
}

impl From<&HostDirectory> for Mount {
    fn from(host: &HostDirectory) -> Self {
        host.directory().into()
    }
}

impl From<HostDirectory> for CopySource {
    fn from(host: HostDirectory) -> Self {
        host.directory().into()
    }
}

impl From<&HostDirectory> for CopySource {
    fn from(host: &HostDirectory) -> Self {
        host.directory().into()
    }
}

/// The types that a `dir` item takes: a [`Directory`], or a [`HostDirectory`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no directory",
    label = "expected a directory",
    note = "for example `host(\"./src\")`, or `other.directory(\"/out\")` of another container"
)]
pub trait IntoDirectory {
    /// The directory.
    fn into_directory(self) -> Directory;
}

impl IntoDirectory for Directory {
    fn into_directory(self) -> Directory {
        self
    }
}

impl IntoDirectory for &Directory {
    fn into_directory(self) -> Directory {
        self.clone()
    }
}

impl IntoDirectory for HostDirectory {
    fn into_directory(self) -> Directory {
        self.directory()
    }
}
