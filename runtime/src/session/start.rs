//! Starting a service: what its process needs, its caches, its container.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::try_join;
use tokio::time::{Instant, timeout};

use super::log::ServiceLog;
use super::running::{Leases, Phase, Running, Started, Told, failure, stop_manner};
use super::scrub::Secrets;
use super::service::Origin;
use super::sharing::{Volumes, choose, held_caches, told_to};
use super::steps::Evaluation;
use super::turns::User;
use super::{Inner, host, process, shared};
use crate::Result;
use crate::engine::{CacheLocks, Image, InUse, InstanceId, ServiceSpec, Startable};
use crate::error::ServiceCause;
use crate::event::{EventKind, Span};
use crate::graph::{Requirements, ServiceBase, ServiceNode};
use crate::lock::lock;
use crate::model::{Digest, HostServer};

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
    /// The volumes of its private caches, once it has them.
    volumes: OnceLock<Volumes>,
}

/// What serves.
enum Made {
    /// A container, which the engine is told to make.
    Container(Box<ServiceSpec>),
    /// A container of another process, which owns it for all.
    Shared(Box<shared::Plan>),
    /// A server outside of all containers.
    Server(HostServer),
}

/// A service that can be started.
pub(super) enum Prepared {
    Here(Box<dyn Startable>),
    Shared(Box<shared::Prepared>),
}

impl Prepared {
    /// Whether starting it starts its process.
    fn is_first(&self) -> bool {
        match self {
            Self::Here(_) => true,
            Self::Shared(joined) => joined.is_first,
        }
    }
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
        evaluation.engine.expect(true);
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
                    volumes: OnceLock::new(),
                });
            }
        };
        let process = process::of_service(&made_of, image.as_ref())?;
        let process = process::traced(process, &made_of.config, &span);
        let (filesystem, dependencies) = try_join(
            evaluation.lay_out(
                &service.name,
                evaluation.filesystem_for(&span, base),
                &made_of.places,
                &made_of.mounts,
                &span,
            ),
            evaluation.lease(&made_of.bindings, &span),
        )
        .await
        .map_err(|error| {
            failure(&service, ServiceCause::Dependency(error), since, Told::default(), Phase::Starting)
        })?;
        let secrets = process::secrets(Some(&process), &filesystem);
        let log = ServiceLog::new(span.clone(), &secrets);
        session.begin_log(key, log.written());
        let spec = ServiceSpec {
            name: service.name.to_string(),
            instance: InstanceId { hostname: service.hostname.clone(), key },
            filesystem,
            process,
            links: evaluation.links(&made_of.bindings)?,
        };
        let made = if service.is_shared {
            let bound = made_of.bindings.iter().map(|binding| &binding.service);
            Made::Shared(Box::new(shared::Plan {
                engine: evaluation.engine.clone(),
                service: service.clone(),
                key,
                spec,
                stop: stop_manner(&service, image.as_ref()),
                since: session.began,
                bound: bound.map(|service| (service.clone(), evaluation.service_key(service))).collect(),
                span: span.clone(),
            }))
        } else {
            Made::Container(Box::new(spec))
        };
        let volumes = OnceLock::new();
        Ok(Self { evaluation, service, key, span, image, log, secrets, since, dependencies, made, volumes })
    }

    /// Waits until no other session holds a cache that this one writes to, and nobody of this session whom it excludes, but no
    /// longer than the service may take to become ready.
    pub(super) async fn lock_caches(&self) -> Result<Option<Arc<dyn CacheLocks>>> {
        // Those of a shared one are held by its owner.
        let Made::Container(_) = &self.made else { return Ok(None) };
        let caches = held_caches(&self.service.mounts);
        if caches.is_empty() {
            return Ok(None);
        }
        let found: Mutex<Option<InUse>> = Mutex::default();
        let tell = told_to(&self.span);
        let waiting = |in_use: InUse| {
            tell(&in_use);
            *lock(&found) = Some(in_use);
        };
        let user = User { name: self.service.name.clone(), instance: Some(self.key) };
        if let Ok(held) = timeout(
            self.service.within,
            self.evaluation.session.hold_caches(&*self.evaluation.engine, &user, &caches, &waiting),
        )
        .await
        {
            let (locks, volumes) = held?.into_parts();
            let _ = self.volumes.set(volumes);
            return Ok(locks);
        }
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failing = match found {
            Some(in_use) => (format!("cache `{}`", in_use.cache), in_use.by()),
            None => ("caches".to_owned(), "the engine did not answer in time".to_owned()),
        };
        let cause = ServiceCause::NotReady { within: self.service.within, failing: vec![failing] };
        let help = vec![
            "one service at a time writes to a cache: end the other one, wait longer (`ready port within \"2m\";`), or give this one a cache of its own".to_owned(),
        ];
        Err(failure(&self.service, cause, self.since, Told { log: Vec::new(), help }, Phase::Starting))
    }

    /// Makes the container, or an address for the server; or joins those who use it.
    pub(super) async fn prepare(&self) -> Result<Prepared> {
        self.span.emit(|| EventKind::Starting);
        let engine = &self.evaluation.engine;
        Ok(match &self.made {
            Made::Container(spec) => {
                let mut spec = (**spec).clone();
                if let Some(volumes) = self.volumes.get() {
                    choose(&mut spec.filesystem, volumes);
                }
                Prepared::Here(engine.prepare_service(spec).await?)
            }
            Made::Shared(plan) => Prepared::Shared(Box::new(shared::prepare(plan).await?)),
            Made::Server(server) => {
                let instance = InstanceId { hostname: self.service.hostname.clone(), key: self.key };
                Prepared::Here(host::prepare(&**engine, &self.service.name, &instance, server).await?)
            }
        })
    }

    /// Starts the process. The future must be awaited to its end, as the process may exist before that.
    pub(super) async fn begin(
        self,
        prepared: Prepared,
        caches: Option<Arc<dyn CacheLocks>>,
    ) -> Result<Running> {
        let Self { service, key, span, image, log, secrets, since, dependencies, made, .. } = self;
        let start = |spec: &ServiceSpec| {
            span.emit(|| EventKind::Started { args: secrets.scrub_args(&spec.process.args) });
        };
        match &made {
            Made::Container(spec) => start(spec),
            Made::Shared(plan) if prepared.is_first() => start(&plan.spec),
            Made::Shared(_) | Made::Server(_) => {}
        }
        let (instance, shared) = match prepared {
            Prepared::Here(startable) => (startable.start(log.sink()).await?, None),
            Prepared::Shared(joined) => {
                if !joined.is_first {
                    let (owner, session) = (joined.owner(), joined.session().into());
                    span.emit(|| EventKind::Joined { owner, session });
                }
                // Who started it hears all of it.
                let past = if joined.is_first { log.sink() } else { log.sink_of_the_past() };
                let (instance, member) = joined.start(shared::Logs { news: log.sink(), past }).await?;
                (instance, Some(member))
            }
        };
        let started = Started {
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
        };
        Ok(Running::new(started))
    }
}
