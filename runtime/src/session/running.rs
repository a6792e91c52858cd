//! One run of a service's process: how it comes to be ready, what it uses, and why it ended.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::health::{self, Failure, Watched};
use super::log::ServiceLog;
use super::report::Reporter;
use super::scrub::Secrets;
use super::steps::Request;
use super::unit::Leases;
use super::{Inner, process, steps};
use crate::engine::{HeldCaches, Image, InUse, Instance, Left, MountSource, ServiceSpec, Startable};
use crate::error::ServiceCause;
use crate::graph::{Reach, ServiceNode};
use crate::model::{Access, Port};
use crate::value::{Check, Stop};
use crate::{Error, Result, ServiceError};

/// One run of a service's process.
pub(super) struct Running {
    pub(super) service: Arc<ServiceNode>,
    /// Tells the runs of one service apart.
    pub(super) generation: u64,
    pub(super) instance: Arc<dyn Instance>,
    image: Option<Image>,
    log: ServiceLog,
    /// What commands inside it may not show.
    secrets: Secrets,
    since: Instant,
    /// What it uses itself, for as long as it runs.
    pub(super) dependencies: Leases,
    caches: Option<Arc<dyn HeldCaches>>,
    /// The steps that have run against it.
    seen: Mutex<HashSet<crate::Digest>>,
    measures: Mutex<Vec<Measure>>,
    /// Services that used it and were handed over to the engine.
    users_left: Mutex<Vec<Left>>,
    /// Why it ended, once it has.
    ended: watch::Sender<Option<Error>>,
}

