//! Output, line by line.

use std::io::BufRead as _;
use std::sync::Arc;

use crate::event::{LineCutter, Span};
use crate::model::Stream;

/// A longer line is shown in pieces of this many bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// Cuts a stream into lines, wherever the pieces that arrive are cut.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The bytes since the last line end.
    partial: Vec<u8>,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LONGEST_LINE - self.partial.len();
            let mut next = rest.get(..room).unwrap_or(rest);
            let piece = next;
            // `skip_until` is fast in every build, even unoptimised; reading from memory does not fail.
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

/// Emits the output lines of a span's process, if anybody observes it.
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

    /// Emits the lines of a piece, which is already free of secrets.
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

    /// Emits the last lines, which have no line end.
    pub(super) fn finish(&mut self) {
        self.span.lines(Stream::Stdout, self.stdout.finish());
        self.span.lines(Stream::Stderr, self.stderr.finish());
    }
}
