//! What something has written so far: all of it, in case it fails, and its last lines, for whoever watches.

use std::collections::VecDeque;
use std::io::{self, Write};

use crate::engine::{Spool, Written};
use crate::terminal::{self, Colours};

/// Of longer output the beginning is left out: at least this much is kept, and at most twice as much. What is more than a
/// MiB is in files.
const MOST: u64 = 32 << 20;
/// How much waits for being written into the file at once.
const PIECE: usize = 64 << 10;
/// The end of it, of which the last lines are shown while it goes on.
const LAST: usize = 4 << 10;

#[derive(Debug, Default)]
pub(super) struct Kept {
    pending: Vec<u8>,
    spool: Spool,
    /// The part before.
    before: Option<Written>,
    /// How much came before that.
    lost: u64,
    last: Vec<u8>,
}

impl Kept {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
        if self.pending.len() >= PIECE {
            self.spool();
        }
        let end = piece.get(piece.len().saturating_sub(LAST)..).unwrap_or_default();
        // Cut rarely, so that not every line moves the others.
        if self.last.len() + end.len() > 4 * LAST {
            let cut = (self.last.len() + end.len()).saturating_sub(LAST).min(self.last.len());
            self.last.drain(..cut);
        }
        self.last.extend_from_slice(end);
    }

    fn spool(&mut self) {
        if self.spool.length() >= MOST {
            let full = std::mem::take(&mut self.spool).finish();
            self.lost += self.before.replace(full).map_or(0, |before| before.length());
        }
        if self.spool.push(&self.pending).is_err() {
            // There is no room for it.
            self.lost += self.pending.len() as u64;
        }
        self.pending.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// The last lines, at most this many, safe for a terminal.
    pub(super) fn last_lines(&self, most: usize) -> Vec<String> {
        let end = self.last.get(self.last.len().saturating_sub(LAST)..).unwrap_or_default();
        let text = String::from_utf8_lossy(end);
        let mut lines: VecDeque<String> = VecDeque::new();
        for line in text.trim_end_matches('\n').rsplit('\n').take(most) {
            // What a progress bar has drawn last.
            let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
            lines.push_front(terminal::clean(line, Colours::Kept).into_owned());
        }
        lines.retain(|line| !line.trim().is_empty());
        lines.into()
    }

    /// Writes all of it, safe for a terminal, each line behind a prefix.
    pub(super) fn write(mut self, to: &mut impl Write, prefix: &str, colours: Colours) -> io::Result<()> {
        self.spool();
        if self.lost > 0 {
            writeln!(to, "{prefix}… the first {} MB are left out", self.lost.div_ceil(1_000_000))?;
        }
        for part in self.before.into_iter().chain([self.spool.finish()]) {
            let mut lines = io::BufReader::new(part.reader());
            let mut line = Vec::new();
            // Whatever cannot be read back is not shown.
            while io::BufRead::read_until(&mut lines, b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\n', '\r']);
                writeln!(to, "{prefix}{}", terminal::clean(text, colours))?;
                line.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kept: Kept) -> String {
        let mut to = Vec::new();
        kept.write(&mut to, "  ", Colours::Removed).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn all_lines_are_there_in_order_and_harmless() {
        let mut kept = Kept::default();
        assert!(kept.is_empty());
        kept.push(b"one\r\ntwo\x1b[2J\n");
        kept.push(b"\x1b[31mthree\x1b[0m\n\xff");
        assert_eq!(kept.last_lines(2), ["\x1b[31mthree\x1b[0m\x1b[0m", "\u{fffd}"]);
        assert_eq!(written(kept), "  one\n  two\n  three\n  \u{fffd}\n");
    }

    #[test]
    fn of_a_progress_bar_the_last_state_is_a_line() {
        let mut kept = Kept::default();
        kept.push(b"start\n10 %\r20 %\r30 %\n\n");
        assert_eq!(kept.last_lines(6), ["start", "30 %"]);
    }

    #[test]
    fn of_endless_output_the_end_is_kept_and_it_says_how_much_is_missing() {
        let mut kept = Kept::default();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let piece = line.repeat(1024);
        for _ in 0..100 {
            kept.push(&piece);
            assert!(kept.last.len() <= 4 * LAST);
        }
        kept.push(b"the end\n");
        let text = written(kept);
        let (first, rest) = text.split_once('\n').unwrap();
        let lost =
            first.strip_prefix("  … the first ").and_then(|rest| rest.strip_suffix(" MB are left out"));
        let lost: usize = lost.unwrap().parse().unwrap();
        assert!(rest.ends_with("  the end\n"));
        let kept = rest.len() - 2 * rest.lines().count();
        assert!(kept as u64 > MOST && kept as u64 <= 2 * MOST + 2 * PIECE as u64 + (2 << 20), "{kept}");
        assert_eq!(lost, (100 * piece.len() + 8 - kept).div_ceil(1_000_000));
    }
}
