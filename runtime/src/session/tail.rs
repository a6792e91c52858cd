//! The last part of what a service wrote, for its error: held as it came, and cut into lines only if there is an error.

use std::collections::VecDeque;

use super::lines::Lines;
use crate::model::Stream;

/// How much is held: 100 KiB of both streams together.
const MOST: usize = 100 * 1024;
/// Small pieces of one stream are put together up to this length, so that many of them are as cheap as one, and long ones
/// are cut, so that little is let go at once.
const PIECE: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(super) struct Tail {
    pieces: VecDeque<(Stream, Vec<u8>)>,
    /// How many bytes the pieces have.
    held: usize,
    /// The streams of which something was let go, so that what is held of it may begin within a line.
    has_cut: Vec<Stream>,
}

impl Tail {
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        // Of more than is held only the end need be looked at.
        let from = bytes.len().saturating_sub(MOST);
        if from > 0 {
            self.note_cut(stream);
        }
        for bytes in bytes.get(from..).unwrap_or_default().chunks(PIECE) {
            match self.pieces.back_mut() {
                Some((last, piece)) if *last == stream && piece.len() + bytes.len() <= PIECE => {
                    piece.extend_from_slice(bytes);
                }
                _ => self.pieces.push_back((stream, bytes.to_vec())),
            }
            self.held += bytes.len();
        }
        while self.held > MOST
            && let Some((stream, oldest)) = self.pieces.pop_front()
        {
            self.held -= oldest.len();
            self.note_cut(stream);
        }
    }

    fn note_cut(&mut self, stream: Stream) {
        if !self.has_cut.contains(&stream) {
            self.has_cut.push(stream);
        }
    }

    /// The lines of both streams in the order in which they were ended, then those that were not.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let (mut stdout, mut stderr) = (Lines::default(), Lines::default());
        // Of a line that is longer than all that is held there is only the end.
        let has_line_end =
            |stream: &Stream| self.pieces.iter().any(|(of, piece)| of == stream && piece.contains(&b'\n'));
        let mut begins_within: Vec<_> = self.has_cut.iter().copied().filter(has_line_end).collect();
        for (stream, piece) in &self.pieces {
            let mut piece = piece.as_slice();
            if begins_within.contains(stream) {
                let Some(end) = piece.iter().position(|byte| *byte == b'\n') else { continue };
                piece = piece.get(end + 1..).unwrap_or_default();
                begins_within.retain(|cut| cut != stream);
            }
            let cutter = match stream {
                Stream::Stdout => &mut stdout,
                Stream::Stderr => &mut stderr,
            };
            cutter.push(piece, |line| lines.push(line.to_owned()));
        }
        stdout.flush(|line| lines.push(line.to_owned()));
        stderr.flush(|line| lines.push(line.to_owned()));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_streams_are_in_the_order_of_their_ends() {
        let mut tail = Tail::default();
        tail.push(Stream::Stdout, b"one\ntwo, ");
        tail.push(Stream::Stderr, b"three\nunfinished");
        tail.push(Stream::Stdout, b"four\n");
        assert_eq!(tail.lines(), ["one", "three", "two, four", "unfinished"]);
        assert_eq!(Tail::default().lines(), [""; 0]);
    }

    #[test]
    fn what_is_held_has_a_limit_and_begins_with_a_whole_line() {
        let mut tail = Tail::default();
        for number in 0..100_000 {
            tail.push(Stream::Stdout, format!("line {number}\n").as_bytes());
            assert!(tail.held <= MOST && tail.pieces.len() <= 2 * MOST / PIECE + 1);
        }
        let lines = tail.lines();
        assert_eq!(lines.last().map(String::as_str), Some("line 99999"));
        let first: usize = lines[0].strip_prefix("line ").unwrap().parse().unwrap();
        assert_eq!(lines.len(), 100_000 - first);
        assert!(lines.len() > 5_000, "{}", lines.len());
    }

    #[test]
    fn a_piece_that_is_longer_than_all_that_is_held_is_cut() {
        let mut tail = Tail::default();
        tail.push(Stream::Stderr, b"gone");
        tail.push(Stream::Stdout, &[&vec![b'x'; MOST][..], b"\nend\n"].concat());
        assert_eq!(tail.lines(), ["end"]);
        tail.push(Stream::Stdout, &vec![b'y'; 2 * MOST]);
        assert_eq!(tail.lines().concat().len(), MOST);
        tail.push(Stream::Stdout, b"last");
        assert!(tail.lines().concat().len() > MOST - PIECE, "{}", tail.held);
    }
}
