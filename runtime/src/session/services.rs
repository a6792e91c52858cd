//! The services of a session: found, started and stopped by their definitions.

use std::sync::Arc;

use tokio::sync::mpsc::unbounded_channel;

use super::running::Lease;
use super::service::{Services, Supervisor};
use super::supervise::{Task, stopped_while_starting};
use super::{Inner, steps};
use crate::graph::{Requirements, ServiceNode};
use crate::model::Digest;
use crate::{Error, Result};

impl Inner {
    /// The supervisor of a service: definitions with the same key share one in a session.
    pub(super) fn supervisor(
        self: &Arc<Self>,
        service: &Arc<ServiceNode>,
        key: Digest,
    ) -> Result<Supervisor> {
        check_services_are_on(service)?;
        let mut services = self.services();
        self.check_open(&format!("service `{}`", service.name))?;
        services.keys.insert(service.digest, key);
        Ok(self.supervisor_in(&mut services, service, key))
    }

    /// The supervisor of a service that is being prepared: an instance that nobody else uses.
    pub(super) fn supervisor_of_preparation(
        self: &Arc<Self>,
        service: &Arc<ServiceNode>,
        key: Digest,
    ) -> Result<Supervisor> {
        check_services_are_on(service)?;
        let mut services = self.services();
        self.check_open(&format!("service `{}`", service.name))?;
        Ok(self.supervisor_in(&mut services, service, key))
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

    /// The supervisor of a service that is to be stopped, if the service may have been started. Starts that have not
    /// begun are cancelled.
    pub(super) fn running(&self, service: &ServiceNode) -> Result<Option<Supervisor>> {
        check_services_are_on(service)?;
        let services = self.services();
        services.stop_starts(service.digest);
        Ok(services.of(service.digest).cloned())
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
            Ok(evaluation) => evaluation.supervisor(service)?.start(service).await,
            Err(error) => Err(error),
        };
        started.map_err(|error| error.at(service.locations.all()))
    }
}

impl Inner {
    /// Leases a service, which is started if it is not running.
    pub(super) async fn use_service(self: &Arc<Self>, service: &Arc<ServiceNode>) -> Result<Lease> {
        check_services_are_on(service)?;
        let evaluation = self.evaluation(Requirements::of_service(service)).await;
        let leased = match evaluation {
            Ok(evaluation) => steps::lease(&evaluation.supervisor(service)?, service).await,
            Err(error) => Err(error),
        };
        leased.map_err(|error| error.at(service.locations.all()))
    }
}

fn check_services_are_on(service: &ServiceNode) -> Result<()> {
    if std::env::var("BOWLINE_SERVICES").is_ok_and(|value| value.eq_ignore_ascii_case("off")) {
        let error = Error::ServicesOff { service: service.name.to_string(), locations: Vec::new() };
        return Err(error.at(service.locations.all()));
    }
    Ok(())
}
