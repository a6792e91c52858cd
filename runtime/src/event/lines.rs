//! Batches of output lines. They are cheaper than single lines, as nobody looks for line ends until an observer has the
//! time to.

use std::borrow::Cow;
use std::io::BufRead as _;

/// A longer line is delivered in pieces of this many bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// Lines, each with its line end, except an overlong one and the stream's last.
#[derive(Debug)]
pub(crate) struct LineBatch {
    bytes: Vec<u8>,
    ends: usize,
}

impl LineBatch {
    fn new(bytes: Vec<u8>) -> Self {
        let ends = bytes.iter().map(|byte| usize::from(*byte == b'\n')).sum();
        Self { bytes, ends }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The approximate number of lines; a line without an end is not counted.
    pub(super) fn ends(&self) -> usize {
        self.ends
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// As they came.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.bytes
    }

    /// The lines without their ends.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let longest = rest.get(..LONGEST_LINE).unwrap_or(rest);
            let mut after = longest;
            // `skip_until` is fast in every build, even unoptimised; reading from memory does not fail.
            let length = after.skip_until(b'\n').unwrap_or(longest.len());
            let (line, after) = rest.split_at(length);
            rest = after;
            (!line.is_empty()).then(|| String::from_utf8_lossy(without_end(line)))
        })
    }
}

#[cfg(feature = "cli")]
impl LineBatch {
    /// The lines without their ends, joined by one each.
    pub(crate) fn joined(&self) -> String {
        let mut rest = &self.bytes[..];
        let mut longest = 0;
        while !rest.is_empty() {
            // As above.
            longest = longest.max(rest.skip_until(b'\n').unwrap_or(rest.len()));
        }
        if longest > LONGEST_LINE || self.bytes.contains(&b'\r') {
            return self.iter().collect::<Vec<_>>().join("\n");
        }
        // What is usual: they are joined already.
        String::from_utf8_lossy(self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes)).into_owned()
    }
}

fn without_end(mut line: &[u8]) -> &[u8] {
    while let [before @ .., b'\n' | b'\r'] = line {
        line = before;
    }
    line
}

/// Cuts a stream at its line ends, wherever the pieces that arrive are cut.
#[derive(Debug, Default)]
pub(crate) struct LineCutter {
    partial: Vec<u8>,
}

impl LineCutter {
    /// The lines that are complete with this piece; empty if there are none.
    pub(crate) fn push(&mut self, piece: &[u8]) -> LineBatch {
        let end = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (whole, partial) = piece.split_at(end);
        let mut bytes = Vec::new();
        if !whole.is_empty() {
            bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(whole);
        }
        self.partial.extend_from_slice(partial);
        if self.partial.len() >= LONGEST_LINE {
            bytes.append(&mut self.partial);
        }
        LineBatch::new(bytes)
    }

    /// The last line, which has no line end.
    pub(crate) fn finish(&mut self) -> LineBatch {
        LineBatch::new(std::mem::take(&mut self.partial))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(cutter: &mut LineCutter, pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in pieces {
            lines.extend(cutter.push(piece).iter().map(Cow::into_owned));
        }
        lines.extend(cutter.finish().iter().map(Cow::into_owned));
        lines
    }

    #[test]
    fn ends_are_taken_away_and_what_is_no_text_is_replaced() {
        let pieces: [&[u8]; 4] = [b"one\r\n\ntwo", b" and\n\xff", b"\nend", b""];
        assert_eq!(lines(&mut LineCutter::default(), &pieces), ["one", "", "two and", "\u{fffd}", "end"]);
    }

    #[test]
    fn a_long_line_comes_in_pieces_and_does_not_fill_the_memory() {
        let mut cutter = LineCutter::default();
        for _ in 0..1000 {
            let batch = cutter.push(&[b'x'; 1000]);
            assert!(cutter.partial.len() < LONGEST_LINE);
            assert!(batch.iter().all(|line| line.len() <= LONGEST_LINE));
        }
    }

    #[cfg(feature = "cli")]
    proptest! {
        #[test]
        fn joined_lines_are_the_lines(text in "[ab\r\n]{0,40}(\n|x{16380,16390}\n|\\PC)[ab\n]{0,9}") {
            let mut cutter = LineCutter::default();
            for batch in [cutter.push(text.as_bytes()), cutter.finish()] {
                let lines: Vec<_> = batch.iter().collect();
                prop_assert_eq!(batch.joined(), lines.join("\n"));
            }
        }
    }

    proptest! {
        #[test]
        fn lines_are_found_across_any_cut(text in "[ab\n]{0,60}", cuts in prop::collection::vec(1..7usize, 0..20)) {
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, next) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = next;
            }
            pieces.push(rest);
            prop_assert_eq!(lines(&mut LineCutter::default(), &pieces), text.lines().collect::<Vec<_>>());
        }
    }
}
