//! What a service has written, kept for readers that come at any time: in files, and no more than a limit.
//!
//! Nobody waits for a reader: what a reader has not read when it goes is counted, and told to the reader. Output is kept in
//! the pieces in which it came, and cut into lines by whoever reads it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use super::lines::Lines;
use crate::engine::{read_at, unnamed};
use crate::model::{LogLine, Stream};

/// What is kept comes in parts, of which the oldest goes when there are too many: the last 56 to 64 MiB are kept.
const PART: u64 = 8 << 20;
const PARTS: usize = 8;
/// How much of the newest part is held in memory before it goes to a file.
const IN_MEMORY: usize = 256 << 10;
/// How much is read at once.
const PIECE: usize = 64 << 10;
/// Before each piece: its stream, and its length.
const HEAD: usize = 5;

/// The output of one run of a service.
#[derive(Default)]
pub(super) struct Journal {
    /// The oldest first.
    parts: VecDeque<Part>,
    /// The number of the oldest part.
    first: u64,
    /// How many bytes have been written in all.
    written: u64,
    /// Why nothing more is kept, if so.
    broken: Option<Arc<io::Error>>,
}

struct Part {
    contents: Contents,
    /// With the heads of pieces.
    length: u64,
    /// How many bytes had been written before it.
    before: u64,
}

enum Contents {
    Memory(Vec<u8>),
    File(Arc<File>),
}

impl Journal {
    /// Adds a piece, cut anywhere. A journal that cannot be written ends there, with an error for its readers: the service
    /// goes on.
    pub(super) fn add(&mut self, stream: Stream, piece: &[u8]) {
        let Ok(length) = u32::try_from(piece.len()) else { return };
        if piece.is_empty() || self.broken.is_some() {
            return;
        }
        if self.parts.back().is_none_or(|part| part.length >= PART) {
            if self.parts.len() == PARTS {
                self.parts.pop_front();
                self.first += 1;
            }
            let contents = Contents::Memory(Vec::new());
            self.parts.push_back(Part { contents, length: 0, before: self.written });
        }
        let Some(part) = self.parts.back_mut() else { return };
        let kind = match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        let [a, b, c, d] = length.to_le_bytes();
        match part.push(&[kind, a, b, c, d]).and_then(|()| part.push(piece)) {
            Ok(()) => self.written += u64::from(length),
            Err(error) => self.broken = Some(Arc::new(error)),
        }
    }

    /// A reader of what comes from now on.
    pub(super) fn end(&self) -> Cursor {
        let last = (self.parts.len() as u64).saturating_sub(1);
        let offset = self.parts.back().map_or(0, |part| part.length);
        Cursor { part: self.first + last, offset, taken: self.written, ..Cursor::default() }
    }
}

impl Part {
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.contents {
            Contents::Memory(memory) if memory.len() + bytes.len() <= IN_MEMORY => {
                memory.extend_from_slice(bytes);
            }
            Contents::Memory(memory) => {
                let mut file = unnamed()?;
                file.write_all(memory)?;
                file.write_all(bytes)?;
                self.contents = Contents::File(Arc::new(file));
            }
            Contents::File(file) => (&**file).write_all(bytes)?,
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// A reader of lines: a place in a journal, and what has been read there and not been given yet.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The number of the part, and how much of it has been read.
    part: u64,
    offset: u64,
    /// How many of all bytes that were written have been read, or are gone.
    taken: u64,
    /// The head of the present piece, as far as it has been read; and how much of the piece is still to come.
    head: Vec<u8>,
    left: usize,
    /// The unfinished lines of both streams.
    stdout: Lines,
    stderr: Lines,
    ready: VecDeque<LogLine>,
    /// How many bytes are gone before the next line.
    skipped: u64,
}

/// What comes next at a cursor.
pub(super) enum Next {
    /// A piece, to be [added](Cursor::add).
    Bytes(Vec<u8>),
    /// The same, to be read from a file without holding anybody up.
    InFile { file: Arc<File>, from: u64, length: u64 },
    /// Nothing yet, or nothing any more.
    Nothing,
    /// Nothing more was kept.
    Broken(Arc<io::Error>),
}

impl Cursor {
    /// The next line of what was read.
    pub(super) fn line(&mut self) -> Option<LogLine> {
        self.ready.pop_front()
    }

    /// What comes next in the journal.
    pub(super) fn next(&mut self, journal: &Journal) -> Next {
        if self.part < journal.first
            && let Some(part) = journal.parts.front()
        {
            self.skipped += part.before - self.taken;
            (self.part, self.offset, self.taken) = (journal.first, 0, part.before);
            // Of a piece of which only a part was read, the rest is gone too; a line goes on with what is there.
            self.head.clear();
            self.left = 0;
        }
        loop {
            let index = usize::try_from(self.part - journal.first).unwrap_or(usize::MAX);
            let Some(part) = journal.parts.get(index) else { return Next::Nothing };
            let left = part.length - self.offset;
            if left > 0 {
                return part.contents.at(self.offset, left);
            }
            if index + 1 == journal.parts.len() {
                return journal.broken.as_ref().map_or(Next::Nothing, |error| Next::Broken(error.clone()));
            }
            (self.part, self.offset) = (self.part + 1, 0);
        }
    }

