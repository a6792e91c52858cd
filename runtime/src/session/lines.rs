//! Output, line by line.

use std::io::BufRead as _;
use std::sync::Arc;

use crate::event::{LineCutter, Span};
use crate::model::Stream;

/// A line longer than this is shown in pieces.
const LONGEST_LINE: usize = 16 * 1024;

/// Cuts a stream into lines, wherever its pieces are cut.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LONGEST_LINE - self.partial.len();
            let mut next = rest.get(..room).unwrap_or(rest);
            let piece = next;
            // As fast as the machine can in every build; reading from memory does not fail.
            let length = next.skip_until(b'\n').unwrap_or(piece.len());
            let (piece, after) = rest.split_at(length);
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LONGEST_LINE {
                self.flush(&mut line);
            }
            rest = after;
        }
    }

    pub(super) fn flush(&mut self, mut line: impl FnMut(&str)) {
        if !self.partial.is_empty() {
            let text = String::from_utf8_lossy(&self.partial);
            line(text.trim_end_matches(['\n', '\r']));
            self.partial.clear();
        }
    }
}

/// Tells line by line what a process of a span writes, where somebody observes it.
#[derive(Debug)]
pub(super) struct OutputEvents {
    span: Arc<Span>,
    stdout: LineCutter,
    stderr: LineCutter,
}

impl OutputEvents {
    pub(super) fn new(span: Arc<Span>) -> Self {
        Self { span, stdout: LineCutter::default(), stderr: LineCutter::default() }
    }

    /// Tells of a piece, which holds no secret any more.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if !self.span.is_observed() {
            return;
        }
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        self.span.lines(stream, lines.push(bytes));
    }

    /// Tells of lines that have no end.
    pub(super) fn finish(&mut self) {
        self.span.lines(Stream::Stdout, self.stdout.finish());
        self.span.lines(Stream::Stderr, self.stderr.finish());
    }
}
