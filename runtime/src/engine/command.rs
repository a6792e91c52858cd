//! Errors for commands that cannot be run.

use crate::Error;

/// The error for a command that could not be executed; the reason is the operating system's or runc's.
pub(crate) fn cannot_run(what: &str, command: &str, reason: &str) -> Error {
    let missing = ["executable file not found", "no such file or directory"];
    if missing.iter().any(|text| reason.to_ascii_lowercase().contains(text)) {
        let message = format!(
            "there is no command `{command}` in it\n\nhelp: check its spelling and PATH, or give its full path; a script also needs its interpreter to be there"
        );
        return Error::engine(what, message);
    }
    if reason.to_ascii_lowercase().contains("exec format error") {
        let message = format!(
            "`{command}` is a program for another machine (exec format error)\n\nhelp: its image is for another platform, which this engine cannot emulate: install QEMU's binfmt handlers on the engine's machine (Debian's `qemu-user-static`), or take an image for its own platform; a script needs a `#!` line"
        );
        return Error::engine(what, message);
    }
    Error::engine(what, format!("`{command}` cannot be run: {}", reason.trim().trim_end_matches(": unknown")))
}
