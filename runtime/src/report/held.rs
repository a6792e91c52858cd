//! Lines that wait while the terminal is somebody else's.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;

use crate::engine::Spool;
use crate::lock::lock;

/// What waits, while there is a [`Pause`].
static HELD: Mutex<Option<Held>> = Mutex::new(None);

#[derive(Default)]
struct Held {
    lines: Spool,
    /// How many lines could not be held: the disk was full.
    lost: u64,
}

/// Shows a line on standard error now, or when the pause ends.
pub(super) fn show(line: &[u8]) {
    let mut held = lock(&HELD);
    match &mut *held {
        Some(held) => {
            if held.lines.push(line).is_err() {
                held.lost += 1;
            }
        }
        // A closed terminal is no reason to fail.
        None => drop(io::stderr().lock().write_all(line)),
    }
}

/// Shows what is written to it as [`show`] does.
pub(super) struct Shown;

impl io::Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        show(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing is shown until this is dropped, and then what has been said meanwhile.
#[derive(Debug)]
pub(super) struct Pause {
    is_needed: bool,
}

/// Keeps the log off the terminal.
pub(super) fn pause() -> Pause {
    // What goes to a file disturbs nobody.
    let is_needed = io::stderr().is_terminal();
    if is_needed {
        lock(&HELD).get_or_insert_default();
    }
    Pause { is_needed }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if !self.is_needed {
            return;
        }
        // Under the lock, so that what is said now comes after what has been said.
        let mut held = lock(&HELD);
        let Some(Held { lines, lost }) = held.take() else { return };
        let mut stderr = io::stderr().lock();
        let _ = lines.finish().write_to(&mut stderr);
        if lost > 0 {
            let _ =
                writeln!(stderr, "bowline: {lost} lines are missing here, as there was no room to hold them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_program_waits_too() {
        lock(&HELD).get_or_insert_default();
        crate::report::say("it waits for its turn");
        let held = lock(&HELD).take().unwrap();
        let mut said = Vec::new();
        held.lines.finish().write_to(&mut said).unwrap();
        // Other tests of this process may say something meanwhile.
        assert!(String::from_utf8(said).unwrap().contains("it waits for its turn\n"));
    }
}
