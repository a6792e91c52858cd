//! Connections to containers whose addresses cannot be reached from here, and from containers to the pipeline, carried over
//! the engine's own connection.
//!
//! A relay is a container in the session's network that runs a program of a few kilobytes (`helper/relay.c`). Everything
//! goes through the stream that is attached to it, so that a connection costs a round trip and no process. One relay
//! connects to all services of a session; each address at which the pipeline serves is a relay of its own.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use self::container::{Plan, Relay};
use self::link::{Handle, Link, Side, Unopened};
use super::{Shared, names};
use crate::engine::{
    Call, Connection, Flow, Ingress, InstanceId, Listener, Place, PortNumber, Relayed, probe,
};
use crate::lock::lock;
use crate::model::Protocol;
use crate::{Error, Result};

mod carried;
mod channel;
mod container;
mod errors;
mod frame;
mod link;
mod stream;
#[cfg(test)]
mod tests;

/// The relay that connects to the session's services. It is started when it is first needed, and again if it has ended.
#[derive(Default)]
pub(super) struct Dialer {
    relay: Mutex<Option<Arc<Relay>>>,
    /// Held while one is started.
    starting: tokio::sync::Mutex<()>,
}

impl Dialer {
    fn running(&self) -> Option<Arc<Relay>> {
        lock(&self.relay).clone().filter(|relay| relay.link.end().is_none())
    }

    async fn relay(&self, shared: &Arc<Shared>) -> Result<Arc<Relay>> {
        const WHAT: &str = "start the relay to the services";
        if let Some(relay) = self.running() {
            return Ok(relay);
        }
        let _one = self.starting.lock().await;
        if let Some(relay) = self.running() {
            return Ok(relay);
        }
        shared.check_open(WHAT)?;
        let plan = Plan {
            what: WHAT,
            container: shared.number('r'),
            name: "relay",
            hostname: None,
            args: vec!["dial".to_owned()],
            has_low_ports: false,
        };
        let started = Relay::start(shared, plan, Link::new(Side::Dial), Vec::new()).await?;
        let relay = Arc::new(started.map_err(|refused| Error::engine(WHAT, refused.error))?);
        *lock(&self.relay) = Some(relay.clone());
        Ok(relay)
    }

    /// Begins to start the relay, as something will connect.
    pub(super) fn begin(shared: &Arc<Shared>) {
        let owned = Arc::clone(shared);
        // Whoever connects finds out if that fails, and starts it again.
        drop(shared.cleaner.spawn(async move { Box::pin(owned.dialer.relay(&owned)).await.map(drop) }));
    }

    /// Ends the relay, which is removed in the background.
    pub(super) fn release(&self) {
        drop(lock(&self.relay).take());
    }
}

/// Connects to a TCP port in the session's network.
pub(super) async fn connect(shared: &Arc<Shared>, ip: IpAddr, port: u16) -> io::Result<Connection> {
    open(shared, Protocol::Tcp, ip, port).await.map(carried::connection)
}

/// The way that a probe takes to a service whose address is not reached from here.
pub(super) struct Far<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) ip: IpAddr,
}

impl probe::Dialer for Far<'_> {
    type Stream = Box<dyn Relayed>;

    fn ip(&self) -> IpAddr {
        self.ip
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        open(self.shared, Protocol::Tcp, address.ip(), address.port()).await.map(carried::stream)
    }

    fn udp_tables(&self) -> Option<Vec<File>> {
        None
    }
}

/// Opens a flow to a UDP port in the session's network.
pub(super) async fn flow(shared: &Arc<Shared>, ip: IpAddr, port: u16) -> io::Result<Flow> {
    open(shared, Protocol::Udp, ip, port).await.map(carried::datagrams).map(Flow::Relayed)
}

async fn open(shared: &Arc<Shared>, protocol: Protocol, ip: IpAddr, port: u16) -> io::Result<Handle> {
    // Boxed: the future is large, and rarely needed.
    let relay = || Box::pin(shared.dialer.relay(shared));
    let mut relay_now = relay().await.map_err(io::Error::other)?;
    let (handle, opened) = match relay_now.link.open(protocol, (ip, port).into()) {
        // It ended just now.
        Err(Unopened::Ended(_)) => {
            relay_now = relay().await.map_err(io::Error::other)?;
            relay_now.link.open(protocol, (ip, port).into())
        }
        opened => opened,
    }
    .map_err(|unopened| match unopened {
        Unopened::Ended(reason) => errors::lost(&reason),
        Unopened::TooMany => errors::too_many(),
    })?;
    outcome(opened).await?;
    Ok(handle)
}

/// Whether a connection came about.
async fn outcome(opened: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    opened.await.unwrap_or_else(|_| Err(errors::lost("it was removed")))
}

/// Makes an address in the session's network at which the pipeline serves.
pub(super) async fn listen(
    shared: &Arc<Shared>,
    name: &str,
    instance: &InstanceId,
    ports: &[PortNumber],
) -> Result<Ingress> {
    let what = format!("serve {name} to containers");
    let (senders, listeners): (Vec<_>, Vec<_>) = ports
        .iter()
        .map(|_| {
            let (sender, receiver) = mpsc::channel(frame::MOST);
            (sender, Listener::Relayed(receiver))
        })
        .unzip();
    let mut args = vec!["listen".to_owned()];
    args.extend(ports.iter().map(|port| format!("{}/{}", port.number, port.protocol)));
    let plan = Plan {
        what: &what,
        container: names::service(&shared.session, instance),
        name,
        hostname: Some(&instance.hostname),
        args,
        has_low_ports: ports.iter().any(|port| port.number < 1024),
    };
    let side = Side::Listen(ports.iter().map(|port| port.protocol).collect());
    let started = Box::pin(Relay::start(shared, plan, Link::new(side), senders)).await?;
    let relay = started.map_err(|refused| {
        let port = ports.get(refused.port);
        let port = port.map_or_else(String::new, |port| format!("port {}/{}: ", port.number, port.protocol));
        Error::engine(&*what, format!("{port}{}", refused.error))
    })?;
    Ok(Ingress { listeners, place: Box::new(Address { shared: shared.clone(), what, relay }) })
}

/// An address at which the pipeline serves.
struct Address {
    shared: Arc<Shared>,
    what: String,
    relay: Relay,
}

impl Place for Address {
    fn lost(&self) -> Call<'_, ()> {
        Box::pin(async { Err(Error::engine(&*self.what, &*self.relay.link.wait().await)) })
    }

    fn remove(&self) -> Call<'_, ()> {
        Box::pin(self.relay.remove(&self.shared))
    }
}
