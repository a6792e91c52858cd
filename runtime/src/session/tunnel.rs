//! Tunnels: ports of this machine that lead to the ports of a service.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::watch;

use super::current::Task;
use super::forward::{self, Life};
use super::holder::holder_of;
use super::running::Lease;
use super::{Inner, in_session};
use crate::engine::Listener;
use crate::error::Reason;
use crate::event::EventKind;
use crate::graph::{self, ServiceNode};
use crate::model::{Hostname, Location, Port, Protocol};
use crate::value::Service;
use crate::{Error, Result};

/// How many connections may wait to be accepted; the kernel has a limit of its own (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// How often another free port is tried where one is free at one loopback address and not at the other.
const TRIES: usize = 16;

/// What a tunnel is to be like.
#[derive(Debug, Clone)]
pub(crate) struct TunnelSpec {
    /// The ports to forward; empty for all that the service exposes.
    pub(crate) only: Vec<Port>,
    /// Ports of the service that are to be reached at a port of this machine.
    pub(crate) fixed: Vec<(Port, u16)>,
    /// Whether other ports are reached at the host ports that their definitions wish for.
    pub(crate) as_wished: bool,
    /// The address to listen at: by default the loopback addresses.
    pub(crate) listen: Option<IpAddr>,
    /// Where the tunnel was asked for.
    pub(crate) at: Location,
}

impl TunnelSpec {
    /// To all ports of a service, from free ones.
    pub(super) fn to_all(at: Location) -> Self {
        Self { only: Vec::new(), fixed: Vec::new(), as_wished: false, listen: None, at }
    }
}

/// One port of a tunnel.
struct Forward {
    port: Port,
    /// The port of this machine; 0 for a free one.
    local: u16,
}

/// An open tunnel. Dropping it closes the listeners; open connections go on, and keep the service until they end.
pub(crate) struct OpenTunnel {
    /// The service's ports, and where they are reached.
    pub(crate) ports: Vec<(Port, SocketAddr)>,
    end: End,
    /// They hold the service, and end when the tunnel leads nowhere any more: a session that closes does not wait for
    /// tunnels to be dropped.
    _accepting: Vec<Task<()>>,
}

impl OpenTunnel {
    /// Waits until the service has ended, or the session has closed, and returns the reason.
    pub(crate) async fn ended(&self) -> Error {
        self.end.wait().await
    }

    /// The reason why the tunnel leads nowhere any more, if so.
    pub(crate) fn end(&self) -> Option<Error> {
        self.end.wait().now_or_never()
    }
}

/// When and why a tunnel ends.
#[derive(Clone)]
struct End {
    /// The reason why the service ended, once it has.
    ended: watch::Receiver<Option<Error>>,
    closing: watch::Receiver<bool>,
    /// What ends, for errors.
    what: String,
    hostname: Hostname,
    service: Arc<ServiceNode>,
}

impl End {
    async fn wait(&self) -> Error {
        let (mut ended, mut closing) = (self.ended.clone(), self.closing.clone());
        let error = tokio::select! {
            biased;
            ended = ended.wait_for(Option::is_some) => ended.ok().and_then(|error| error.clone()),
            _ = closing.wait_for(|closing| *closing) => None,
        };
        match error {
            // Closing stops services, which is not what ended the tunnel.
            Some(Error::Cancelled { .. }) if *self.closing.borrow() => super::closed(&self.what),
            Some(error) => error.of_service(&self.hostname, self.service.locations.all()),
            None => super::closed(&self.what),
        }
    }
}

/// What listeners and connections of a tunnel hold.
struct InUse {
    _lease: Lease,
    end: End,
}

impl Life for InUse {
    fn over(&self) -> BoxFuture<'_, ()> {
        self.end.wait().map(drop).boxed()
    }
}

pub(crate) async fn tunnel(service: Service, spec: TunnelSpec) -> Result<OpenTunnel> {
    let node = graph::lower_service(&service)?;
    let at = spec.at;
    let forwards = forwards(&node, &spec).map_err(|error| error.at([at]))?;
    let what = format!("a tunnel to service `{}`", node.name);
    in_session(what, move |session| async move {
        // Bound before the service starts, as a port that is taken should be known at once; but nothing is accepted
        // before the service is ready.
        let bound = bind_all(forwards, &spec)?;
        let lease = session.use_service(&node).await?;
        session.open_tunnel(lease, node, bound)
    })
    .await
}

fn bind_all(forwards: Vec<Forward>, spec: &TunnelSpec) -> Result<Vec<(Port, Vec<Bound>)>> {
    let bound = forwards.into_iter().map(|forward| {
        let sockets = bind(&forward, spec.listen).map_err(|error| error.at([spec.at]))?;
        Ok((forward.port, sockets))
    });
    bound.collect()
}

impl Inner {
    /// A tunnel to a service that is in use already.
    pub(super) fn tunnel_to(
        &self,
        lease: Lease,
        node: Arc<ServiceNode>,
        spec: &TunnelSpec,
    ) -> Result<OpenTunnel> {
        let forwards = forwards(&node, spec).map_err(|error| error.at([spec.at]))?;
        self.open_tunnel(lease, node, bind_all(forwards, spec)?)
    }

