//! Which part of a directory is taken: patterns, and ignore files.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::records::bytes;
use crate::paths::WHITEOUT;
use crate::patterns::{Deciding, Patterns};
use crate::regular::{self, DOCUMENT_AT_MOST};
use crate::session::missing;
use crate::value::IgnoreFiles;
use crate::{Error, Result};

/// Which part of a directory is taken.
pub(super) struct Selection {
    include: Option<Patterns>,
    exclude: Patterns,
    docker: Patterns,
    ignore_files: IgnoreFiles,
}

/// What the lists of patterns say of a path.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Verdict {
    include: Deciding,
    exclude: Deciding,
    docker: Deciding,
}

/// The `.gitignore` file of a directory, and those of the directories that contain it.
#[derive(Debug)]
pub(super) struct Rules {
    own: Gitignore,
    above: Option<Arc<Rules>>,
}

impl Selection {
    pub(super) fn new(
        root: &Path,
        include: &[String],
        exclude: &[String],
        ignore_files: IgnoreFiles,
    ) -> Result<Self> {
        let metadata = fs::metadata(root).map_err(|error| missing::error(root, "directory", error))?;
        if !metadata.is_dir() {
            let message = format!("`{}` is not a directory", root.display());
            return Err(Error::invalid(None, format!("{message}\n\nhelp: `host_file(...)` takes files")));
        }
        let patterns = |list: &[String]| {
            Patterns::new(list.iter().map(String::as_str))
                .map_err(|problem| Error::invalid(None, problem.to_string()))
        };
        let include = if include.is_empty() { None } else { Some(patterns(include)?) };
        let docker = match ignore_files {
            IgnoreFiles::Disregarded => Patterns::default(),
            IgnoreFiles::Honoured => docker_ignore(&root.join(".dockerignore"))?,
        };
        Ok(Self { include, exclude: patterns(exclude)?, docker, ignore_files })
    }

    /// What the patterns say of a path, given what they say of the directory that contains it.
    pub(super) fn verdict(&self, name: &Path, above: Verdict) -> Verdict {
        Verdict {
            include: self.include.as_ref().and_then(|include| include.deciding(name, above.include)),
            exclude: self.exclude.deciding(name, above.exclude),
            docker: self.docker.deciding(name, above.docker),
        }
    }

    /// Whether there are no patterns.
    pub(super) fn is_everything(&self) -> bool {
        self.include.is_none() && self.exclude.is_empty() && self.docker.is_empty()
    }

    pub(super) fn takes(&self, verdict: Verdict) -> bool {
        !self.exclude.names(verdict.exclude)
            && !self.docker.names(verdict.docker)
            && self.include.as_ref().is_none_or(|include| include.names(verdict.include))
    }

    /// Whether something below a directory may be taken.
    pub(super) fn enters(&self, directory: &Path, verdict: Verdict) -> bool {
        let excludes = |patterns: &Patterns, deciding| {
            patterns.names(deciding) && !patterns.may_differ_below(directory, deciding)
        };
        let includes = |patterns: &Patterns| {
            patterns.names(verdict.include) || patterns.may_differ_below(directory, verdict.include)
        };
        !excludes(&self.exclude, verdict.exclude)
            && !excludes(&self.docker, verdict.docker)
            && self.include.as_ref().is_none_or(includes)
    }

    /// Whether a name is left out wherever it is.
    pub(super) fn leaves_out(&self, name: &OsStr) -> bool {
        self.ignore_files == IgnoreFiles::Honoured && name == ".git"
    }

    /// The rules of a directory with a file of this name, if that counts. As in Git, a file that cannot be read, and a line
    /// that makes no sense, say nothing.
    pub(super) fn rules(&self, directory: &Path, above: Option<Arc<Rules>>) -> Option<Arc<Rules>> {
        let file = directory.join(GIT_IGNORE);
        if self.ignore_files == IgnoreFiles::Disregarded || !file.is_file() {
            return above;
        }
        let mut builder = GitignoreBuilder::new(directory);
        let _ = builder.add(file);
        match builder.build() {
            Ok(own) if !own.is_empty() => Some(Arc::new(Rules { own, above })),
            _ => above,
        }
    }
}

pub(super) const GIT_IGNORE: &str = ".gitignore";

impl Rules {
    /// Whether a path in the directory is ignored. The rules nearest to it decide, and in a file the last one; as `.gitignore`
    /// applies without a repository, but only from the source's directory down, a rule further up that ignores a build's
    /// output does not empty that.
    pub(super) fn ignore(&self, path: &Path, is_directory: bool) -> bool {
        let mut rules = Some(self);
        while let Some(Self { own, above }) = rules {
            match own.matched(path, is_directory) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => rules = above.as_deref(),
            }
        }
        false
    }
}

/// What is sent to an engine becomes a layer, where names with this prefix are whiteouts.
pub(super) fn check_name(directory: &Path, name: &OsStr) -> Result<()> {
    if !bytes(name).starts_with(WHITEOUT.as_bytes()) {
        return Ok(());
    }
    let path = directory.join(name);
    let message = format!("`{}`: no image can have a name that starts with `{WHITEOUT}`", path.display());
    let help = "help: rename it, or leave it out: `.exclude([\"**/.wh.*\"])`";
    Err(Error::invalid(None, format!("{message}\n\n{help}")))
}

fn docker_ignore(path: &Path) -> Result<Patterns> {
    let text = match regular::read(path, DOCUMENT_AT_MOST) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Patterns::default()),
        Err(error) => return Err(Error::io(path, error)),
    };
    Patterns::of_file(&text).map_err(|problem| Error::invalid(None, format!("{}: {problem}", path.display())))
}
