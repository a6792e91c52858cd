//! Limits on how much of an engine's answer is read.
//!
//! bollard reads a document into memory whatever its length. So the bytes of a connection are limited, except the
//! contents of files and the output of processes, which are passed on as they arrive.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::lock::lock;

/// Larger than any document of an engine, including HTTP's overhead.
const DOCUMENT_AT_MOST: u64 = 8 << 20;
/// Engines send the output of processes in pieces of some kilobytes.
const FRAME_AT_MOST: u64 = 16 << 20;
/// The progress of a long pull, push or load consists of many documents, and so does what happens in a long session.
const NEWS_AT_MOST: u64 = 64 << 20;
/// A listing has every image with all its labels: thousands, some with 64 KiB of what a step wrote.
const LISTING_AT_MOST: u64 = 512 << 20;

/// The limit of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bound {
    /// No limit: it is passed on as it arrives.
    None,
    /// This many bytes in all, and this many left.
    Bytes { most: u64, left: u64 },
    /// Any number of frames, each with a limit.
    Frames(Frames),
}

impl Default for Bound {
    /// The limit of a document.
    fn default() -> Self {
        Self::Bytes { most: DOCUMENT_AT_MOST, left: DOCUMENT_AT_MOST }
    }
}

impl Bound {
    /// The limit of the answer to a request.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        // The path after the version, `v1.41`.
        let path = path.trim_start_matches('/');
        let unversioned = path.split_once('/').filter(|(version, _)| version.starts_with('v'));
        let path = unversioned.map_or(path, |(_, path)| path);
        let parts: Vec<&str> = path.split('/').collect();
        let last = parts.last().copied().unwrap_or_default();
        let bytes = |most| Self::Bytes { most, left: most };
        match (parts.first().copied().unwrap_or_default(), last) {
            ("containers", "attach") | ("exec", "start") => Self::Frames(Frames::default()),
            ("containers", "logs" | "export") | ("images", "get") => Self::None,
            ("containers", "archive") if method == Method::GET => Self::None,
            ("images", "create" | "load" | "push") | ("events", _) => bytes(NEWS_AT_MOST),
            ("images", "json") if parts.len() == 2 => bytes(LISTING_AT_MOST),
            ("system", "df") => bytes(LISTING_AT_MOST),
            _ => Self::default(),
        }
    }

    /// Counts bytes that arrived.
    fn take_in(&mut self, come: &[u8]) -> Result<(), String> {
        match self {
            Self::None => Ok(()),
            Self::Bytes { most, left } => {
                let Some(rest) = left.checked_sub(come.len() as u64) else {
                    let most = *most >> 20;
                    return Err(format!(
                        "the engine answers with more than any such answer has ({most} MiB)"
                    ));
                };
                *left = rest;
                Ok(())
            }
            Self::Frames(frames) => frames.take_in(come),
        }
    }
}

/// The position in an output stream: the head of the answer, then frames, each a header that ends in a length, and that
/// many bytes (Docker API, "Attach to a container", "Stream format"). bollard collects each frame as a whole.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Frames {
    /// The first line of the head, up to the status.
    start: Vec<u8>,
    /// How much of the empty line that ends the head has arrived.
    head: usize,
    /// The part of a frame's header that has arrived.
    header: Vec<u8>,
    /// The bytes of the frame that are still to come.
    left: u64,
}

impl Frames {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    const HEADER: usize = 8;
    /// Any other answer is a document that gives the reason.
    const UPGRADED: &[u8] = b"HTTP/1.1 101";

