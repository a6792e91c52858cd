//! One run of a service's process: how it becomes ready, why it ended, and who uses it.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::watch;
use tokio::time::Instant;

use super::health::{self, Failure, Watched};
use super::log::ServiceLog;
use super::scrub::Secrets;
use super::shared::{Member, Turn};
use crate::engine::{CacheLocks, Detached, Image, Instance};
use crate::error::ServiceCause;
use crate::event::{EventKind, Span};
use crate::graph::{Binding, ServiceNode};
use crate::lock::lock;
use crate::model::{Digest, Port};
use crate::value::{Check, Stop};
use crate::{Error, Result, ServiceError, UsedService};

/// After a client failed, how long to wait for the engine to report that a service ended.
const EXIT_NOTICE: Duration = Duration::from_millis(150);

/// One run of a service's process.
pub(super) struct Running {
    pub(super) service: Arc<ServiceNode>,
    /// The key of the service instance.
    key: Digest,
    pub(super) span: Arc<Span>,
    /// Distinguishes the runs of one service.
    pub(super) generation: u64,
    /// The process, in the engine.
    pub(super) instance: Arc<dyn Instance>,
    /// The same, if processes share it.
    shared: Option<Arc<Member>>,
    /// The image that it starts from, if any.
    image: Option<Image>,
    log: ServiceLog,
    /// The secrets that commands inside it may not show.
    secrets: Secrets,
    /// When the start began.
    since: Instant,
    /// The services that it uses itself, leased for as long as it runs.
    pub(super) dependencies: Leases,
    /// The cache volumes that it holds against other sessions.
    caches: Option<Arc<dyn CacheLocks>>,
    /// The steps that have run against it.
    seen: Mutex<HashSet<Digest>>,
    /// The sets of ports and checks by which it was already found ready.
    readiness: Mutex<Vec<Readiness>>,
    /// Services that used it and were detached to the engine.
    detached_users: Mutex<Vec<Detached>>,
    /// The reason it ended, once it has.
    ended: watch::Sender<Option<Error>>,
}

/// Everything known of a service once its process was started; see [`Running`] for the fields.
pub(super) struct Started {
    pub(super) service: Arc<ServiceNode>,
    pub(super) key: Digest,
    pub(super) span: Arc<Span>,
    pub(super) instance: Arc<dyn Instance>,
    pub(super) shared: Option<Arc<Member>>,
    pub(super) image: Option<Image>,
    pub(super) log: ServiceLog,
    pub(super) secrets: Secrets,
    pub(super) since: Instant,
    pub(super) dependencies: Leases,
    pub(super) caches: Option<Arc<dyn CacheLocks>>,
}

impl Running {
    pub(super) fn new(started: Started) -> Self {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        let Started {
            service,
            key,
            span,
            instance,
            shared,
            image,
            log,
            secrets,
            since,
            dependencies,
            caches,
        } = started;
        Self {
            key,
            span,
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
            instance,
            shared,
            image,
            log,
            secrets,
            since,
            dependencies,
            caches,
            seen: Mutex::default(),
            readiness: Mutex::new(vec![Readiness::of(&service)]),
            detached_users: Mutex::default(),
            ended: watch::channel(None).0,
            service,
        }
    }

    /// Its process has ended, and all that it wrote has come.
    pub(super) fn end_log(&self) {
        self.log.end();
    }

