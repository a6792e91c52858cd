//! What is said of the program itself.

use std::io::{self, Write as _};

/// Says something on standard error. That nobody reads it is no reason to fail, let alone to panic, as `eprintln!` does.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().lock().write_all([text, "\n"].concat().as_bytes());
}
