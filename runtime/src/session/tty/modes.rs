//! What a process has set at a terminal and would have to take back: the other screen, a hidden cursor, reports of the
//! mouse. One that is killed does not.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The modes that are followed, by their numbers in `CSI ? n h` and `CSI ? n l` (xterm, "Control Sequences", "DEC Private
/// Mode"): cursor keys, the mouse, the other screen, pasted text between brackets.
const FOLLOWED: [u16; 14] = [1, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1049, 2004];
/// The cursor is shown: the only mode that is usually set.
const CURSOR: u16 = 25;

#[derive(Debug, Default)]
pub(super) struct Modes {
    state: State,
    set: BTreeSet<u16>,
    is_cursor_hidden: bool,
}

/// How much of `CSI ? n ; n h` has come.
#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    Escape,
    Sequence,
    /// The numbers so far.
    Numbers(Vec<u16>),
}

impl Modes {
    /// Follows output, cut anywhere.
    pub(super) fn follow(&mut self, output: &[u8]) {
        /// More than any sequence has.
        const MOST: usize = 16;
        for &byte in output {
            self.state = match (std::mem::take(&mut self.state), byte) {
                (_, 0x1b) => State::Escape,
                (State::Escape, b'[') => State::Sequence,
                (State::Sequence, b'?') => State::Numbers(vec![0]),
                (State::Numbers(mut numbers), b'0'..=b'9') => {
                    if let Some(last) = numbers.last_mut() {
                        *last = last.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                    }
                    State::Numbers(numbers)
                }
                (State::Numbers(mut numbers), b';') if numbers.len() < MOST => {
                    numbers.push(0);
                    State::Numbers(numbers)
                }
                (State::Numbers(numbers), b'h' | b'l') => {
                    for mode in numbers {
                        self.switch(mode, byte == b'h');
                    }
                    State::Text
                }
                _ => State::Text,
            };
        }
    }

    fn switch(&mut self, mode: u16, is_set: bool) {
        if mode == CURSOR {
            self.is_cursor_hidden = !is_set;
        } else if !is_set {
            self.set.remove(&mode);
        } else if FOLLOWED.contains(&mode) {
            self.set.insert(mode);
        }
    }

    /// What takes it back; nothing where nothing is left.
    pub(super) fn back(self) -> Vec<u8> {
        let mut back = String::new();
        for mode in self.set {
            let _ = write!(back, "\x1b[?{mode}l");
        }
        if self.is_cursor_hidden {
            let _ = write!(back, "\x1b[?{CURSOR}h");
        }
        if !back.is_empty() {
            // Colours are rarely left without any of these.
            back.push_str("\x1b[0m");
        }
        back.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(pieces: &[&str]) -> String {
        let mut modes = Modes::default();
        for piece in pieces {
            modes.follow(piece.as_bytes());
        }
        String::from_utf8(modes.back()).unwrap()
    }

    #[test]
    fn what_was_set_and_not_taken_back_is() {
        assert_eq!(back(&["plain \x1b[31mred\x1b[0m \x1b[2J\x1b[?25h"]), "");
        assert_eq!(back(&["\x1b[?1049h\x1b[?1000;1006h", "text", "\x1b[?1006;1000l\x1b[?1049l"]), "");
        assert_eq!(back(&["\x1b[?10", "49;25", "h\x1b", "[?25l"]), "\x1b[?1049l\x1b[?25h\x1b[0m");
        assert_eq!(back(&["\x1b[?2004h\x1b[?7h\x1b[?99999999h"]), "\x1b[?2004l\x1b[0m");
    }
}
