//! What a shared service has written, for members that come at any time: the last of it.

use std::collections::VecDeque;

use crate::model::Stream;

/// How much is kept: 4 MiB.
const MOST: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    pieces: VecDeque<(Stream, Vec<u8>)>,
    /// The number of the oldest piece.
    first: u64,
    /// How many bytes the pieces have.
    kept: usize,
    /// How many bytes were written before them.
    gone: u64,
}

/// How far a member has read.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The number of the next piece.
    pub(super) piece: u64,
    bytes: u64,
}

/// What comes next for a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Piece(Stream, Vec<u8>),
    /// So many bytes are not kept any more.
    Skipped(u64),
}

impl Backlog {
    pub(super) fn push(&mut self, stream: Stream, piece: &[u8]) {
        self.kept += piece.len();
        self.pieces.push_back((stream, piece.to_vec()));
        while self.kept > MOST
            && let Some((_, oldest)) = self.pieces.pop_front()
        {
            self.first += 1;
            self.kept -= oldest.len();
            self.gone += oldest.len() as u64;
        }
    }

    /// The number of the next piece.
    pub(super) fn end(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    pub(super) fn next(&self, cursor: &mut Cursor) -> Option<Next> {
        if cursor.piece < self.first {
            let skipped = self.gone - cursor.bytes;
            *cursor = Cursor { piece: self.first, bytes: self.gone };
            return Some(Next::Skipped(skipped));
        }
        let at = usize::try_from(cursor.piece - self.first).ok()?;
        let (stream, piece) = self.pieces.get(at)?;
        cursor.piece += 1;
        cursor.bytes += piece.len() as u64;
        Some(Next::Piece(*stream, piece.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_gets_the_last_of_it_and_is_told_what_is_missing() {
        let mut backlog = Backlog::default();
        let (mut quick, mut late) = (Cursor::default(), Cursor::default());
        assert_eq!(backlog.next(&mut quick), None);
        backlog.push(Stream::Stdout, b"first");
        assert_eq!(backlog.next(&mut quick), Some(Next::Piece(Stream::Stdout, b"first".to_vec())));
        assert_eq!(backlog.next(&mut quick), None);
        backlog.push(Stream::Stderr, &vec![b'x'; MOST]);
        assert_eq!(backlog.next(&mut late), Some(Next::Skipped(5)));
        for cursor in [&mut quick, &mut late] {
            assert!(
                matches!(backlog.next(cursor), Some(Next::Piece(Stream::Stderr, piece)) if piece.len() == MOST)
            );
            assert_eq!(backlog.next(cursor), None);
        }
        // One piece that is longer than all that is kept.
        backlog.push(Stream::Stdout, &vec![b'y'; MOST + 1]);
        assert_eq!(backlog.next(&mut late), Some(Next::Skipped((MOST + 1) as u64)));
        assert_eq!(backlog.next(&mut late), None);
    }
}
