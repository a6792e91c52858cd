//! Channels as readers and writers: one side blocks on a thread, the other sends or receives pieces asynchronously.

use std::io::{self, Read, Write};

use tokio::sync::mpsc::{Receiver, Sender};

/// A piece of a stream, or the error that ended it.
pub(super) type Piece = io::Result<Vec<u8>>;

/// How many pieces may be queued.
pub(super) const PIECES: usize = 16;

/// Reads the pieces of a channel as one stream.
pub(super) struct ChannelReader {
    pieces: Receiver<Piece>,
    /// The piece that is being read.
    piece: io::Cursor<Vec<u8>>,
}

impl ChannelReader {
    pub(super) fn new(pieces: Receiver<Piece>) -> Self {
        Self { pieces, piece: io::Cursor::default() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(into)? {
                0 => match self.pieces.blocking_recv() {
                    Some(piece) => self.piece = io::Cursor::new(piece?),
                    None => return Ok(0),
                },
                count => return Ok(count),
            }
        }
    }
}

/// Sends each write as one piece.
pub(super) struct ChannelWriter<T> {
    channel: Sender<T>,
    /// Makes the channel's message of a piece.
    message: fn(Vec<u8>) -> T,
}

impl ChannelWriter<Vec<u8>> {
    pub(super) fn new(channel: Sender<Vec<u8>>) -> Self {
        Self { channel, message: |piece| piece }
    }
}

impl ChannelWriter<Piece> {
    /// A writer to a channel that can also carry an error.
    pub(super) fn fallible(channel: Sender<Piece>) -> Self {
        Self { channel, message: Ok }
    }
}

impl<T> Write for ChannelWriter<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.channel.blocking_send((self.message)(bytes.to_vec()));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
