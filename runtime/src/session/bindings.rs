//! What an evaluation does with the services that something is bound to.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::running::{Lease, Leases};
use super::service::{Origin, Pin, Supervisor};
use super::steps::Evaluation;
use crate::engine::{InstanceId, Link};
use crate::event::{EventKind, Span, Waiting};
use crate::graph::{Binding, ServiceNode, closure};
use crate::model::Digest;
use crate::{Error, Result};

impl Evaluation {
    fn origin(&self, service: &Arc<ServiceNode>) -> Origin {
        Origin { service: service.clone(), reading: self.reading.clone() }
    }

    fn supervisor(&self, service: &Arc<ServiceNode>) -> Result<Supervisor> {
        self.session.supervisor(&self.origin(service), self.service_key(service))
    }

    /// Starts a service that runs until it is stopped or the session ends.
    pub(super) async fn start(&self, service: &Arc<ServiceNode>) -> Result<()> {
        self.supervisor(service)?.start(self.origin(service)).await?;
        self.supersede(service);
        Ok(())
    }

    /// Lets older instances go: the service runs as this evaluation sees it.
    fn supersede(&self, service: &Arc<ServiceNode>) {
        let key = self.service_key(service);
        self.session.services().supersede(service.digest, key);
    }

    /// Keeps the services of these bindings from being stopped between the steps that use them, without starting any.
    pub(super) fn pin(&self, bindings: &[Binding]) -> Result<Vec<Pin>> {
        closure(bindings).values().map(|service| Ok(self.supervisor(service)?.pin())).collect()
    }

    /// Starts all bound services at once, and waits until they are ready.
    pub(super) async fn lease(self: &Arc<Self>, bindings: &[Binding], span: &Arc<Span>) -> Result<Leases> {
        let acquire = bindings.iter().map(|binding| async move {
            let supervisor = self.supervisor(&binding.service)?;
            let instance = &supervisor.service;
            span.emit(|| EventKind::Waiting(Waiting::For(super::service::subject(instance))));
            let lease = async {
                let lease = lease(&supervisor, self.origin(&binding.service)).await?;
                lease.running().reach().await?;
                Ok::<_, Error>(lease)
            };
            lease
                .await
                .inspect(|_| self.supersede(&binding.service))
                .inspect_err(|error| span.skip(error))
                .map_err(|error| error.aliased(&instance.hostname, &binding.aliases))
                .map(|lease| (binding.clone(), lease))
        });
        Ok(Leases::new(try_join_all(acquire).await?))
    }

    /// Leases one service, which is started if it is not running.
    pub(super) async fn lease_one(&self, service: &Arc<ServiceNode>) -> Result<Lease> {
        let lease = lease(&self.supervisor(service)?, self.origin(service)).await?;
        self.supersede(service);
        Ok(lease)
    }

    /// Starts an instance of a service that is prepared under a key, and that nobody else uses.
    pub(super) async fn lease_to_prepare(
        &self,
        service: &Arc<ServiceNode>,
        key: Digest,
    ) -> Result<(Supervisor, Lease)> {
        let supervisor = self.session.supervisor_of_preparation(service, key)?;
        let lease = lease(&supervisor, self.origin(service)).await?;
        Ok((supervisor, lease))
    }

    /// The names by which a process reaches its services.
    pub(super) fn links(&self, bindings: &[Binding]) -> Result<Vec<Link>> {
        let mut links: Vec<Link> = Vec::new();
        for Binding { service, aliases } in bindings {
            let (key, instance) = (self.service_key(service), self.supervisor(service)?.service);
            let names = aliases.iter().cloned().chain([service.hostname.to_string()]);
            match links.iter_mut().find(|link| link.instance.key == key) {
                Some(link) => link.names.extend(names),
                None => links.push(Link {
                    instance: InstanceId { hostname: instance.hostname.clone(), key },
                    names: names.collect(),
                }),
            }
        }
        // What a service takes for its own name, and may tell its clients, is that of the definition that started it; unless
        // they mean another instance by that name.
        for number in 0..links.len() {
            let own = links.get(number).map(|link| link.instance.hostname.to_string()).unwrap_or_default();
            let is_said = links.iter().any(|link| link.names.contains(&own));
            if let Some(link) = links.get_mut(number).filter(|_| !is_said) {
                link.names.push(own);
            }
        }
        Ok(links)
    }
}

/// Leases a service that is ready by this definition's own ports and checks: these are not part of a service's identity,
/// so an equal definition may have started it with others.
async fn lease(supervisor: &Supervisor, origin: Origin) -> Result<Lease> {
    let service = origin.service.clone();
    let lease = async {
        let lease = supervisor.acquire(origin).await?;
        lease.running().ensure_ready(&service).await?;
        Ok(lease)
    };
    let instance = &supervisor.service;
    lease.await.map_err(|error: Error| error.of_service(&instance.hostname, service.locations.all()))
}