    /// Takes what was read.
    pub(super) fn add(&mut self, mut read: &[u8]) {
        self.offset += read.len() as u64;
        while !read.is_empty() {
            if self.left == 0 {
                let (head, rest) = read.split_at(read.len().min(HEAD - self.head.len()));
                self.head.extend_from_slice(head);
                read = rest;
                if let [_, length @ ..] = &*self.head
                    && let Ok(length) = <[u8; HEAD - 1]>::try_from(length)
                {
                    self.left = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
                }
                continue;
            }
            let (piece, rest) = read.split_at(read.len().min(self.left));
            read = rest;
            self.left -= piece.len();
            self.taken += piece.len() as u64;
            let (stream, lines) = match self.head.first() {
                Some(1) => (Stream::Stdout, &mut self.stdout),
                _ => (Stream::Stderr, &mut self.stderr),
            };
            lines.push(piece, |line| {
                let skipped = std::mem::take(&mut self.skipped);
                self.ready.push_back(LogLine { stream, text: line.to_owned(), skipped });
            });
            if self.left == 0 {
                self.head.clear();
            }
        }
    }

    /// At the end, unfinished lines are lines.
    pub(super) fn finish(&mut self) {
        for (stream, lines) in [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)] {
            lines.flush(|line| {
                let skipped = std::mem::take(&mut self.skipped);
                self.ready.push_back(LogLine { stream, text: line.to_owned(), skipped });
            });
        }
    }
}

impl Contents {
    fn at(&self, from: u64, left: u64) -> Next {
        match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                let bytes = bytes.get(from..).unwrap_or_default();
                Next::Bytes(bytes.get(..PIECE).unwrap_or(bytes).to_vec())
            }
            Self::File(file) => Next::InFile { file: file.clone(), from, length: left.min(PIECE as u64) },
        }
    }
}

/// Reads a piece of a journal's file.
pub(super) fn read(file: &File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?];
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read_at(file, rest, from + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(journal: &mut Journal, lines: std::ops::Range<u64>, width: usize) {
        for number in lines {
            let stream = if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
            let line = format!("{number:width$}\n");
            let (start, rest) = line.split_at(width / 3);
            journal.add(stream, start.as_bytes());
            journal.add(stream, rest.as_bytes());
        }
    }

    /// The next line, if there is one.
    fn next(cursor: &mut Cursor, journal: &Journal) -> Option<LogLine> {
        loop {
            if let Some(line) = cursor.line() {
                return Some(line);
            }
            match cursor.next(journal) {
                Next::Bytes(piece) => cursor.add(&piece),
                Next::InFile { file, from, length } => cursor.add(&read(&file, from, length).unwrap()),
                Next::Nothing => return None,
                Next::Broken(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn lines_come_in_order_from_memory_and_from_files() {
        let mut journal = Journal::default();
        let (mut from_start, mut beside) = (Cursor::default(), Cursor::default());
        for hundred in 0..100 {
            fill(&mut journal, hundred * 100..(hundred + 1) * 100, 100);
            let line = next(&mut beside, &journal).unwrap();
            assert_eq!(line.text.trim().parse(), Ok(hundred));
        }
        let mut late = journal.end();
        assert_eq!(next(&mut late, &journal), None);
        for number in 0..10_000_u64 {
            let line = next(&mut from_start, &journal).unwrap();
            assert_eq!((line.text.trim().parse(), line.skipped), (Ok(number), 0));
            assert_eq!(line.stream == Stream::Stdout, number % 2 == 0);
        }
        assert_eq!(next(&mut from_start, &journal), None);
        journal.add(Stream::Stdout, b"last\nun");
        journal.add(Stream::Stderr, b"other");
        journal.add(Stream::Stdout, b"finished");
        for cursor in [&mut from_start, &mut late] {
            assert_eq!(next(cursor, &journal).unwrap().text, "last");
            assert_eq!(next(cursor, &journal), None);
            cursor.finish();
            assert_eq!(next(cursor, &journal).unwrap().text, "unfinished");
            assert_eq!(next(cursor, &journal).unwrap().text, "other");
        }
    }

    #[test]
    fn what_is_too_old_is_counted_and_takes_no_room() {
        const WIDTH: u64 = 10_000;
        let mut journal = Journal::default();
        fill(&mut journal, 0..10, 9_999);
        let mut slow = Cursor::default();
        assert_eq!(next(&mut slow, &journal).unwrap().text.trim(), "0");
        let lines = 2 * PART * PARTS as u64 / WIDTH;
        fill(&mut journal, 10..lines, 9_999);
        let kept: u64 = journal.parts.iter().map(|part| part.length).sum();
        assert!(kept <= (PART + 2 * WIDTH) * PARTS as u64 && kept > PART * (PARTS as u64 - 1), "{kept}");
        let mut bytes = WIDTH;
        let mut last = String::new();
        while let Some(line) = next(&mut slow, &journal) {
            bytes += line.skipped + line.text.len() as u64 + 1;
            last = line.text;
        }
        assert_eq!((last.trim().parse(), bytes), (Ok(lines - 1), lines * WIDTH));
        assert!(next(&mut Cursor::default(), &journal).unwrap().skipped > lines * WIDTH / 3);
    }
}
