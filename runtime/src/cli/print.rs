//! What goes to standard output: without a panic where nobody reads it.

use std::io::{self, IsTerminal, Write};

use super::failure::Failure;
use crate::terminal::{self, Colours};

/// Prints a text and ends its last line.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{end}").and_then(|()| out.flush()).map_err(|error| Failure::of_printing(&error))
}

/// Prints a value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Failure::Program(error.into()))?;
    text(&json)
}

/// Prints what a container wrote: byte for byte, but for control sequences on a terminal.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = if out.is_terminal() {
        out.write_all(terminal::clean(&String::from_utf8_lossy(bytes), Colours::Kept).as_bytes())
    } else {
        out.write_all(bytes)
    };
    written.and_then(|()| out.flush()).map_err(|error| Failure::of_printing(&error))
}
