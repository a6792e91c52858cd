//! Host services: servers outside of all containers, which this process connects to for its containers.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::forward::{self, Dial, Life};
use crate::Result;
use crate::engine::{
    Call, Connection, Dialing, Engine, Flow, HostDialler, HostEnded, HostInstance, Ingress, Instance,
    InstanceId, PortNumber, Sink, Startable,
};
use crate::model::HostServer;

/// The way to a server, and what containers reach it by.
struct Ready {
    server: HostInstance,
    ingress: Ingress,
    ports: Vec<PortNumber>,
}

/// Makes an address in the session's network for a server.
pub(super) async fn prepare(
    engine: &dyn Engine,
    name: &str,
    instance: &InstanceId,
    server: &HostServer,
) -> Result<Box<dyn Startable>> {
    let ports: Vec<PortNumber> = server.forwards.iter().map(|(port, _)| port.into()).collect();
    let ingress = engine.listen(name, instance, &ports).await?;
    Ok(Box::new(Ready { server: HostInstance::new(name, server.clone()), ingress, ports }))
}

impl Startable for Ready {
    fn start(self: Box<Self>, _log: Sink) -> Call<'static, Arc<dyn Instance>> {
        Box::pin(async move {
            let Self { mut server, ingress: Ingress { listeners, place }, ports } = *self;
            let life = Arc::new(server.ended());
            let dial = Arc::new(server.dialler());
            let serving = forward::serve_all(listeners, &ports, &dial, &life);
            server.serve(place, Box::new(serving));
            Ok(Arc::new(server) as _)
        })
    }
}

impl Dial for HostDialler {
    fn connect(&self, port: u16) -> Dialing<'_, Connection> {
        Self::connect(self, port)
    }

    fn flow(&self, port: u16) -> Dialing<'_, Flow> {
        Self::flow(self, port)
    }
}

/// Connections are open until the service is stopped.
impl Life for HostEnded {
    fn over(&self) -> BoxFuture<'_, ()> {
        self.wait().boxed()
    }
}
