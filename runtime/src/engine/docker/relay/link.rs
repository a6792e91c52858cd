//! All that one relay carries: connections and flows, and the frames that are to be sent.
//!
//! There is no I/O in here. Whoever reads the relay's stream calls [`Link::hear`], whoever writes it [`Link::take_out`],
//! and each owner of a connection has a [`Handle`]. Memory has limits, whatever is received: each connection has a window,
//! each flow room for some datagrams, and a relay that does not read what it is sent is given up.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::sync::{Notify, oneshot, watch};

use super::channel::{Carries, Channel, Flow, Stream, Wakes};
use super::errors;
use super::frame::{Broken, ChannelId, Frame, Kind, LONGEST, MOST, RESET};
use crate::lock::lock;
use crate::model::Protocol;

/// Writers wait while more than this is to be sent.
const OUT_AT_MOST: usize = 256 << 10;
/// Frames that wait for nothing, such as credit, are far less than this unless the relay has stopped reading.
const OUT_UNREAD: usize = 2 << 20;

const NOT_READ: &str = "the relay does not read what it is sent";
const NOT_KNOWN: Broken = Broken("a frame of no connection");

/// Which side opens connections.
pub(super) enum Side {
    /// This one.
    Dial,
    /// The relay, when something arrives at one of these ports.
    Listen(Vec<Protocol>),
}

/// What a relay carries.
pub(super) struct Link {
    side: Side,
    state: Mutex<State>,
    /// There is something to be sent.
    pub(super) outgoing: Notify,
    /// Why the relay has ended.
    ended: watch::Sender<Option<Arc<str>>>,
}

#[derive(Default)]
struct State {
    channels: Vec<Option<Channel>>,
    /// Frames to be sent.
    out: Vec<u8>,
    /// Connections whose writers wait until that has been sent, those first that have waited for longest.
    waiting: Vec<ChannelId>,
    is_over: bool,
}

/// What a relay has said, as far as it concerns more than one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    Ready,
    /// The port of this index cannot be listened at.
    Failed {
        port: usize,
        error: u16,
    },
    /// Something has arrived at the port of this index.
    Incoming {
        channel: ChannelId,
        port: usize,
    },
}

/// Why nothing is opened.
pub(super) enum Unopened {
    /// The relay has ended, for this reason.
    Ended(Arc<str>),
    TooMany,
}

impl Link {
    pub(super) fn new(side: Side) -> Arc<Self> {
        let (state, outgoing, ended) = (Mutex::default(), Notify::new(), watch::Sender::new(None));
        Arc::new(Self { side, state, outgoing, ended })
    }

    /// The protocol of the port of this index.
    pub(super) fn protocol(&self, port: usize) -> Option<Protocol> {
        match &self.side {
            Side::Listen(ports) => ports.get(port).copied(),
            Side::Dial => None,
        }
    }

    /// Why the relay has ended, if it has.
    pub(super) fn end(&self) -> Option<Arc<str>> {
        self.ended.borrow().clone()
    }

    /// Waits until the relay has ended.
    pub(super) async fn wait(&self) -> Arc<str> {
        let mut ended = self.ended.subscribe();
        let end = ended.wait_for(Option::is_some).await.map(|end| end.clone());
        end.ok().flatten().unwrap_or_else(|| "it was removed".into())
    }

    /// Nothing is carried any more. The first reason counts.
    pub(super) fn over(&self, reason: &str) {
        self.ended.send_if_modified(|end| end.is_none() && end.replace(reason.into()).is_none());
        self.change(|state, wakes| {
            state.is_over = true;
            state.out = Vec::new();
            for channel in state.channels.iter_mut().flatten() {
                if let Some(opening) = channel.opening.take() {
                    // Whoever is not there any more need not know.
                    let _ = opening.send(Err(errors::lost(reason)));
                }
                channel.wake(wakes);
            }
        });
    }

    /// Begins to connect: the number of the connection, and its outcome.
    pub(super) fn open(
        self: &Arc<Self>,
        protocol: Protocol,
        to: SocketAddr,
    ) -> Result<(Handle, oneshot::Receiver<io::Result<()>>), Unopened> {
        if let Some(reason) = self.end() {
            return Err(Unopened::Ended(reason));
        }
        let (tell, opened) = oneshot::channel();
        let channel = self.change(|state, _| {
            let free = state.channels.iter().position(Option::is_none).unwrap_or(state.channels.len());
            let id = ChannelId::try_from(free).ok().filter(|_| free < MOST).ok_or(Unopened::TooMany)?;
            let mut contents = vec![u8::from(protocol == Protocol::Udp)];
            contents.extend_from_slice(&to.port().to_be_bytes());
            match to.ip() {
                IpAddr::V4(ip) => contents.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => contents.extend_from_slice(&ip.octets()),
            }
            state.occupy(free, Channel::new(protocol, Some(tell)));
            state.send(Kind::Open, id, &contents);
            Ok(id)
        })?;
        Ok((Handle { link: self.clone(), channel }, opened))
    }

