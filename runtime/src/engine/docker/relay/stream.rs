//! The stream of a relay: what it says is heard, and what is to be sent is written, until one of both ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::carried;
use super::errors;
use super::frame::{Broken, Decoder};
use super::link::{Heard, Link};
use crate::engine::Incoming;
use crate::model::Protocol;

/// A relay that cannot be written to has most likely ended: for this long its output may still say why.
pub(super) const SAYS_WHY_WITHIN: Duration = Duration::from_secs(1);

/// Receives whatever arrives at one of the relay's ports.
pub(super) type Ports = Vec<mpsc::Sender<Incoming>>;

/// Why a relay cannot begin.
#[derive(Debug)]
pub(super) struct Refused {
    /// The index of the port that it cannot listen at.
    pub(super) port: usize,
    pub(super) error: std::io::Error,
}

/// How a stream has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was closed, or failed: what is known of that. The relay's own end may say more.
    Closed(String),
    /// Whoever is at the other end is no relay.
    Broken(String),
}

/// Carries everything until the stream ends. `ready` is told once the relay is.
pub(super) async fn carry(
    link: &Arc<Link>,
    output: impl Stream<Item = Result<Bytes, String>>,
    input: impl AsyncWrite,
    ports: Ports,
    ready: oneshot::Sender<Result<(), Refused>>,
) -> End {
    let mut hearing = std::pin::pin!(hear(link, output, ports, ready));
    tokio::select! {
        end = &mut hearing => end,
        reason = write(link, input) => {
            tokio::time::timeout(SAYS_WHY_WITHIN, hearing).await.unwrap_or(End::Closed(reason))
        }
    }
}

async fn hear(
    link: &Arc<Link>,
    output: impl Stream<Item = Result<Bytes, String>>,
    ports: Ports,
    ready: oneshot::Sender<Result<(), Refused>>,
) -> End {
    let mut ear = Ear { link, ports, ready: Some(ready) };
    let mut decoder = Decoder::default();
    let mut output = std::pin::pin!(output);
    loop {
        match output.next().await {
            Some(Ok(piece)) => {
                if let Err(Broken(what)) = decoder.feed(&piece, |frame| ear.heed(link.hear(frame)?)) {
                    return End::Broken(format!("what it sends cannot come from it: {what}"));
                }
            }
            Some(Err(reason)) => return End::Closed(reason),
            None => return End::Closed("its stream has ended".to_owned()),
        }
    }
}

struct Ear<'a> {
    link: &'a Arc<Link>,
    ports: Ports,
    ready: Option<oneshot::Sender<Result<(), Refused>>>,
}

impl Ear<'_> {
    fn heed(&mut self, heard: Heard) -> Result<(), Broken> {
        match heard {
            Heard::Nothing => {}
            Heard::Ready | Heard::Failed { .. } => {
                let ready = self.ready.take().ok_or(Broken("it is ready for the second time"))?;
                let outcome = match heard {
                    Heard::Failed { port, error } => Err(Refused { port, error: errors::of(error) }),
                    _ => Ok(()),
                };
                // Whoever does not wait any more removes the relay.
                let _ = ready.send(outcome);
            }
            Heard::Incoming { channel, port } => {
                let handle = self.link.handle(channel);
                let incoming = match self.link.protocol(port) {
                    Some(Protocol::Udp) => Incoming::Flow(carried::datagrams(handle)),
                    _ => Incoming::Connection(carried::connection(handle)),
                };
                // Without a listener it is dropped, which resets it. There is room for as many as there can be.
                let _ = self.ports.get(port).map(|port| port.try_send(incoming));
            }
        }
        Ok(())
    }
}

async fn write(link: &Link, input: impl AsyncWrite) -> String {
    let mut input = std::pin::pin!(input);
    let mut bytes = Vec::new();
    loop {
        link.outgoing.notified().await;
        while link.take_out(&mut bytes) {
            let written = async {
                input.write_all(&bytes).await?;
                input.flush().await
            };
            if let Err(error) = written.await {
                return format!("nothing can be sent to it: {error}");
            }
        }
    }
}
