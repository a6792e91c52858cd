//! A connection or a flow as its user has it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::link::Handle;
use crate::engine::{Connection, Datagrams, Relayed};

/// How many datagrams may wait to be sent. They wait only until the stream's writer takes them.
const WAITING: usize = 64;

pub(super) fn connection(handle: Handle) -> Connection {
    Connection::Relayed(stream(handle))
}

pub(super) fn stream(handle: Handle) -> Box<dyn Relayed> {
    Box::new(Carried(handle))
}

struct Carried(Handle);

impl Relayed for Carried {}

impl AsyncRead for Carried {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(context, into)
    }
}

impl AsyncWrite for Carried {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, bytes)
    }

    /// What is written is on its way: nothing collects it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shutdown();
        Poll::Ready(Ok(()))
    }
}

/// A flow, which ends when the relay ends it or when its user has dropped both of its halves.
pub(super) fn datagrams(handle: Handle) -> Datagrams {
    let (sender, mut to_send) = mpsc::channel::<Vec<u8>>(WAITING);
    // What waits to be read waits in the link, where its size is limited.
    let (arrived, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let sending = async {
            while let Some(datagram) = to_send.recv().await {
                handle.send(&datagram);
            }
            arrived.closed().await;
        };
        let receiving = async {
            while let Some(datagram) = std::future::poll_fn(|context| handle.poll_datagram(context)).await {
                // Nobody reads any more: it is dropped.
                let _ = arrived.send(datagram).await;
            }
        };
        tokio::select! {
            () = sending => {}
            () = receiving => {}
        }
    });
    Datagrams { sender, receiver }
}