    /// The owner of what has arrived.
    pub(super) fn handle(self: &Arc<Self>, channel: ChannelId) -> Handle {
        Handle { link: self.clone(), channel }
    }

    /// Takes in a frame.
    pub(super) fn hear(&self, frame: Frame<'_>) -> Result<Heard, Broken> {
        match frame.kind {
            Kind::Ready => Ok(Heard::Ready),
            Kind::Failed => Ok(Heard::Failed { port: frame.channel.into(), error: frame.number()? }),
            Kind::Open => {
                let port = usize::from(frame.number()?);
                let protocol = self.protocol(port).ok_or(Broken("a connection to a port of no index"))?;
                let slot = usize::from(frame.channel);
                self.change(|state, _| {
                    if slot >= MOST || state.channels.get(slot).is_some_and(Option::is_some) {
                        return Err(Broken("a connection whose number is taken"));
                    }
                    state.occupy(slot, Channel::new(protocol, None));
                    Ok(Heard::Incoming { channel: frame.channel, port })
                })
            }
            _ => self.change(|state, wakes| state.hear(frame, wakes)).map(|()| Heard::Nothing),
        }
    }

    /// Exchanges what is to be sent for what has been sent, which is cleared. False if there is nothing to be sent.
    pub(super) fn take_out(&self, sent: &mut Vec<u8>) -> bool {
        sent.clear();
        self.change(|state, wakes| {
            std::mem::swap(&mut state.out, sent);
            for id in std::mem::take(&mut state.waiting) {
                if let Some(Channel { carries: Carries::Stream(stream), .. }) = state.channel(id) {
                    stream.is_waiting = false;
                    wakes.push(stream.writer.take());
                }
            }
        });
        !sent.is_empty()
    }

    /// How many connections and flows there are, with those that only one side has closed.
    #[cfg(test)]
    pub(super) fn carried(&self) -> usize {
        lock(&self.state).channels.iter().flatten().count()
    }

    /// Changes the state, then wakes whoever has to go on: with the lock held, that might need it.
    fn change<T>(&self, work: impl FnOnce(&mut State, &mut Wakes) -> T) -> T {
        let mut wakes = Wakes::default();
        let (result, is_outgoing, is_unread) = {
            let mut state = lock(&self.state);
            let before = state.out.len();
            let result = work(&mut state, &mut wakes);
            (result, state.out.len() > before, state.out.len() > OUT_UNREAD && !state.is_over)
        };
        wakes.wake();
        if is_outgoing {
            self.outgoing.notify_one();
        }
        if is_unread {
            self.over(NOT_READ);
        }
        result
    }
}

impl State {
    fn occupy(&mut self, slot: usize, channel: Channel) {
        if self.channels.len() <= slot {
            self.channels.resize_with(slot + 1, || None);
        }
        if let Some(free) = self.channels.get_mut(slot) {
            *free = Some(channel);
        }
    }

    fn send(&mut self, kind: Kind, channel: ChannelId, contents: &[u8]) {
        if !self.is_over {
            Frame { kind, channel, contents }.put(&mut self.out);
        }
    }

    fn channel(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.channels.get_mut(usize::from(id))?.as_mut()
    }

    fn hear(&mut self, frame: Frame<'_>, wakes: &mut Wakes) -> Result<(), Broken> {
        let slot = self.channels.get_mut(usize::from(frame.channel)).ok_or(NOT_KNOWN)?;
        let channel = slot.as_mut().ok_or(NOT_KNOWN)?;
        if channel.closed_there.is_some() {
            return Err(Broken("a frame after the last of its connection"));
        }
        if frame.kind == Kind::Close {
            let error = frame.number()?;
            if channel.is_closed_here {
                *slot = None;
                return Ok(());
            }
            channel.closed_there = Some(error);
            if let Some(opening) = channel.opening.take() {
                // Whoever does not wait any more need not know.
                let _ = opening.send(Err(errors::of(error)));
            }
            channel.wake(wakes);
            return Ok(());
        }
        if channel.is_closed_here {
            return Ok(());
        }
        match (frame.kind, channel.opening.take()) {
            (Kind::Opened, Some(opening)) => {
                let _ = opening.send(Ok(()));
                return Ok(());
            }
            (_, Some(_)) | (Kind::Opened, None) => return Err(Broken("a connection that opens out of turn")),
            (_, None) => {}
        }
        match (frame.kind, &mut channel.carries) {
            (Kind::Data, Carries::Stream(stream)) => {
                stream.hear(frame.contents)?;
                wakes.push(stream.reader.take());
            }
            (Kind::Data, Carries::Flow(flow)) => {
                flow.hear(frame.contents);
                wakes.push(flow.reader.take());
            }
            (Kind::Credit, Carries::Stream(stream)) => {
                stream.grant(frame.large_number()?)?;
                wakes.push(stream.writer.take());
            }
            (Kind::End, Carries::Stream(stream)) if !stream.has_ended_there => {
                stream.has_ended_there = true;
                wakes.push(stream.reader.take());
            }
            _ => return Err(Broken("a frame that such a connection does not have")),
        }
        Ok(())
    }
}