impl Running {
    pub(super) fn has_seen(&self, step: crate::Digest) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&step)
    }

    pub(super) fn saw(&self, step: crate::Digest) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(step);
    }

    /// Waits until the service ends and says why.
    pub(super) async fn broken(&self) -> Error {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            _ => super::closed(&format!("service `{}`", self.service.name)),
        }
    }

    /// Says why it ended, to everyone who uses it.
    pub(super) fn end(&self, why: Error) {
        self.ended.send_replace(Some(why));
    }

    /// Notes that a service that uses it ends without this process.
    pub(super) fn was_left_by(&self, user: &Left) {
        self.users_left.lock().unwrap_or_else(PoisonError::into_inner).push(user.clone());
    }

    pub(super) fn users_left(&self) -> Vec<Left> {
        self.users_left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the process ends, or something that it uses does.
    pub(super) async fn failed_in_use(&self) -> Error {
        match self.failed().await {
            Ok(cause) => self.error(cause, Phase::InUse),
            Err(error) => error,
        }
    }

    /// The signal that ends it and how long it may take: as the service says, else as its image does.
    pub(super) fn stop_manner(&self) -> (String, Duration) {
        if let Some((signal, within)) = self.service.stop {
            return (signal.to_owned(), within);
        }
        let signal = self.image.as_ref().and_then(|image| image.config.stop_signal.clone());
        (signal.unwrap_or_else(|| "SIGTERM".to_owned()), Stop::DEFAULT_WITHIN)
    }

    /// Waits until the service is ready by another definition's ports and checks, where they differ.
    pub(super) async fn ensure_ready(&self, service: &ServiceNode) -> Result<()> {
        let measure = Measure::of(service);
        if self.measures().contains(&measure) {
            return Ok(());
        }
        tokio::select! {
            ready = self.wait_ready(service) => ready?,
            error = self.broken() => return Err(error),
        }
        self.measures().push(measure);
        Ok(())
    }

    fn measures(&self) -> MutexGuard<'_, Vec<Measure>> {
        self.measures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the service is ready, or has failed. From then on what it made of its caches is good.
    pub(super) async fn become_ready(&self, report: &Reporter) -> Result<()> {
        tokio::select! {
            biased;
            cause = self.failed() => return cause.and_then(|cause| Err(self.error(cause, Phase::Starting))),
            ready = self.wait_ready(&self.service) => ready?,
        }
        if let Some(caches) = &self.caches {
            caches.settle().await?;
        }
        let after = crate::error::show_duration(self.since.elapsed());
        report.event(&self.service.name, &format!("ready after {after}"));
        Ok(())
    }

    pub(super) fn caches(&self) -> Option<&dyn HeldCaches> {
        self.caches.as_deref()
    }

    async fn wait_ready(&self, service: &ServiceNode) -> Result<()> {
        let watched = Watched {
            service,
            image: self.image.as_ref(),
            instance: &self.instance,
            log: &self.log,
            secrets: &self.secrets,
        };
        health::wait(&watched).await.map_err(|failure| match failure {
            Failure::Engine(error) => error,
            Failure::Service(cause) => self.error(cause, Phase::Starting),
        })
    }

    async fn failed(&self) -> Result<ServiceCause> {
        tokio::select! {
            biased;
            exit = self.instance.wait() => exit.map(ServiceCause::Exited),
            error = self.dependencies.broken() => Ok(ServiceCause::Dependency(error)),
        }
    }

    fn error(&self, cause: ServiceCause, phase: Phase) -> Error {
        failure(&self.service, cause, self.since, self.log.last_lines(), phase)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    InUse,
}

fn failure(
    service: &ServiceNode,
    cause: ServiceCause,
    since: Instant,
    log: Vec<String>,
    phase: Phase,
) -> Error {
    let not_ready = matches!(cause, ServiceCause::NotReady { .. });
    let error = Box::new(ServiceError {
        name: service.name.to_string(),
        hostname: service.hostname.clone(),
        aliases: Vec::new(),
        cause,
        elapsed: since.elapsed(),
        log,
    });
    match phase {
        Phase::InUse => Error::ServiceExited(error),
        Phase::Starting if not_ready => Error::ServiceNotReady(error),
        Phase::Starting => Error::ServiceStart(error),
    }
}

/// What a service was found ready by.
#[derive(PartialEq, Eq)]
struct Measure {
    checks: Vec<Check>,
    ports: Vec<Port>,
}

impl Measure {
    fn of(service: &ServiceNode) -> Self {
        Self {
            checks: service.checks().into_iter().map(|(check, _)| check.clone()).collect(),
            ports: service.ports.iter().filter(|port| port.probed).cloned().collect(),
        }
    }
}

/// All that a service's process needs, but the container: dropping it lets go of what the service uses.
pub(super) struct Outfit {
    request: Arc<Request>,
    service: Arc<ServiceNode>,
    image: Option<Image>,
    log: ServiceLog,
    secrets: Secrets,
    since: Instant,
    dependencies: Leases,
    spec: ServiceSpec,
}

impl Outfit {
    /// Starts what the service uses, and finds what it is made of.
    pub(super) async fn new(session: &Arc<Inner>, service: Arc<ServiceNode>) -> Result<Self> {
        let since = Instant::now();
        let request = session.request(Reach::of_service(&service)).await?;
        let image = request.image(service.config.image.as_ref()).cloned();
        let process = process::of_service(&service, image.as_ref())?;
        let (filesystem, dependencies) = try_join(
            request.lay_out(&service.name, &service.base, &service.places, &service.mounts),
            request.lease(&service.bindings),
        )
        .await
        .map_err(|error| {
            failure(&service, ServiceCause::Dependency(error), since, Vec::new(), Phase::Starting)
        })?;
        let secrets = process::secrets(Some(&process), &filesystem);
        let log = ServiceLog::new(&session.report, &service.name, &secrets);
        let spec = ServiceSpec {
            name: service.name.to_string(),
            hostname: service.hostname.clone(),
            filesystem,
            process,
            links: steps::links(&service.bindings),
        };
        Ok(Self { request, service, image, log, secrets, since, dependencies, spec })
    }

    /// Waits, no longer than the service may take to become ready, until no service of another session has a cache that this
    /// one writes to.
    pub(super) async fn hold_caches(&self) -> Result<Option<Arc<dyn HeldCaches>>> {
        let written = self.spec.filesystem.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Cache(key) if mount.access == Access::ReadWrite => Some(key.clone()),
            _ => None,
        });
        let caches: std::collections::BTreeSet<String> = written.collect();
        if caches.is_empty() {
            return Ok(None);
        }
        let caches: Vec<String> = caches.into_iter().collect();
        let found: Mutex<Option<InUse>> = Mutex::default();
        let waiting = |in_use: InUse| {
            let text = format!("waits for the cache `{}`: {}", in_use.cache, in_use.by());
            self.request.session.report.event(&self.service.name, &text);
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_use);
        };
        let hold = self.request.engine.hold_caches(&self.service.name, &caches, &waiting);
        if let Ok(held) = timeout(self.service.within, hold).await {
            return held.map(Some);
        }
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failing = match found {
            Some(in_use) => (format!("cache `{}`", in_use.cache), in_use.by()),
            None => ("caches".to_owned(), "the engine did not answer in time".to_owned()),
        };
        let cause = ServiceCause::NotReady { within: self.service.within, failing: vec![failing] };
        Err(failure(&self.service, cause, self.since, Vec::new(), Phase::Starting))
    }

    /// Makes the container.
    pub(super) async fn prepare(&self) -> Result<Box<dyn Startable>> {
        self.request.engine.prepare_service(self.spec.clone()).await
    }

    /// Starts the process. To be awaited to its end, as a process may be there before that.
    pub(super) async fn begin(
        self,
        prepared: Box<dyn Startable>,
        caches: Option<Arc<dyn HeldCaches>>,
    ) -> Result<Running> {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        let instance = prepared.start(self.log.sink()).await?;
        Ok(Running {
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
            instance,
            image: self.image,
            log: self.log,
            secrets: self.secrets,
            since: self.since,
            dependencies: self.dependencies,
            caches,
            seen: Mutex::default(),
            measures: Mutex::new(vec![Measure::of(&self.service)]),
            users_left: Mutex::default(),
            ended: watch::channel(None).0,
            service: self.service,
        })
    }
}