    /// The secrets that commands inside it may not show, with more of a command's own.
    pub(super) fn secrets_and<'a>(&'a self, more: impl IntoIterator<Item = &'a [u8]>) -> Secrets {
        self.secrets.and(more)
    }

    pub(super) fn has_seen(&self, step: Digest) -> bool {
        match &self.shared {
            Some(shared) => shared.has_seen(step),
            None => lock(&self.seen).contains(&step),
        }
    }

    pub(super) fn saw(&self, step: Digest) {
        match &self.shared {
            Some(shared) => shared.saw(step),
            None => drop(lock(&self.seen).insert(step)),
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Lets containers reach it, if that takes more than for it to run.
    pub(super) async fn reach(&self) -> Result<()> {
        match &self.shared {
            Some(shared) => shared.reach().await,
            None => Ok(()),
        }
    }

    /// The reason why it has ended, if its process has, however little is known of that yet.
    pub(super) async fn ended(&self) -> Option<Error> {
        match self.instance.is_alive().await {
            Ok(false) => Some(self.broken().await),
            _ => self.ended.borrow().clone(),
        }
    }

    /// The error of something in it, or what the service ended by, if it has.
    pub(super) async fn ended_or(&self, error: Error) -> Error {
        self.ended().await.unwrap_or(error)
    }

    /// How it has ended, in a few words, if that was reported.
    fn end_in_words(&self) -> Option<String> {
        let ended = self.ended.borrow();
        Some(match ended.as_ref()? {
            Error::ServiceExited(error) | Error::ServiceStart(error) => match &error.cause {
                ServiceCause::Exited(exit) => exit.to_string(),
                ServiceCause::Dependency(_) => "a service that it uses failed".to_owned(),
                ServiceCause::NotReady { .. } | ServiceCause::Check(_) => "it was not ready".to_owned(),
            },
            other => other.to_string().lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// Waits until the service ends and returns the reason.
    pub(super) async fn broken(&self) -> Error {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            _ => super::closed(&format!("service `{}`", self.service.name)),
        }
    }

    /// The reason why it ended, once it has. Holding this keeps nothing running.
    pub(super) fn end_watch(&self) -> watch::Receiver<Option<Error>> {
        self.ended.subscribe()
    }

    /// Tells everyone who uses it that it ended, and why.
    pub(super) fn end(&self, why: Error) {
        self.ended.send_replace(Some(why));
    }

    /// Notes that a service that uses it was detached and ends without this process.
    pub(super) fn was_detached_from(&self, user: &Detached) {
        lock(&self.detached_users).push(user.clone());
    }

    pub(super) fn detached_users(&self) -> Vec<Detached> {
        lock(&self.detached_users).clone()
    }

    /// Waits until the process ends, or a service that it uses does.
    pub(super) async fn failed_in_use(&self) -> Error {
        match self.failed().await {
            Ok(cause) => self.error(cause, Phase::InUse),
            Err(error) => error,
        }
    }

    /// The stop signal and the grace period: the service's, else the image's.
    pub(super) fn stop_manner(&self) -> (String, Duration) {
        stop_manner(&self.service, self.image.as_ref())
    }

    /// Waits until the service is ready by another definition's ports and checks, if they differ.
    pub(super) async fn ensure_ready(&self, service: &ServiceNode) -> Result<()> {
        let readiness = Readiness::of(service);
        if self.readiness().contains(&readiness) {
            return Ok(());
        }
        tokio::select! {
            ready = self.wait_ready(service) => ready?,
            error = self.broken() => return Err(error),
        }
        self.readiness().push(readiness);
        Ok(())
    }

    fn readiness(&self) -> MutexGuard<'_, Vec<Readiness>> {
        lock(&self.readiness)
    }

    /// Waits until the service is ready or has failed. Once it is ready, what it wrote to new caches is valid.
    pub(super) async fn become_ready(&self) -> Result<()> {
        tokio::select! {
            biased;
            cause = self.failed() => return cause.and_then(|cause| Err(self.error(cause, Phase::Starting))),
            ready = self.wait_ready(&self.service) => ready?,
        }
        if let Some(caches) = &self.caches {
            caches.settle().await?;
        }
        self.span.emit(|| EventKind::Ready { after: self.since.elapsed() });
        Ok(())
    }

    pub(super) fn caches(&self) -> Option<&dyn CacheLocks> {
        self.caches.as_deref()
    }

    async fn wait_ready(&self, service: &ServiceNode) -> Result<()> {
        let Some(shared) = &self.shared else { return self.probe(service).await };
        // Another process may have found so.
        let manner = Readiness::of(service).manner();
        if !shared.is_ready(&manner).await? {
            self.probe(service).await?;
            shared.found_ready(&manner).await?;
        }
        Ok(())
    }

    async fn probe(&self, service: &ServiceNode) -> Result<()> {
        let watched = Watched {
            service,
            image: self.image.as_ref(),
            instance: &self.instance,
            log: &self.log,
            secrets: &self.secrets,
            span: &self.span,
        };
        health::wait(&watched).await.map_err(|found| match found {
            Failure::Engine(error) => error,
            Failure::Service { cause, help } => failure(
                &self.service,
                cause,
                self.since,
                Told { log: self.log.last_lines(), help },
                Phase::Starting,
            ),
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
        failure(
            &self.service,
            cause,
            self.since,
            Told { log: self.log.last_lines(), help: Vec::new() },
            phase,
        )
    }
}

/// The stop signal and the grace period of a service: its own, else the image's.
pub(super) fn stop_manner(service: &ServiceNode, image: Option<&Image>) -> (String, Duration) {
    if let Some((signal, within)) = service.stop {
        return (signal.to_owned(), within);
    }
    let signal = image.and_then(|image| image.config.stop_signal.clone());
    (signal.unwrap_or_else(|| "SIGTERM".to_owned()), Stop::DEFAULT_WITHIN)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    InUse,
}

/// What the error of a service has besides its cause.
#[derive(Default)]
pub(super) struct Told {
    /// The last lines it wrote.
    pub(super) log: Vec<String>,
    /// What to do.
    pub(super) help: Vec<String>,
}

pub(super) fn failure(
    service: &ServiceNode,
    cause: ServiceCause,
    since: Instant,
    Told { log, help }: Told,
    phase: Phase,
) -> Error {
    let not_ready = matches!(cause, ServiceCause::NotReady { .. });
    let error = Box::new(ServiceError {
        name: service.name.to_string(),
        hostname: service.hostname.to_string(),
        aliases: Vec::new(),
        cause,
        elapsed: since.elapsed(),
        log,
        help,
        locations: service.locations.all(),
    });
    match phase {
        Phase::InUse => Error::ServiceExited(error),
        Phase::Starting if not_ready => Error::ServiceNotReady(error),
        Phase::Starting => Error::ServiceStart(error),
    }
}

/// The ports and checks by which a service was found ready.
#[derive(PartialEq, Eq)]
struct Readiness {
    checks: Vec<Check>,
    ports: Vec<Port>,
}

impl Readiness {
    fn of(service: &ServiceNode) -> Self {
        Self {
            checks: service.checks().into_iter().map(|(check, _)| check.clone()).collect(),
            ports: service.ports.iter().filter(|port| port.probed).cloned().collect(),
        }
    }

    /// A text that equal ones have, in whichever process.
    fn manner(&self) -> String {
        let Self { checks, ports } = self;
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        format!("{checks:?} {ports:?}")
    }
}

/// A service that is ready and in use, until this is dropped.
pub(super) struct Lease {
    running: Arc<Running>,
    /// Tells the supervisor that the lease is over.
    release: Box<dyn Fn(u64) + Send + Sync>,
}

impl Lease {
    /// `release` is called with the run's generation when the lease is dropped.
    pub(super) fn new(running: Arc<Running>, release: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { running, release: Box::new(release) }
    }

    pub(super) fn running(&self) -> &Arc<Running> {
        &self.running
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        (self.release)(self.running.generation);
    }
}

/// The right to run a step against shared services, until this is dropped.
#[derive(Default)]
pub(super) struct StepTurns {
    turns: Vec<Turn>,
    /// Whether all services of the step have seen it already.
    pub(super) was_seen: bool,
}

impl StepTurns {
    /// Tells the owners that the step was run.
    pub(super) async fn saw(&mut self) -> Result<()> {
        for turn in &mut self.turns {
            turn.saw().await?;
        }
        Ok(())
    }
}

/// Leases of the services that one step or service uses: all are ready and will not be stopped.
pub(super) struct Leases {
    /// The lease of each binding, in the bindings' order.
    direct: Vec<(Binding, Lease)>,
}

impl Leases {
    pub(super) fn new(direct: Vec<(Binding, Lease)>) -> Self {
        Self { direct }
    }

    /// Waits until one of the services ends and returns the reason; never returns if there are none.
    pub(super) async fn broken(&self) -> Error {
        if self.direct.is_empty() {
            return std::future::pending().await;
        }
        let broken = self.direct.iter().map(|(binding, lease)| {
            Box::pin(async move {
                let Binding { service, aliases } = binding;
                let instance = &lease.running().service;
                let error = lease.running().broken().await.aliased(&instance.hostname, aliases);
                error.of_service(&instance.hostname, service.locations.all())
            })
        });
        select_all(broken).await.0
    }

    /// The services, for the error of who used them.
    pub(super) fn used(&self) -> Vec<UsedService> {
        let used = |(binding, lease): &(Binding, Lease)| UsedService {
            name: binding.service.name.to_string(),
            hostname: lease.running().service.hostname.to_string(),
            aliases: binding.aliases.clone(),
            ended: lease.running().end_in_words(),
        };
        self.direct.iter().map(used).collect()
    }

    /// Notes that a service that uses these was detached and ends without this process.
    pub(super) fn were_detached_from(&self, user: &Detached) {
        self.running().for_each(|running| running.was_detached_from(user));
    }

    /// The error of a service that ended just now and may have caused a failure.
    pub(super) async fn broken_just_now(&self) -> Option<Error> {
        if self.direct.is_empty() {
            return None;
        }
        tokio::time::timeout(EXIT_NOTICE, self.broken()).await.ok()
    }

    /// Waits until no other process runs this step against a service that is shared. In the order of the services' keys, so
    /// that two who need the same ones do not wait for each other.
    pub(super) async fn take_turns(&self, step: Digest) -> Result<StepTurns> {
        let mut turns = Vec::new();
        for running in self.instances().values() {
            if let Some(shared) = &running.shared {
                turns.push(shared.turn(step).await?);
            }
        }
        let was_seen = !turns.is_empty() && self.instances().values().all(|running| running.has_seen(step));
        Ok(StepTurns { turns, was_seen })
    }

    /// Learns what other processes have run against the services that are shared.
    pub(super) async fn learn_seen(&self) -> Result<()> {
        for running in self.instances().values() {
            if let Some(shared) = &running.shared {
                shared.learn_seen().await?;
            }
        }
        Ok(())
    }

    /// Notes that a step has run against all of these services, and those that they use.
    pub(super) fn mark(&self, key: Digest) {
        self.instances().values().for_each(|running| running.saw(key));
    }

    /// All instances in use by the key of their service, including those that services use themselves.
    pub(super) fn instances(&self) -> BTreeMap<Digest, Arc<Running>> {
        let mut found = BTreeMap::new();
        let mut open: Vec<Arc<Running>> = self.running().collect();
        while let Some(running) = open.pop() {
            open.extend(running.dependencies.running());
            found.insert(running.key, running);
        }
        found
    }

    fn running(&self) -> impl Iterator<Item = Arc<Running>> {
        self.direct.iter().map(|(_, lease)| lease.running().clone())
    }
}
