//! Two TCP connections joined: bytes, ends and resets pass from each to the other.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp;
use tokio::time::timeout;

use super::splice;
use crate::engine::{Connection, Relayed};

/// Once everything is to be closed, how long what was sent before may take to be delivered.
const FLUSHED: Duration = Duration::from_millis(250);

/// How much is copied at a time. A connection that fills this again and again is spliced, where it can be.
const PIECE: usize = 16 << 10;
/// The same, where it cannot be.
const LARGE_PIECE: usize = 256 << 10;
/// After this many full pieces.
const FULL_PIECES: u32 = 4;

/// Forwards both ways until both sides have shut down, or one is reset: then both are. When `over` completes, what is
/// under way is delivered, and then both are reset.
pub(super) async fn carry(client: Connection, server: Connection, over: impl Future<Output = ()>) {
    match (client, server) {
        (Connection::Socket(mut client), Connection::Socket(mut server)) => {
            // A proxy must not wait for more to send: each side has decided already what is to be sent at once.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let joined = {
                let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
                until(over, async {
                    tokio::try_join!(sockets(from_client, to_server), sockets(from_server, to_client))
                        .map(drop)
                })
                .await
            };
            if joined.is_err() {
                let _ = (client.set_zero_linger(), server.set_zero_linger());
            }
        }
        (Connection::Socket(socket), Connection::Relayed(relayed))
        | (Connection::Relayed(relayed), Connection::Socket(socket)) => {
            half_relayed(socket, relayed, over).await;
        }
        (Connection::Relayed(client), Connection::Relayed(server)) => {
            let ((from_client, to_client), (from_server, to_server)) =
                (tokio::io::split(client), tokio::io::split(server));
            // Dropping them resets them unless both have ended.
            let _ = until(over, async {
                tokio::try_join!(copy(from_client, to_server), copy(from_server, to_client)).map(drop)
            })
            .await;
        }
    }
}

async fn half_relayed(mut socket: TcpStream, relayed: Box<dyn Relayed>, over: impl Future<Output = ()>) {
    let _ = socket.set_nodelay(true);
    let joined = {
        let ((from_socket, to_socket), (from_relay, to_relay)) = (socket.split(), tokio::io::split(relayed));
        until(over, async {
            tokio::try_join!(copy(from_socket, to_relay), copy(from_relay, to_socket)).map(drop)
        })
        .await
    };
    if joined.is_err() {
        let _ = socket.set_zero_linger();
    }
}

/// Resets a connection.
pub(super) fn reset(connection: Connection) {
    match connection {
        Connection::Socket(socket) => drop(socket.set_zero_linger()),
        Connection::Relayed(relayed) => drop(relayed),
    }
}

async fn until(over: impl Future<Output = ()>, work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => done,
        () = over => timeout(FLUSHED, work).await.unwrap_or_else(|late| Err(late.into())),
    }
}

/// One direction between two sockets.
async fn sockets(mut from: tcp::ReadHalf<'_>, mut to: tcp::WriteHalf<'_>) -> io::Result<()> {
    let mut space = vec![0; PIECE];
    let mut full = 0;
    loop {
        let length = from.read(&mut space).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(space.get(..length).unwrap_or_default()).await?;
        full = if length == space.len() { full + 1 } else { 0 };
        if full == FULL_PIECES {
            if let Some(mut pipe) = splice::Pipe::new() {
                drop(space);
                pipe.carry(from.as_ref(), to.as_ref()).await?;
                return to.shutdown().await;
            }
            space.resize(LARGE_PIECE, 0);
        }
    }
}

/// One direction where one side is no socket.
async fn copy(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut space = vec![0; PIECE];
    loop {
        let length = from.read(&mut space).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(space.get(..length).unwrap_or_default()).await?;
        to.flush().await?;
    }
}
