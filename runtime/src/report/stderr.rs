//! What is said of the program itself.

use super::{DISPLAY, Display, held};

/// Says something on standard error: above what is drawn there, and not while the terminal is somebody else's. That nobody
/// reads it is no reason to fail, let alone to panic, as `eprintln!` does.
pub(crate) fn say(text: &str) {
    let line = [text, "\n"].concat();
    match DISPLAY.get() {
        #[cfg(unix)]
        Some(Ok(Display::Tree(tree))) => tree.say(line.as_bytes()),
        _ => held::show(line.as_bytes()),
    }
}
