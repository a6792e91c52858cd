//! Draws below the program's own text, and leaves that alone: its lines scroll in a part of the screen that ends above the
//! drawing (DECSTBM), and the cursor stays where the program has it. So whatever the program prints, in whatever pieces,
//! stands where it would without a drawing.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::terminal::{self, undo};

/// Whether the screen is divided. Cleared by whoever undoes that, which a signal handler may be.
static IS_DIVIDED: AtomicBool = AtomicBool::new(false);

/// The text has all of the screen again, and what was below it is gone: DECSC, DECSTBM, DECRC, ED. To set the part moves the
/// cursor, so that is saved and restored.
const UNDIVIDED: &str = "\x1b7\x1b[r\x1b8\x1b[J";

#[derive(Debug, Default)]
pub(super) struct Screen {
    /// How many rows the drawing has.
    rows: usize,
    size: (u16, u16),
    handled: Option<undo::Handled>,
}

/// The columns and rows of the terminal that standard error is.
pub(super) fn size() -> (u16, u16) {
    terminal::size(io::stderr()).unwrap_or((80, 24))
}

/// Shows lines that stay. They begin at the left: if the program has printed a part of a line, as many spaces as the screen
/// has columns end in the line below, and elsewhere at the end of the same one.
pub(super) fn say(to: &mut impl Write, lines: &[u8]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let columns = usize::from(size().0);
    write!(to, "{:columns$}\r\x1b[K", "")?;
    to.write_all(lines)
}

/// Gives the text all of the screen, if it has not. Signal handlers may call this.
#[allow(unsafe_code)]
fn undivide() {
    if IS_DIVIDED.swap(false, Ordering::SeqCst) {
        // SAFETY: a plain call on a constant, which signal handlers may make.
        unsafe {
            libc::write(libc::STDERR_FILENO, UNDIVIDED.as_ptr().cast(), UNDIVIDED.len());
        }
    }
}

impl Screen {
    pub(super) fn is_drawn(&self) -> bool {
        self.rows > 0
    }

    /// Draws these rows, none of which is longer than the screen is wide.
    pub(super) fn draw(&mut self, to: &mut impl Write, size: (u16, u16), rows: &[String]) -> io::Result<()> {
        let mut frame = String::new();
        // Somebody else has undone it: a signal, or a shell while the program was stopped.
        let is_lost = self.rows > 0 && !IS_DIVIDED.load(Ordering::SeqCst);
        if self.rows > 0 && (is_lost || size != self.size) {
            frame.push_str(UNDIVIDED);
            self.rows = 0;
        }
        self.size = size;
        let height = usize::from(size.1);
        // At least one row is the text's.
        let rows = rows.get(..rows.len().min(height.saturating_sub(1))).unwrap_or_default();
        if rows.is_empty() {
            to.write_all(frame.as_bytes())?;
            return self.clear(to);
        }
        self.divide(&mut frame, height, rows.len());
        frame.push_str("\x1b7");
        for (index, row) in rows.iter().enumerate() {
            let _ = write!(frame, "\x1b[{};1H{row}\x1b[K", height - rows.len() + 1 + index);
        }
        frame.push_str("\x1b8");
        if self.handled.is_none() {
            self.handled = Some(undo::Handled::begin(undo::Change::Drawing, undivide));
        }
        IS_DIVIDED.store(true, Ordering::SeqCst);
        // As one picture, where the terminal can do that.
        write!(to, "\x1b[?2026h{frame}\x1b[?2026l")?;
        to.flush()
    }

    /// Gives the drawing this many rows.
    fn divide(&mut self, frame: &mut String, height: usize, rows: usize) {
        if rows > self.rows {
            // The text moves up where it is in the way; the cursor keeps its column (IND, CUU).
            let more = rows - self.rows;
            frame.push_str(&"\x1bD".repeat(more));
            let _ = write!(frame, "\x1b[{more}A");
        }
        if rows != self.rows {
            frame.push_str("\x1b7");
            // What was drawn and is the text's again.
            for row in height - self.rows.min(height)..height - rows.min(height) {
                let _ = write!(frame, "\x1b[{};1H\x1b[2K", row + 1);
            }
            let _ = write!(frame, "\x1b[1;{}r\x1b8", height - rows);
            self.rows = rows;
        }
    }

    /// Takes the drawing away.
    pub(super) fn clear(&mut self, to: &mut impl Write) -> io::Result<()> {
        if self.rows > 0 {
            self.rows = 0;
            if IS_DIVIDED.swap(false, Ordering::SeqCst) {
                to.write_all(UNDIVIDED.as_bytes())?;
            }
        }
        self.handled = None;
        to.flush()
    }
}
