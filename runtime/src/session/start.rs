//! Starting a service: what its process needs, its caches, its container.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join;
use tokio::time::{Instant, timeout};

use super::log::ServiceLog;
use super::running::{Leases, Phase, Running, Started, failure};
use super::scrub::Secrets;
use super::service::Origin;
use super::steps::Evaluation;
use super::{Inner, host, process};
use crate::Result;
use crate::engine::{CacheLocks, Image, InUse, InstanceId, MountSource, ServiceSpec, Startable};
use crate::error::ServiceCause;
use crate::event::{EventKind, Span, Waiting};
use crate::graph::{Requirements, ServiceBase, ServiceNode};
use crate::lock::lock;
use crate::model::{Access, CacheKey, Digest, HostServer};

/// Everything that a service's process needs, except the container. Dropping it releases the services that it uses.
pub(super) struct Outfit {
    /// The evaluation that the keys and images come from.
    evaluation: Arc<Evaluation>,
    service: Arc<ServiceNode>,
    /// The key of the service instance.
    key: Digest,
    span: Arc<Span>,
    /// The image that it starts from, if any.
    image: Option<Image>,
    log: ServiceLog,
    secrets: Secrets,
    /// When the start began.
    since: Instant,
    dependencies: Leases,
    made: Made,
}

/// What serves.
enum Made {
    /// A container, which the engine is told to make.
    Container(Box<ServiceSpec>),
    /// A server outside of all containers.
    Server(HostServer),
}

impl Outfit {
    /// Starts the services that it uses, and finds what it is made of: what `origin` says, which is equal to the service.
    pub(super) async fn new(
        session: &Arc<Inner>,
        service: Arc<ServiceNode>,
        origin: Origin,
        key: Digest,
        span: Arc<Span>,
    ) -> Result<Self> {
        let since = Instant::now();
        let Origin { service: made_of, reading } = origin;
        let evaluation = session.evaluation_in(reading, Requirements::of_service(&made_of)).await?;
        let image = evaluation.image(made_of.config.image.as_ref()).cloned();
        let base = match &made_of.base {
            ServiceBase::Fs(fs) => fs,
            ServiceBase::Server(server) => {
                let made = Made::Server(server.clone());
                let (secrets, dependencies) = (Secrets::default(), Leases::new(Vec::new()));
                let log = ServiceLog::new(span.clone(), &secrets);
                return Ok(Self {
                    evaluation,
                    service,
                    key,
                    span,
                    image,
                    log,
                    secrets,
                    since,
                    dependencies,
                    made,
                });
            }
        };
        let process = process::of_service(&made_of, image.as_ref())?;
        let (filesystem, dependencies) = try_join(
            evaluation.lay_out(&service.name, base, &made_of.places, &made_of.mounts, &span),
            evaluation.lease(&made_of.bindings, &span),
        )
        .await
        .map_err(|error| {
            failure(&service, ServiceCause::Dependency(error), since, Vec::new(), Phase::Starting)
        })?;
        let secrets = process::secrets(Some(&process), &filesystem);
        let log = ServiceLog::new(span.clone(), &secrets);
        session.begin_log(key, log.written());
        let made = Made::Container(Box::new(ServiceSpec {
            name: service.name.to_string(),
            instance: InstanceId { hostname: service.hostname.clone(), key },
            filesystem,
            process,
            links: evaluation.links(&made_of.bindings)?,
        }));
        Ok(Self { evaluation, service, key, span, image, log, secrets, since, dependencies, made })
    }

    /// Waits until no service of another session holds a cache that this one writes to, and no other instance of this
    /// service, but no longer than the service may take to become ready.
    pub(super) async fn lock_caches(&self) -> Result<Option<Arc<dyn CacheLocks>>> {
        let Made::Container(spec) = &self.made else { return Ok(None) };
        let written = spec.filesystem.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Cache(key) if mount.access == Access::ReadWrite => Some(key.clone()),
            _ => None,
        });
        let caches: std::collections::BTreeSet<CacheKey> = written.collect();
        if caches.is_empty() {
            return Ok(None);
        }
        let caches: Vec<CacheKey> = caches.into_iter().collect();
        let found: Mutex<Option<InUse>> = Mutex::default();
        let waiting = |in_use: InUse| {
            self.span.emit(|| {
                let (cache, service) = ((&*in_use.cache).into(), in_use.service.as_str().into());
                EventKind::Waiting(Waiting::Cache { cache, service, owner: in_use.owner.as_str().into() })
            });
            *lock(&found) = Some(in_use);
        };
        let session = &self.evaluation.session;
        let hold = async {
            let turn = session.take_turn(&self.service, self.key, &caches, &waiting).await;
            let locks = self.evaluation.engine.lock_caches(&self.service.name, &caches, &waiting).await?;
            Ok(turn.with(locks))
        };
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

    /// Makes the container, or an address for the server.
    pub(super) async fn prepare(&self) -> Result<Box<dyn Startable>> {
        self.span.emit(|| EventKind::Starting);
        match &self.made {
            Made::Container(spec) => self.evaluation.engine.prepare_service((**spec).clone()).await,
            Made::Server(server) => {
                let instance = InstanceId { hostname: self.service.hostname.clone(), key: self.key };
                host::prepare(&*self.evaluation.engine, &self.service.name, &instance, server).await
            }
        }
    }

    /// Starts the process. The future must be awaited to its end, as the process may exist before that.
    pub(super) async fn begin(
        self,
        prepared: Box<dyn Startable>,
        caches: Option<Arc<dyn CacheLocks>>,
    ) -> Result<Running> {
        let Self { service, key, span, image, log, secrets, since, dependencies, made, .. } = self;
        if let Made::Container(spec) = made {
            span.emit(|| EventKind::Started { args: secrets.scrub_args(&spec.process.args) });
        }
        let instance = prepared.start(log.sink()).await?;
        let started =
            Started { service, key, span, instance, image, log, secrets, since, dependencies, caches };
        Ok(Running::new(started))
    }
}