    fn open_tunnel(
        &self,
        lease: Lease,
        node: Arc<ServiceNode>,
        bound: Vec<(Port, Vec<Bound>)>,
    ) -> Result<OpenTunnel> {
        let running = lease.running();
        let (span, dial) = (running.span.clone(), Arc::new(running.instance.clone()));
        let end = End {
            ended: running.end_watch(),
            closing: self.closing.subscribe(),
            what: format!("a tunnel to service `{}`", node.name),
            hostname: running.service.hostname.clone(),
            service: node,
        };
        let life = Arc::new(InUse { _lease: lease, end: end.clone() });
        let (mut ports, mut accepting) = (Vec::new(), Vec::new());
        for (port, sockets) in bound {
            let mut first = None;
            for socket in sockets {
                let (listener, address) = socket.listen()?;
                first.get_or_insert(address);
                let serve = forward::serve(listener, port.number, dial.clone(), life.clone());
                accepting.push(Task::spawn(serve.map(Ok)));
            }
            let Some(address) = first else { continue };
            span.emit(|| EventKind::Tunnelled { port: port.to_string().into(), address });
            ports.push((port, address));
        }
        Ok(OpenTunnel { ports, end, _accepting: accepting })
    }
}

/// The ports to forward, all of which the service exposes.
fn forwards(service: &ServiceNode, spec: &TunnelSpec) -> Result<Vec<Forward>> {
    let invalid = |message: String| Err(Error::invalid(Some(&service.name), message));
    if service.ports.is_empty() {
        return invalid(format!(
            "service `{}` exposes no port that a tunnel could lead to\n\nhelp: add `expose PORT;`",
            service.name
        ));
    }
    let fixed = || spec.fixed.iter().map(|(port, _)| port);
    for wanted in spec.only.iter().chain(fixed()) {
        if !service.ports.iter().any(|port| port.is(wanted)) {
            let exposed: Vec<String> = service.ports.iter().map(ToString::to_string).collect();
            return invalid(format!(
                "service `{}` does not expose port {wanted}\n\nhelp: it exposes {}; or add `expose {}{};`",
                service.name,
                exposed.join(", "),
                wanted.number,
                if wanted.protocol == Protocol::Udp { "/udp" } else { "" },
            ));
        }
    }
    let is_chosen =
        |port: &&Port| spec.only.is_empty() || spec.only.iter().chain(fixed()).any(|wanted| port.is(wanted));
    let forward = |port: &Port| {
        let fixed = spec.fixed.iter().find(|(wanted, _)| port.is(wanted)).map(|(_, local)| *local);
        let wished = port.host.filter(|_| spec.as_wished);
        Forward { port: port.clone(), local: fixed.or(wished).unwrap_or(0) }
    };
    let forwards: Vec<Forward> = service.ports.iter().filter(is_chosen).map(forward).collect();
    for (index, Forward { port, local }) in forwards.iter().enumerate() {
        let twice = |other: &Forward| other.local == *local && other.port.protocol == port.protocol;
        if *local != 0 && forwards.iter().skip(index + 1).any(twice) {
            return invalid(format!(
                "port {local} of this machine is to lead to two ports of service `{}`",
                service.name
            ));
        }
    }
    Ok(forwards)
}

/// A socket that has its address and does not listen yet.
enum Bound {
    Tcp(TcpSocket),
    Udp(UdpSocket),
}

impl Bound {
    fn new(protocol: Protocol, at: SocketAddr) -> io::Result<Self> {
        match protocol {
            Protocol::Tcp => {
                let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                // A port whose last connections have just been closed is free.
                #[cfg(unix)]
                socket.set_reuseaddr(true)?;
                socket.bind(at)?;
                Ok(Self::Tcp(socket))
            }
            Protocol::Udp => {
                let socket = std::net::UdpSocket::bind(at)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(UdpSocket::from_std(socket)?))
            }
        }
    }

    fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }

    fn listen(self) -> Result<(Listener, SocketAddr)> {
        let address = self.address().map_err(|error| Error::engine("open a tunnel", error))?;
        let listener = match self {
            Self::Tcp(socket) => {
                let protocol = Protocol::Tcp;
                Listener::Tcp(socket.listen(BACKLOG).map_err(|error| not_bound(protocol, address, error))?)
            }
            Self::Udp(socket) => Listener::Udp(socket),
        };
        Ok((listener, address))
    }
}

/// Sockets for one port: at the address that was asked for, else at both loopback addresses, as `localhost` may be either.
fn bind(forward: &Forward, listen: Option<IpAddr>) -> Result<Vec<Bound>> {
    let protocol = forward.port.protocol;
    let bind = |at: SocketAddr| Bound::new(protocol, at).map_err(|error| not_bound(protocol, at, error));
    if let Some(ip) = listen {
        return Ok(vec![bind((ip, forward.local).into())?]);
    }
    let mut tries = 0;
    loop {
        let four = bind((Ipv4Addr::LOCALHOST, forward.local).into())?;
        let port = four.address().map_err(|error| Error::engine("open a tunnel", error))?.port();
        let at = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        match Bound::new(protocol, at) {
            Ok(six) => return Ok(vec![four, six]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && forward.local != 0 => {
                return Err(not_bound(protocol, at, error));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
            // This machine has no IPv6.
            Err(_) => return Ok(vec![four]),
        }
    }
}

fn not_bound(protocol: Protocol, at: SocketAddr, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Error::PortInUse { address: at, holder: holder_of(protocol, at.port()), locations: Vec::new() }
        }
        io::ErrorKind::PermissionDenied => Error::engine(
            format!("listen at {at}"),
            Reason::said(
                format!(
                    "{error}\n\nhelp: ports below 1024 are root's; choose another one, or let a free one be chosen"
                ),
                error,
            ),
        ),
        _ => Error::engine(format!("listen at {at}"), error),
    }
}
