//! Addresses at which the pipeline itself serves containers.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use super::address::{Audience, Network};
use super::capabilities::Users;
use super::netns::Netns;
use super::wire::SocketKind;
use super::{Shared, failed};
use crate::Result;
use crate::engine::{Call, Ingress, InstanceId, Listener, Place, PortNumber};
use crate::lock::lock;
use crate::model::Protocol;

/// A network namespace in which nothing runs: its sockets are the pipeline's.
struct Address {
    shared: Arc<Shared>,
    instance: InstanceId,
    netns: Netns,
}

pub(super) async fn listen(
    shared: &Arc<Shared>,
    name: &str,
    instance: &InstanceId,
    ports: &[PortNumber],
) -> Result<Ingress> {
    let what = format!("serve {name} to containers");
    let netns = shared.new_netns(&what, Network::Services, Audience::Everybody, Users::OfTheHost).await?;
    let wanted: Vec<(SocketKind, u16)> = ports
        .iter()
        .map(|port| match port.protocol {
            Protocol::Tcp => (SocketKind::Tcp, port.number),
            Protocol::Udp => (SocketKind::Udp, port.number),
        })
        .collect();
    let sockets = shared.shim.listen(netns.namespace.as_fd(), &wanted).await.map_err(failed(&what))?;
    let listener = |(socket, port): (OwnedFd, &PortNumber)| match port.protocol {
        Protocol::Tcp => Ok(Listener::Tcp(tokio::net::TcpListener::from_std(TcpListener::from(socket))?)),
        Protocol::Udp => Ok(Listener::Udp(tokio::net::UdpSocket::from_std(UdpSocket::from(socket))?)),
    };
    let listeners = sockets.into_iter().zip(ports).map(listener).collect::<std::io::Result<_>>();
    let listeners = listeners.map_err(failed(&what))?;
    lock(&shared.running).insert(instance.clone(), netns.address.number);
    let place = Address { shared: Arc::clone(shared), instance: instance.clone(), netns };
    Ok(Ingress { listeners, place: Box::new(place) })
}

impl Place for Address {
    fn lost(&self) -> Call<'_, ()> {
        // It is there as long as the session's shim is, and then nobody asks.
        Box::pin(std::future::pending())
    }

    fn remove(&self) -> Call<'_, ()> {
        self.shared.forget(&self.instance, &self.netns);
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.shared.forget(&self.instance, &self.netns);
    }
}
