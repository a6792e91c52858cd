//! Forwarding: what arrives at a listener goes to a port of something else, and back.

mod datagrams;
mod splice;
mod stream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub(super) use self::datagrams::IDLE;
use super::current::Task;
use crate::engine::{Connection, Dialing, Flow, Incoming, Instance, Listener, PortNumber};

/// Pause before the next accept where the process has run out of files: some will be closed.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Connects to the ports of one destination.
pub(super) trait Dial: Send + Sync + 'static {
    /// Connects to a TCP port.
    fn connect(&self, port: u16) -> Dialing<'_, Connection>;

    /// Opens a flow of datagrams to a UDP port.
    fn flow(&self, port: u16) -> Dialing<'_, Flow>;
}

/// A service's process, in the engine.
impl Dial for Arc<dyn Instance> {
    fn connect(&self, port: u16) -> Dialing<'_, Connection> {
        (**self).connect(port)
    }

    fn flow(&self, port: u16) -> Dialing<'_, Flow> {
        (**self).flow(port)
    }
}

/// What connections hold, and when they are closed.
pub(super) trait Life: Send + Sync + 'static {
    /// Completes when everything that is still open is to be closed.
    fn over(&self) -> BoxFuture<'_, ()>;
}

/// Forwards everything that arrives at a listener to a port, until the life is over. If this is dropped, the listener
/// closes and open connections go on; each holds `life` until it ends.
pub(super) async fn serve<D: Dial, L: Life>(listener: Listener, port: u16, dial: Arc<D>, life: Arc<L>) {
    let ended = life.clone();
    let serve = async {
        match listener {
            Listener::Tcp(listener) => accept(listener, port, &dial, &life).await,
            Listener::Udp(socket) => datagrams::serve(socket, port, &dial, &life).await,
            Listener::Relayed(incoming) => take(incoming, port, &dial, &life).await,
        }
    };
    tokio::select! {
        () = serve => {}
        () = ended.over() => {}
    }
}

/// The same for listeners, each of which leads to the port in its place. They close when the tasks are dropped.
pub(super) fn serve_all<D: Dial, L: Life>(
    listeners: Vec<Listener>,
    ports: &[PortNumber],
    dial: &Arc<D>,
    life: &Arc<L>,
) -> Vec<Task<()>> {
    let serve = |(listener, port): (Listener, &PortNumber)| {
        Task::spawn(serve(listener, port.number, dial.clone(), life.clone()).map(Ok))
    };
    listeners.into_iter().zip(ports).map(serve).collect()
}

async fn accept<D: Dial, L: Life>(listener: TcpListener, port: u16, dial: &Arc<D>, life: &Arc<L>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                drop(tokio::spawn(connection(Connection::Socket(client), port, dial.clone(), life.clone())));
            }
            Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

async fn take<D: Dial, L: Life>(
    mut incoming: mpsc::Receiver<Incoming>,
    port: u16,
    dial: &Arc<D>,
    life: &Arc<L>,
) {
    while let Some(client) = incoming.recv().await {
        match client {
            Incoming::Connection(client) => {
                drop(tokio::spawn(connection(client, port, dial.clone(), life.clone())));
            }
            Incoming::Flow(client) => {
                drop(tokio::spawn(datagrams::flow(client, port, dial.clone(), life.clone())));
            }
        }
    }
}

/// Joins two connections, until both have ended.
pub(super) async fn join(client: Connection, server: Connection) {
    stream::carry(client, server, std::future::pending()).await;
}

/// One connection. If there is nothing to connect it to, it is reset, as it had to be accepted to be known.
async fn connection<D: Dial, L: Life>(client: Connection, port: u16, dial: Arc<D>, life: Arc<L>) {
    let server = tokio::select! {
        server = dial.connect(port) => server,
        () = life.over() => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    match server {
        Ok(server) => stream::carry(client, server, life.over()).await,
        Err(_) => stream::reset(client),
    }
}
