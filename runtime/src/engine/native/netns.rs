//! The networks of containers, what they know by name, and their way to the world.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::address::{Addresses, Audience, Network};
use super::capabilities::Users;
use super::gateway::{self, FlowGuard, Gateway, Names};
use super::{Shared, failed};
use crate::engine::{InstanceId, Link};
use crate::lock::lock;
use crate::{Error, Result};

/// A network namespace with an address, for one container at a time.
#[derive(Debug)]
pub(super) struct Netns {
    network: Network,
    pub(super) address: Address,
    pub(super) namespace: OwnedFd,
    /// What it was when it was made.
    pub(super) condition: OwnedFd,
    flows: Option<FlowGuard>,
    names: Arc<Names>,
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.names.forget(self.ip());
    }
}

impl Netns {
    pub(super) fn ip(&self) -> Ipv4Addr {
        self.network.of(self.address.number)
    }
}

/// Those that were used and wait for the next step.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// They are as they were when they were made.
    ready: Vec<Netns>,
    /// Nobody has looked yet.
    unseen: Vec<Netns>,
}

impl Idle {
    /// How many are looked at before somebody wants one. Of a hundred steps at once most leave one that nobody takes.
    const READY: usize = 4;

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.unseen.len()
    }

    fn is_wanted(&self, network: Network) -> bool {
        self.ready.iter().filter(|netns| netns.network == network).count() < Self::READY
    }

    /// One, and whether it has been looked at.
    fn take(&mut self, network: Network) -> Option<(Netns, bool)> {
        [(&mut self.ready, true), (&mut self.unseen, false)].into_iter().find_map(
            |(namespaces, is_looked_at)| {
                let found = namespaces.iter().position(|netns| netns.network == network)?;
                Some((namespaces.swap_remove(found), is_looked_at))
            },
        )
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
    pub(super) async fn new_netns(
        &self,
        what: &str,
        network: Network,
        audience: Audience,
        users: Users,
    ) -> Result<Netns> {
        let number = self.addresses.take();
        let number = number.ok_or_else(|| Error::engine(what, "all addresses of the session are in use"))?;
        let address = Address { number, addresses: Arc::clone(&self.addresses) };
        let gateway = self.gateway().await.as_ref().ok();
        let made = self.shim.network(network, number, audience, gateway.is_some(), users).await;
        let (namespace, condition) = made.map_err(failed(what))?;
        let flows = gateway.map(|gateway| gateway.flows(network.of(number)));
        Ok(Netns { network, address, namespace, condition, flows, names: Arc::clone(&self.names) })
    }

    /// Nobody is told any more that an instance is at this address.
    pub(super) fn forget(&self, instance: &InstanceId, at: &Netns) {
        let mut running = lock(&self.running);
        if running.get(instance) == Some(&at.address.number) {
            running.remove(instance);
        }
    }

    /// One for a step, which nobody knows by its address; most have been used before. To make one takes as long as all
    /// else of a container, and the kernel is busy for longer when it is gone.
    pub(super) async fn netns(&self, what: &str, network: Network, users: Users) -> Result<Netns> {
        if users == Users::OfItsOwn {
            return self.new_netns(what, network, Audience::Nobody, users).await;
        }
        loop {
            let idle = lock(&self.idle).take(network);
            match idle {
                Some((netns, is_looked_at)) if is_looked_at || self.is_as_new(&netns).await => {
                    return Ok(netns);
                }
                Some(_) => {}
                None => return self.new_netns(what, network, Audience::Nobody, users).await,
            }
        }
    }

    /// For the next step, if it is as it was when it was made. Nothing runs in it any more, and nothing that did had the
    /// right to change it; but who comes next must not depend on that.
    pub(super) fn give_back(self: &Arc<Self>, netns: Netns) {
        netns.flows.iter().for_each(FlowGuard::say);
        self.names.forget(netns.ip());
        {
            let mut idle = lock(&self.idle);
            if !idle.is_wanted(netns.network) {
                return idle.unseen.push(netns);
            }
        }
        let shared = Arc::clone(self);
        // Nobody waits for it: the next step takes another one where this one is not back yet.
        tokio::spawn(async move {
            if shared.is_as_new(&netns).await {
                lock(&shared.idle).ready.push(netns);
            }
        });
    }

    async fn is_as_new(&self, netns: &Netns) -> bool {
        self.shim.is_as_new(&netns.namespace, &netns.condition).await.is_ok_and(|is| is)
    }

    /// The way to the world, or why there is none; made for the first who asks.
    pub(super) async fn gateway(&self) -> &std::result::Result<Gateway, String> {
        let make = || async {
            let (sockets, datagrams) = tokio::join!(self.shim.gateway(), self.shim.datagrams());
            let serve = |sockets| Gateway::serve(sockets, Arc::clone(&self.reach), Arc::clone(&self.names));
            let mut gateway = sockets.and_then(serve).map_err(|error| error.to_string())?;
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

    /// The text of `/etc/hosts`: a container knows itself and what it is linked with. It is told so by the gateway too, for
    /// programs that ask a server whatever there is.
    pub(super) fn hosts(
        &self,
        what: &str,
        own: &[&str],
        address: Ipv4Addr,
        links: &[Link],
    ) -> Result<String> {
        let mut known = vec![(address, own.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())];
        let running = lock(&self.running);
        for link in links {
            let number = running.get(&link.instance).ok_or_else(|| {
                let name = link.names.first().map_or("", String::as_str);
                Error::engine(what, format!("the service {name} does not run"))
            })?;
            // The first is what an address is called.
            known.push((Network::Services.of(*number), link.names.clone()));
        }
        drop(running);
        // There is no IPv6: who tries addresses in their order would not reach `localhost` by it.
        let mut text = "127.0.0.1\tlocalhost\n::1\tip6-localhost ip6-loopback\n".to_owned();
        for (address, names) in &known {
            text.extend([address.to_string().as_str(), "\t", &names.join(" "), "\n"]);
        }
        self.names.tell(address, known);
        Ok(text)
    }
}
