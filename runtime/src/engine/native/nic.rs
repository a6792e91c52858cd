//! The networks of containers, what they know by name, and their way to the world.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::address::{Addresses, Audience, Network};
use super::gateway::{self, Farewell, Gateway};
use super::{Shared, failed, lock};
use crate::engine::Link;
use crate::{Error, Result};

/// A network namespace with an address, for one container at a time.
#[derive(Debug)]
pub(super) struct Nic {
    network: Network,
    pub(super) address: Address,
    pub(super) namespace: OwnedFd,
    farewell: Option<Farewell>,
}

impl Nic {
    pub(super) fn ip(&self) -> Ipv4Addr {
        self.network.of(self.address.number)
    }
}

/// An address, given back when dropped.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) number: u16,
    addresses: Arc<Addresses>,
}

impl Drop for Address {
    fn drop(&mut self) {
        self.addresses.give_back(self.number);
    }
}

impl Shared {
    /// A new one: what was known by an address must not be met there as something else.
    pub(super) async fn new_nic(&self, what: &str, network: Network, audience: Audience) -> Result<Nic> {
        let number = self.addresses.take();
        let number = number.ok_or_else(|| Error::engine(what, "all addresses of the session are in use"))?;
        let address = Address { number, addresses: Arc::clone(&self.addresses) };
        let gateway = self.gateway().await.as_ref().ok();
        let namespace = self.host.network(network, number, audience, gateway.is_some()).await;
        let namespace = namespace.map_err(failed(what))?;
        let farewell = gateway.and_then(|gateway| gateway.farewell(network.of(number)));
        Ok(Nic { network, address, namespace, farewell })
    }

    /// One for a step, which nobody knows by its address; most have been used before. To make one takes as long as all
    /// else of a container, and the kernel is busy for longer when it is gone.
    pub(super) async fn nic(&self, what: &str, network: Network) -> Result<Nic> {
        let idle = {
            let mut idle = lock(&self.idle);
            idle.iter().position(|nic| nic.network == network).map(|found| idle.swap_remove(found))
        };
        match idle {
            Some(nic) => Ok(nic),
            None => self.new_nic(what, network, Audience::Nobody).await,
        }
    }

    /// For the next step. Nothing runs in it any more, and nothing that did had the right to change it.
    pub(super) fn give_back(&self, nic: Nic) {
        nic.farewell.iter().for_each(Farewell::say);
        lock(&self.idle).push(nic);
    }

    /// The way to the world, or why there is none; made for the first who asks.
    pub(super) async fn gateway(&self) -> &std::result::Result<Gateway, String> {
        let make = || async {
            let (sockets, datagrams) = tokio::join!(self.host.gateway(), self.host.datagrams());
            let mut gateway = sockets.and_then(Gateway::serve).map_err(|error| error.to_string())?;
            gateway.serve_datagrams(datagrams);
            Ok(gateway)
        };
        self.gateway.get_or_init(make).await
    }

    /// The text of `/etc/resolv.conf`.
    pub(super) async fn resolver(&self, network: Network) -> String {
        match self.gateway().await {
            Ok(_) => gateway::resolver(network),
            Err(error) => format!("# no name server: {}\n", error.replace('\n', " ")),
        }
    }

    /// The text of `/etc/hosts`: a container knows itself and what it is linked with.
    pub(super) fn hosts(&self, what: &str, own: &str, address: Ipv4Addr, links: &[Link]) -> Result<String> {
        let mut text =
            vec!["127.0.0.1\tlocalhost".to_owned(), "::1\tlocalhost ip6-localhost ip6-loopback".to_owned()];
        text.push(format!("{address}\t{own}"));
        let running = lock(&self.running);
        for link in links {
            let number = running
                .get(&link.hostname)
                .ok_or_else(|| Error::engine(what, format!("the service {} does not run", link.hostname)))?;
            let names = std::iter::once(&link.hostname).chain(&link.aliases);
            let names: Vec<&str> = names.map(String::as_str).collect();
            text.push(format!("{}\t{}", Network::Services.of(*number), names.join(" ")));
        }
        Ok(text.join("\n") + "\n")
    }
}
