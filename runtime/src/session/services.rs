//! The services of a session: found, started and stopped by their definitions.

use std::sync::{Arc, MutexGuard};

use futures_util::future::try_join_all;
use tokio::sync::mpsc::unbounded_channel;

use super::environment::are_services_on;
use super::running::Lease;
use super::service::{Origin, Services, Supervisor};
use super::supervise::{Task, stopped_while_starting};
use super::{Inner, in_session};
use crate::graph::{self, Requirements, ServiceNode};
use crate::model::Digest;
use crate::value::Service;
use crate::{Error, Result};

impl Inner {
    /// The supervisor of a service: definitions with the same key share one in a session.
    pub(super) fn supervisor(self: &Arc<Self>, origin: &Origin, key: Digest) -> Result<Supervisor> {
        let Origin { service, reading } = origin;
        let mut services = self.services_for(service)?;
        let read = services.keys.entry(service.digest).or_default().entry(key).or_default();
        *read = reading.number.max(*read);
        Ok(self.supervisor_in(&mut services, service, key))
    }

    /// The supervisor of a service that is being prepared: an instance that nobody else uses.
    pub(super) fn supervisor_of_preparation(
        self: &Arc<Self>,
        service: &Arc<ServiceNode>,
        key: Digest,
    ) -> Result<Supervisor> {
        Ok(self.supervisor_in(&mut *self.services_for(service)?, service, key))
    }

    /// The services, where this one may be started.
    fn services_for(&self, service: &ServiceNode) -> Result<MutexGuard<'_, Services>> {
        check_services_are_on(service)?;
        let services = self.services();
        self.check_open(&format!("service `{}`", service.name))?;
        Ok(services)
    }

    fn supervisor_in(
        self: &Arc<Self>,
        services: &mut Services,
        service: &Arc<ServiceNode>,
        key: Digest,
    ) -> Supervisor {
        let supervisor = services.supervisors.entry(key).or_insert_with(|| {
            let (messages, inbox) = unbounded_channel();
            let supervisor = Supervisor::new(messages.clone(), service.clone());
            let task = Task::new(Arc::downgrade(self), service.clone(), key, inbox, messages.downgrade());
            tokio::spawn(task.supervise());
            supervisor
        });
        supervisor.clone()
    }

    /// The supervisors of a service that is to be stopped, one for each version of its files of which it may have been
    /// started. Starts that have not begun are cancelled.
    pub(super) fn running(&self, service: &ServiceNode) -> Result<Vec<Supervisor>> {
        check_services_are_on(service)?;
        let services = self.services();
        services.stop_starts(service.digest);
        Ok(services.of(service.digest).cloned().collect())
    }

    /// Starts a service that runs until it is stopped or the session ends.
    pub(super) async fn start(self: &Arc<Self>, service: &Arc<ServiceNode>) -> Result<()> {
        check_services_are_on(service)?;
        let mut stops = self.services().stops(service.digest);
        let evaluation = tokio::select! {
            evaluation = self.evaluation(Requirements::of_service(service)) => evaluation,
            Ok(()) = stops.changed() => Err(stopped_while_starting(service)),
        };
        let started = match evaluation {
            Ok(evaluation) => evaluation.start(service).await,
            Err(error) => Err(error),
        };
        started.map_err(|error| error.at(service.locations.all()))
    }
}

impl Inner {
    /// Leases a service, which is started if it is not running.
    pub(super) async fn use_service(self: &Arc<Self>, service: &Arc<ServiceNode>) -> Result<Lease> {
        check_services_are_on(service)?;
        let leased = match self.evaluation(Requirements::of_service(service)).await {
            Ok(evaluation) => evaluation.lease_one(service).await,
            Err(error) => Err(error),
        };
        leased.map_err(|error| error.at(service.locations.all()))
    }
}

pub(crate) async fn start(service: Service) -> Result<()> {
    let node = graph::lower_service(&service)?;
    in_session(format!("service `{}`", node.name), |session| async move { session.start(&node).await }).await
}

pub(crate) async fn stop(service: Service) -> Result<()> {
    let node = graph::lower_service(&service)?;
    in_session(format!("service `{}`", node.name), |session| async move {
        let running = session.running(&node)?;
        try_join_all(running.iter().map(Supervisor::stop)).await.map(drop)
    })
    .await
}

pub(crate) async fn kill(service: Service) -> Result<()> {
    let node = graph::lower_service(&service)?;
    in_session(format!("service `{}`", node.name), |session| async move {
        let running = session.running(&node)?;
        try_join_all(running.iter().map(Supervisor::kill)).await.map(drop)
    })
    .await
}

pub(super) fn check_services_are_on(service: &ServiceNode) -> Result<()> {
    if !are_services_on()? {
        let error = Error::ServicesOff { service: service.name.to_string(), locations: Vec::new() };
        return Err(error.at(service.locations.all()));
    }
    Ok(())
}