    fn take_in(&mut self, mut come: &[u8]) -> Result<(), String> {
        while let Some((byte, rest)) = come.split_first() {
            if self.start.len() < Self::UPGRADED.len() {
                self.start.push(*byte);
                come = rest;
            } else if self.start != Self::UPGRADED {
                self.left = self.left.saturating_add(come.len() as u64);
                if self.left > DOCUMENT_AT_MOST {
                    return Err("the engine refuses with more than any refusal has (8 MiB)".to_owned());
                }
                return Ok(());
            } else if self.head < Self::END_OF_HEAD.len() {
                let is_next = Self::END_OF_HEAD.get(self.head) == Some(byte);
                self.head = if is_next { self.head + 1 } else { usize::from(*byte == b'\r') };
                come = rest;
            } else if self.left > 0 {
                let skipped = self.left.min(come.len() as u64);
                self.left -= skipped;
                come = come.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
            } else {
                self.header.push(*byte);
                come = rest;
                if let [.., a, b, c, d] = *self.header.as_slice()
                    && self.header.len() == Self::HEADER
                {
                    self.left = u32::from_be_bytes([a, b, c, d]).into();
                    self.header.clear();
                    if self.left > FRAME_AT_MOST {
                        return Err(format!(
                            "the engine sends more of what a process says at once than any has ({} MiB)",
                            FRAME_AT_MOST >> 20
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The limit of the next answer on a connection, set with each request.
#[derive(Debug, Clone)]
pub(super) struct Next(Arc<Mutex<Bound>>);

impl Next {
    pub(super) fn set(&self, bound: Bound) {
        *lock(&self.0) = bound;
    }
}

/// A connection that reads no more than the limit.
pub(super) struct Bounded<S> {
    stream: S,
    /// The limit of what comes next.
    next: Next,
}

impl<S> Bounded<S> {
    /// `bound` is the limit of the first answer.
    pub(super) fn new(stream: S, bound: Bound) -> (Self, Next) {
        let next = Next(Arc::new(Mutex::new(bound)));
        (Self { stream, next: next.clone() }, next)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let come = buffer.filled().get(before..).unwrap_or_default();
        let mut bound = lock(&self.next.0);
        Poll::Ready(bound.take_in(come).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_what_was_asked() {
        let get = |path| Bound::of(&Method::GET, path);
        for path in ["/v1.41/containers/x/logs", "/v1.41/images/a/b:1/get", "/containers/x/archive"] {
            assert_eq!(get(path), Bound::None, "{path}");
        }
        let bytes = |most| Bound::Bytes { most, left: most };
        assert_eq!(Bound::of(&Method::HEAD, "/v1.41/containers/x/archive"), bytes(DOCUMENT_AT_MOST));
        assert_eq!(Bound::of(&Method::POST, "/v1.41/images/create"), bytes(NEWS_AT_MOST));
        for path in ["/v1.41/images/vx/json", "/version", "/v1.41/containers/json", "/v1.41/images/logs/json"]
        {
            assert_eq!(get(path), bytes(DOCUMENT_AT_MOST), "{path}");
        }
        for path in ["/v1.41/containers/x/attach", "/v1.41/exec/x/start"] {
            assert!(matches!(Bound::of(&Method::POST, path), Bound::Frames(_)), "{path}");
        }
    }

    #[test]
    fn a_frame_of_any_length_is_not_waited_for() {
        let head = b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n";
        let frame = |length: u32, data: &[u8]| [&[1, 0, 0, 0], &length.to_be_bytes()[..], data].concat();
        let good = [head.as_slice(), &frame(3, b"abc"), &frame(0, b""), &frame(5, b"\r\n\r\nx")].concat();
        let bad = [good.as_slice(), &frame(u32::MAX, b"")].concat();
        for size in 1..good.len() {
            let mut frames = Frames::default();
            assert_eq!(good.chunks(size).try_for_each(|come| frames.take_in(come)), Ok(()), "by {size}");
            assert_eq!((frames.left, frames.header.len()), (0, 0), "by {size}");
            let mut frames = Frames::default();
            let result = bad.chunks(size).try_for_each(|come| frames.take_in(come));
            assert!(result.unwrap_err().contains("16 MiB"), "by {size}");
        }
        let mut refusal = Frames::default();
        let said = b"HTTP/1.1 404 Not Found\r\n\r\n{\"message\": \"No such container\"}";
        assert_eq!(said.chunks(5).try_for_each(|come| refusal.take_in(come)), Ok(()));
        assert!((0..9).any(|_| refusal.take_in(&vec![b' '; 1 << 20]).is_err()));
    }
}