/// Owns a connection or a flow: dropping it closes it, which resets a connection unless both halves have ended.
pub(super) struct Handle {
    link: Arc<Link>,
    channel: ChannelId,
}

impl Handle {
    fn with_stream<T>(
        &self,
        work: impl FnOnce(&mut Stream, Option<u16>) -> (T, Option<(Kind, Vec<u8>)>),
    ) -> Option<T> {
        self.link.change(|state, _| {
            let channel = state.channel(self.channel)?;
            let Carries::Stream(stream) = &mut channel.carries else { return None };
            let (result, frame) = work(stream, channel.closed_there);
            if let Some((kind, contents)) = frame {
                state.send(kind, self.channel, &contents);
            }
            Some(result)
        })
    }

    /// Why the connection is of no use any more: the relay's end, or that of the connection.
    fn loss(&self, closed: Option<u16>) -> Option<io::Error> {
        match closed {
            Some(0) => Some(errors::of(RESET)),
            Some(error) => Some(errors::of(error)),
            None => self.link.end().map(|reason| errors::lost(&reason)),
        }
    }

    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.with_stream(|stream, closed| {
            if !stream.incoming.is_empty() {
                let credit = stream.read(into).filter(|_| closed.is_none());
                let frame = credit.map(|credit| (Kind::Credit, credit.to_be_bytes().to_vec()));
                return (Poll::Ready(Ok(())), frame);
            }
            if stream.has_ended_there {
                return (Poll::Ready(Ok(())), None);
            }
            if let Some(error) = self.loss(closed) {
                return (Poll::Ready(Err(error)), None);
            }
            stream.reader = Some(context.waker().clone());
            (Poll::Pending, None)
        });
        read.unwrap_or_else(|| Poll::Ready(Err(errors::of(RESET))))
    }

    pub(super) fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.link.change(|state, _| {
            let is_crowded = state.out.len() >= OUT_AT_MOST;
            let Some(channel) = state.channel(self.channel) else {
                return Poll::Ready(Err(errors::of(RESET)));
            };
            let closed = channel.closed_there;
            let Carries::Stream(stream) = &mut channel.carries else {
                return Poll::Ready(Err(errors::of(RESET)));
            };
            if stream.has_ended_here {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if let Some(error) = self.loss(closed) {
                return Poll::Ready(Err(error));
            }
            let length = bytes.len().min(stream.credit).min(LONGEST);
            let taken = bytes.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                return Poll::Ready(Ok(0));
            }
            if taken.is_empty() || is_crowded {
                stream.writer = Some(context.waker().clone());
                if is_crowded && !std::mem::replace(&mut stream.is_waiting, true) {
                    state.waiting.push(self.channel);
                }
                return Poll::Pending;
            }
            stream.credit -= length;
            state.send(Kind::Data, self.channel, taken);
            Poll::Ready(Ok(length))
        })
    }

    /// Ends what is written.
    pub(super) fn shutdown(&self) {
        self.with_stream(|stream, closed| {
            let is_new = !std::mem::replace(&mut stream.has_ended_here, true) && closed.is_none();
            ((), is_new.then(|| (Kind::End, Vec::new())))
        });
    }

    /// Sends a datagram, unless there is no room for it.
    pub(super) fn send(&self, datagram: &[u8]) {
        self.link.change(|state, _| {
            let is_open = state.channel(self.channel).is_some_and(|channel| channel.closed_there.is_none());
            if is_open && state.out.len() < OUT_AT_MOST && datagram.len() <= LONGEST {
                state.send(Kind::Data, self.channel, datagram);
            }
        });
    }

    /// The next datagram; `None` once there are no more.
    pub(super) fn poll_datagram(&self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let read = |flow: &mut Flow, is_over: bool| match flow.read() {
            Some(datagram) => Poll::Ready(Some(datagram)),
            None if is_over => Poll::Ready(None),
            None => {
                flow.reader = Some(context.waker().clone());
                Poll::Pending
            }
        };
        self.link.change(|state, _| {
            let is_over = state.is_over;
            match state.channel(self.channel) {
                Some(Channel { carries: Carries::Flow(flow), closed_there, .. }) => {
                    read(flow, is_over || closed_there.is_some())
                }
                _ => Poll::Ready(None),
            }
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.change(|state, _| {
            let Some(slot) = state.channels.get_mut(usize::from(self.channel)) else { return };
            let Some(channel) = slot else { return };
            let error = match &channel.carries {
                Carries::Stream(stream) if !(stream.has_ended_here && stream.has_ended_there) => RESET,
                _ => 0,
            };
            if channel.closed_there.is_some() {
                *slot = None;
            } else {
                // Its number is free when the relay has closed it too. Its memory is free now.
                *channel = Channel { is_closed_here: true, ..Channel::new(Protocol::Udp, None) };
            }
            state.send(Kind::Close, self.channel, &error.to_be_bytes());
        });
    }
}
