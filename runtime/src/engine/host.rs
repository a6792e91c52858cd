//! Servers outside of all containers, as instances of services: dialled by this process, whatever the engine.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

use super::connection::{Connection, Flow, PortNumber};
use super::probe::{self, Dialer};
use super::progress::ProbeProgress;
use super::roles::{Call, Command, Dialing, Ended, Instance, Place, Sink, Terminal};
use super::sockets::Listening;
use crate::lock::lock;
use crate::model::{Digest, Exit, HostAddress, HostServer, MadeOf, Port, Protocol, Snapshot, WindowSize};
use crate::{Error, Result};

/// How long to wait for the notice that nobody listens at a UDP port: it comes at once on this machine.
const REFUSED_WITHIN: Duration = Duration::from_millis(20);
/// Pause between probes of a UDP port, each of which is an empty datagram to the server.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Pause before probing on, where there is no way to the server for a moment.
const NO_WAY: Duration = Duration::from_millis(25);

/// Connects to a server.
#[derive(Debug, Clone)]
pub(crate) struct HostDialler(Arc<HostServer>);

impl HostDialler {
    pub(crate) fn connect(&self, port: u16) -> Dialing<'_, Connection> {
        Box::pin(async move { Ok(Connection::Socket(self.tcp(port).await?)) })
    }

    pub(crate) fn flow(&self, port: u16) -> Dialing<'_, Flow> {
        Box::pin(async move { Ok(Flow::Socket(self.udp(port).await?)) })
    }

    async fn tcp(&self, port: u16) -> io::Result<TcpStream> {
        let HostAddress { host, port } = self.address(Protocol::Tcp, port)?;
        match host {
            Some(host) => TcpStream::connect((host.as_str(), *port)).await,
            None => TcpStream::connect(&loopback(*port)[..]).await,
        }
    }

    async fn udp(&self, port: u16) -> io::Result<UdpSocket> {
        let HostAddress { host, port } = self.address(Protocol::Udp, port)?;
        let to = match host {
            Some(host) => tokio::net::lookup_host((host.as_str(), *port)).await?.next(),
            None => Some((Ipv4Addr::LOCALHOST, *port).into()),
        };
        Flow::to(to.ok_or(io::ErrorKind::AddrNotAvailable)?).await
    }

    fn address(&self, protocol: Protocol, port: u16) -> io::Result<&HostAddress> {
        let found =
            self.0.forwards.iter().find(|(known, _)| known.number() == port && known.protocol() == protocol);
        found.map(|(_, address)| address).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    /// Waits until datagrams to a port are not refused.
    async fn wait_udp(&self, port: &Port, progress: &ProbeProgress) {
        let name = port.to_string();
        loop {
            match self.probe_udp(port.number()).await {
                Ok(()) => return progress.note(&name, None),
                Err(error) => progress.note(&name, Some(&probe::plain(&error))),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn probe_udp(&self, port: u16) -> io::Result<()> {
        let socket = self.udp(port).await?;
        socket.send(&[]).await?;
        match timeout(REFUSED_WITHIN, socket.recv(&mut [0])).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}

/// Both: a server may have either.
fn loopback(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// The probes' way to a server; ports stand for its addresses.
impl Dialer for HostDialler {
    type Stream = TcpStream;

    fn ip(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.tcp(address.port()).await
    }

    fn udp_tables(&self) -> Option<Vec<File>> {
        None
    }
}

/// A server that is a service.
pub(crate) struct HostInstance {
    name: String,
    dialler: HostDialler,
    /// Whether it was stopped.
    stopped: watch::Sender<bool>,
    place: Option<Box<dyn Place>>,
    /// Whatever serves connections to it, which ends when this is dropped.
    serving: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Tells when a server is stopped.
#[derive(Debug, Clone)]
pub(crate) struct HostEnded(watch::Receiver<bool>);

impl HostEnded {
    pub(crate) async fn wait(&self) {
        let _ = self.0.clone().wait_for(|stopped| *stopped).await;
    }
}

impl HostInstance {
    pub(crate) fn new(name: &str, server: HostServer) -> Self {
        Self {
            name: name.to_owned(),
            dialler: HostDialler(Arc::new(server)),
            stopped: watch::channel(false).0,
            place: None,
            serving: Mutex::default(),
        }
    }

    pub(crate) fn dialler(&self) -> HostDialler {
        self.dialler.clone()
    }

    pub(crate) fn ended(&self) -> HostEnded {
        HostEnded(self.stopped.subscribe())
    }

    /// From here on containers reach it at this place; `serving` forwards their connections.
    pub(crate) fn serve(&mut self, place: Box<dyn Place>, serving: Box<dyn Any + Send>) {
        self.place = Some(place);
        *lock(&self.serving) = Some(serving);
    }
}

impl fmt::Debug for HostInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostInstance")
            .field("name", &self.name)
            .field("server", &self.dialler)
            .finish_non_exhaustive()
    }
}

impl Instance for HostInstance {
    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(async {
            let lost = async {
                match &self.place {
                    Some(place) => place.lost().await,
                    None => std::future::pending().await,
                }
            };
            let ended = self.ended();
            tokio::select! {
                biased;
                () = ended.wait() => Ok(Exit { code: 0, out_of_memory: false }),
                lost = lost => Err(match lost {
                    Err(error) => error,
                    Ok(()) => Error::engine(format!("serve {} to containers", self.name), "its address is gone"),
                }),
            }
        })
    }

    fn wait_ports<'a>(&'a self, ports: &'a [Port], progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(async move {
            let (tcp, udp): (Vec<Port>, Vec<Port>) =
                ports.iter().cloned().partition(|port| port.protocol() == Protocol::Tcp);
            let udp =
                futures_util::future::join_all(udp.iter().map(|port| self.dialler.wait_udp(port, progress)));
            let tcp = async {
                while probe::wait_ports(&self.dialler, &tcp, progress).await.is_err() {
                    tokio::time::sleep(NO_WAY).await;
                }
            };
            futures_util::future::join(tcp, udp).await;
            Ok(())
        })
    }

    fn wait_http<'a>(&'a self, port: u16, path: &'a str, progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(async move {
            while probe::wait_http(&self.dialler, port, path, progress).await.is_err() {
                tokio::time::sleep(NO_WAY).await;
            }
            Ok(())
        })
    }

    /// Its sockets are this machine's, or another one's: the probe's own error says what there is to say.
    fn listening(&self) -> Call<'_, Option<BTreeSet<Listening>>> {
        Box::pin(async { Ok(None) })
    }

    fn connect(&self, port: u16) -> Dialing<'_, Connection> {
        self.dialler.connect(port)
    }

    fn flow(&self, port: u16) -> Dialing<'_, Flow> {
        self.dialler.flow(port)
    }

    fn address(&self) -> Call<'_, IpAddr> {
        let what = format!("find the address of service {}", self.name);
        Box::pin(async { Err(nothing_inside(what)) })
    }

    fn execute(&self, command: Command, _sink: Sink) -> Call<'_, Ended> {
        let what = format!("run `{}` in service {}", command.program(), self.name);
        Box::pin(async { Err(nothing_inside(what)) })
    }

    fn open(&self, command: Command, _size: WindowSize) -> Call<'_, Terminal> {
        let what = format!("run `{}` in service {}", command.program(), self.name);
        Box::pin(async { Err(nothing_inside(what)) })
    }

    fn signal<'a>(&'a self, _signal: &'a str) -> Call<'a, ()> {
        // The server goes on: only the way to it ends.
        self.stopped.send_replace(true);
        Box::pin(async { Ok(()) })
    }

    fn is_alive(&self) -> Call<'_, bool> {
        Box::pin(async { Ok(!*self.stopped.borrow()) })
    }

    fn keep(&self, _key: Digest, _: Vec<MadeOf>) -> Call<'_, Snapshot> {
        let what = format!("keep what service {} left", self.name);
        Box::pin(async { Err(nothing_inside(what)) })
    }

    fn remove(&self) -> Call<'_, ()> {
        Box::pin(async {
            self.stopped.send_replace(true);
            drop(lock(&self.serving).take());
            match &self.place {
                Some(place) => place.remove().await,
                None => Result::Ok(()),
            }
        })
    }
}

fn nothing_inside(what: String) -> Error {
    Error::engine(what, "it is a server outside of all containers")
}

impl From<&Port> for PortNumber {
    fn from(port: &Port) -> Self {
        Self { protocol: port.protocol(), number: port.number() }
    }
}
