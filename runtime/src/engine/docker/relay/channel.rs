//! The state of one connection or flow, without the stream that it goes through.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use tokio::sync::oneshot;

use super::frame::{Broken, WINDOW};
use crate::model::Protocol;

/// How many bytes of datagrams may wait for their reader: what a socket has room for by default on Linux.
const WAITING: usize = 208 << 10;

/// Wakes whoever has to go on, once the lock is free.
#[derive(Default)]
pub(super) struct Wakes(Vec<Waker>);

impl Wakes {
    pub(super) fn push(&mut self, waker: Option<Waker>) {
        self.0.extend(waker);
    }

    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

/// A connection or a flow.
pub(super) struct Channel {
    /// Who is told that it is open, or why not.
    pub(super) opening: Option<oneshot::Sender<io::Result<()>>>,
    /// Whether its owner has gone: what still arrives is of no interest.
    pub(super) is_closed_here: bool,
    /// With this error number, 0 if in order, the relay has closed it.
    pub(super) closed_there: Option<u16>,
    pub(super) carries: Carries,
}

pub(super) enum Carries {
    Stream(Stream),
    Flow(Flow),
}

impl Channel {
    pub(super) fn new(protocol: Protocol, opening: Option<oneshot::Sender<io::Result<()>>>) -> Self {
        let carries = match protocol {
            Protocol::Tcp => Carries::Stream(Stream::new()),
            Protocol::Udp => Carries::Flow(Flow::default()),
        };
        Self { opening, is_closed_here: false, closed_there: None, carries }
    }

    /// Wakes everybody who waits for something to happen to it.
    pub(super) fn wake(&mut self, wakes: &mut Wakes) {
        match &mut self.carries {
            Carries::Stream(stream) => {
                wakes.push(stream.reader.take());
                wakes.push(stream.writer.take());
            }
            Carries::Flow(flow) => wakes.push(flow.reader.take()),
        }
    }
}

/// A TCP connection.
pub(super) struct Stream {
    /// What has arrived and was not read yet.
    pub(super) incoming: VecDeque<u8>,
    /// How many more bytes may arrive.
    expected: usize,
    /// How many bytes were read since credit was last given.
    taken: usize,
    pub(super) has_ended_there: bool,
    pub(super) reader: Option<Waker>,
    /// How many more bytes may be sent.
    pub(super) credit: usize,
    pub(super) has_ended_here: bool,
    pub(super) writer: Option<Waker>,
    /// Whether the writer waits until what others have written is sent.
    pub(super) is_waiting: bool,
}

impl Stream {
    fn new() -> Self {
        Self {
            incoming: VecDeque::new(),
            expected: WINDOW,
            taken: 0,
            has_ended_there: false,
            reader: None,
            credit: WINDOW,
            has_ended_here: false,
            writer: None,
            is_waiting: false,
        }
    }

    /// Takes in what has arrived.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.has_ended_there {
            return Err(Broken("data after the end of a connection"));
        }
        self.expected =
            self.expected.checked_sub(bytes.len()).ok_or(Broken("more data than there was credit for"))?;
        self.incoming.extend(bytes);
        Ok(())
    }

    /// Reads what has arrived, and returns for how many bytes the relay is to get credit, if for any.
    pub(super) fn read(&mut self, into: &mut tokio::io::ReadBuf<'_>) -> Option<u32> {
        let length = self.incoming.len().min(into.remaining());
        for part in <[&[u8]; 2]>::from(self.incoming.as_slices()) {
            into.put_slice(part.get(..into.remaining()).unwrap_or(part));
        }
        self.incoming.drain(..length);
        self.taken += length;
        if self.taken < WINDOW / 4 || self.has_ended_there {
            return None;
        }
        let credit = std::mem::take(&mut self.taken);
        self.expected += credit;
        u32::try_from(credit).ok()
    }

    /// Takes in credit.
    pub(super) fn grant(&mut self, credit: u32) -> Result<(), Broken> {
        let credit = usize::try_from(credit).unwrap_or(usize::MAX);
        self.credit = self.credit.saturating_add(credit);
        if self.credit > WINDOW {
            return Err(Broken("credit for more than was sent"));
        }
        Ok(())
    }
}

/// A flow of datagrams.
#[derive(Default)]
pub(super) struct Flow {
    /// What has arrived and was not read yet.
    incoming: VecDeque<Vec<u8>>,
    /// How many bytes that is, with what each datagram costs besides.
    length: usize,
    pub(super) reader: Option<Waker>,
}

impl Flow {
    /// Takes in a datagram, if there is room for it.
    pub(super) fn hear(&mut self, datagram: &[u8]) {
        let cost = cost(datagram);
        if self.length + cost <= WAITING {
            self.length += cost;
            self.incoming.push_back(datagram.to_vec());
        }
    }

    pub(super) fn read(&mut self) -> Option<Vec<u8>> {
        let datagram = self.incoming.pop_front()?;
        self.length -= cost(&datagram);
        Some(datagram)
    }
}

fn cost(datagram: &[u8]) -> usize {
    datagram.len() + 64
}
