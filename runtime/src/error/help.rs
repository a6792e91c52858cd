//! What to do about how a process ended, where that alone tells.

use std::fmt;

use super::shown;
use crate::model::Exit;

/// The code that a shell, or an engine's init, ends with for a command that is not there.
const NOT_THERE: i32 = 127;
/// The same, for one that cannot be executed.
const NOT_EXECUTABLE: i32 = 126;
/// 128 and the number of SIGKILL.
const KILLED: i32 = 137;

/// What the code of a failed process means, and what to do. `written` is what it wrote.
pub(super) fn of_exit<'a>(exit: Exit, written: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    if exit.out_of_memory {
        return Some(
            "it had more memory than it may have: raise `limit memory`, let it use less, or run less of it at once",
        );
    }
    let is_foreign = |text: &str| text.to_ascii_lowercase().contains("exec format error");
    if !exit.success() && written.into_iter().any(is_foreign) {
        return Some(
            "a program is for another kind of machine: take an image or a build for this platform, or install QEMU's binfmt handlers on the engine's machine (Debian's `qemu-user-static`); a script needs a `#!` line",
        );
    }
    match exit.code {
        NOT_THERE => Some(
            "a command was not found: check its spelling and PATH, and whether the image has it, as small images lack many; a script's interpreter has to be there too",
        ),
        NOT_EXECUTABLE => Some(
            "a file cannot be executed: `chmod +x` it, give a script a `#!` line, or name a program and no directory",
        ),
        KILLED => Some(
            "it was killed (SIGKILL): by itself, or because the engine's machine ran out of memory, which that machine's kernel log says",
        ),
        _ => None,
    }
}

/// Writes advice, a line each.
pub(super) fn write<'a>(f: &mut fmt::Formatter<'_>, help: impl IntoIterator<Item = &'a str>) -> fmt::Result {
    let mut before = "\n\n";
    help.into_iter()
        .try_for_each(|advice| write!(f, "{}help: {}", std::mem::replace(&mut before, "\n"), shown(advice)))
}
