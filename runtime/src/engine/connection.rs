//! Connections to services, and from their clients to the pipeline: sockets where there is a way for them, else streams
//! over the engine's own connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

use crate::model::Protocol;

/// A TCP connection.
pub(crate) enum Connection {
    Socket(TcpStream),
    /// Carried by something else than a socket of this machine.
    Relayed(Box<dyn Relayed>),
}

/// A connection that an engine carries: reading ends where the other side has shut down its half, and fails with
/// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset) where it has reset the connection. Dropping it resets it, unless
/// both halves were shut down.
pub(crate) trait Relayed: AsyncRead + AsyncWrite + Send + Unpin {}

/// The datagrams between one client and one UDP port.
pub(crate) enum Flow {
    /// A connected socket.
    Socket(UdpSocket),
    Relayed(Datagrams),
}

impl Flow {
    /// Datagrams between this process and an address that it reaches.
    pub(crate) async fn to(address: SocketAddr) -> io::Result<UdpSocket> {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(address).await?;
        Ok(socket)
    }
}

/// Datagrams that an engine carries: each message is one. If there is no room for a datagram, it is dropped.
pub(crate) struct Datagrams {
    pub(crate) sender: mpsc::Sender<Vec<u8>>,
    pub(crate) receiver: mpsc::Receiver<Vec<u8>>,
}

/// A port at which clients in the session's network reach the pipeline.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Udp(UdpSocket),
    /// Connections and flows that the engine carries.
    Relayed(mpsc::Receiver<Incoming>),
}

/// What a client has begun.
pub(crate) enum Incoming {
    Connection(Connection),
    Flow(Datagrams),
}

/// A port of a service, as it is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct PortNumber {
    pub(crate) protocol: Protocol,
    pub(crate) number: u16,
}
