//! Files of this machine that are not there, in words: a relative path means nothing without the directory it begins in.

use std::io;
use std::path::Path;

use crate::Error;
use crate::error::Reason;

/// Why a file or directory cannot be used, without its path.
pub(super) fn said(path: &Path, kind: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        format!("no such {kind}{}", beginning(path))
    } else {
        error.to_string()
    }
}

/// The error of one that a pipeline takes.
pub(super) fn error(path: &Path, kind: &str, error: io::Error) -> Error {
    Error::io(path, Reason::said(said(path, kind, &error), error))
}

/// Where a relative path begins: ` (in /home/me/project)`.
fn beginning(path: &Path) -> String {
    match std::env::current_dir() {
        Ok(directory) if path.is_relative() => format!(" (in {})", directory.display()),
        _ => String::new(),
    }
}
