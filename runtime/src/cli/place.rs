//! Where a program's command line keeps what it remembers between its runs: in the directory of everything that pipelines
//! keep, a directory for each program.

use std::path::{Path, PathBuf};

use crate::home::{self, notes};

/// The most programs of which something is remembered.
pub(super) const PROGRAMS: usize = 100;

/// That of this program, by its path.
pub(super) fn of_program(what: &str) -> PathBuf {
    of(&home::place(), what, &std::env::current_exe().unwrap_or_default())
}

pub(super) fn of(home: &Path, what: &str, program: &Path) -> PathBuf {
    home.join(what).join(notes::key(program.as_os_str().as_encoded_bytes()))
}
