//! Services: containers that keep running while somebody uses them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::body::{Edit, Slot};
use super::confinement::confinement_operations;
use super::container::undefined;
use super::operations::shared_operations;
use super::{
    Argument, Base, Body, Container, Definition, IntoDuration, Preparation, Prepare, Ready, Stop, arg,
};
use crate::model::{HostServer, Location, Port};
use crate::{Error, rules};

/// A server that clients need. It is started just before the first client that really runs, is healthy before that client
/// runs, is shared by everyone who names the same service, and is stopped when nobody needs it any more.
///
/// ```
/// use bowline::{Ready, Service};
/// let db = Service::from_image("postgres:15")
///     .env("POSTGRES_HOST_AUTH_METHOD", "trust")
///     .expose(5432)
///     .ready(Ready::exec(["pg_isready", "-U", "postgres"]));
/// assert_eq!(db.hostname(), db.clone().hostname());
/// ```
#[derive(Clone)]
#[must_use = "a service runs only while something that binds it runs"]
pub struct Service {
    slot: Arc<Slot<ServiceBody>>,
}

/// The operations of a service: those of every container, and those that only services have.
#[derive(Debug, Clone)]
pub(crate) struct ServiceBody {
    pub(crate) body: Body,
    pub(crate) run: Option<Vec<String>>,
    pub(crate) ports: Vec<Port>,
    /// The conditions of readiness, in addition to the ports' probes; those of kind port set the probes' limit.
    pub(crate) ready: Vec<Ready>,
    pub(crate) stop: Option<Stop>,
    pub(crate) linger: Duration,
    pub(crate) instance: Option<String>,
    /// Whether processes share it.
    pub(crate) is_shared: bool,
}

impl ServiceBody {
    fn new(base: Base, at: Location) -> Self {
        Self {
            body: Body::new(base, at),
            run: None,
            ports: Vec::new(),
            ready: Vec::new(),
            stop: None,
            linger: Service::DEFAULT_LINGER,
            instance: None,
            is_shared: false,
        }
    }

    fn invalid(&mut self, at: Location, message: impl Into<String>) {
        self.body.edit(at).invalid(message);
    }
}

impl Service {
    /// The default for how long a service is kept after its last client: 10 seconds.
    pub const DEFAULT_LINGER: Duration = Duration::from_secs(10);

    /// A service of this image, running the image's own entry point and command unless [`run`](Self::run) is given.
    #[track_caller]
    pub fn from_image(reference: impl Into<String>) -> Self {
        Self::empty().image(reference)
    }

    /// A service that starts from another container's result: its file system and its configuration.
    #[track_caller]
    pub fn from_container(other: &Container) -> Self {
        Self::of(Base::Container(other.clone()), Location::caller())
    }

    /// A service without a base yet, for code that chooses the base later. Starting it without one is an error.
    #[track_caller]
    pub fn empty() -> Self {
        Self::of(Base::Unset, Location::caller())
    }

    pub(crate) fn of(base: Base, at: Location) -> Self {
        Self { slot: Slot::filled(None, at, ServiceBody::new(base, at)) }
    }

    /// Declares a service that is defined later, so that others can refer to it first.
    #[track_caller]
    pub fn declare(name: impl Into<String>) -> (Self, Definition<Self>) {
        let name = name.into();
        super::names::learn(&name);
        let slot = Slot::declared(name, Location::caller());
        let target = slot.clone();
        let set = Box::new(move |value: Self, at| {
            let mut service = value.body();
            service.body.at = at;
            target.define(value.name(), service);
        });
        (Self { slot }, Definition { set })
    }

    /// Replaces the base: the image that a service made by [`empty`](Self::empty) starts from.
    #[track_caller]
    pub fn image(self, reference: impl Into<String>) -> Self {
        let reference = reference.into();
        self.edit(|body| {
            body.check(rules::image(&reference));
            body.set_base(Base::Image(reference));
        })
    }

    /// Replaces the base by a container's result: its file system and its configuration.
    #[track_caller]
    pub fn from(self, other: &Container) -> Self {
        let other = other.clone();
        self.edit(|body| body.set_base(Base::Container(other)))
    }

    shared_operations!(
        "use bowline::Service;
let db = Service::from_image(\"postgres:15\").expose(5432);
let api = Service::from_image(\"acme/api:2\").bind(\"db\", &db).expose(8080);
# let _ = api;"
    );
    confinement_operations!();

    /// The service's command, in place of the image's; the image's entry point still applies.
    #[track_caller]
    pub fn run<A: Argument>(self, args: impl IntoIterator<Item = A>) -> Self {
        let args: Vec<String> = args.into_iter().map(arg).collect();
        self.edit_service(|service, at| {
            if let Err(problem) = crate::arguments::command("run", &args) {
                service.invalid(at, problem.to_string());
            } else if service.run.is_some() {
                service.invalid(at, "two `run` statements");
            } else {
                service.run = Some(args);
            }
        })
    }

    /// Exposes a port: clients may use it, and it is probed before clients run.
    #[track_caller]
    pub fn expose(self, port: impl Into<Port>) -> Self {
        let port = port.into();
        self.edit_service(|service, at| {
            if let Err(problem) = port.check() {
                service.invalid(at, problem.to_string());
            }
            if service.ports.iter().any(|other| other.is(&port)) {
                service.invalid(at, format!("port {port} is exposed twice"));
                return;
            }
            if let Some(name) = &port.name
                && service.ports.iter().any(|other| other.name.as_ref() == Some(name))
            {
                service.invalid(at, format!("two ports named `{name}`"));
            }
            service.ports.push(port);
        })
    }

    /// Says when the service's clients may run; by default when every exposed port accepts, within 60 seconds. The
    /// condition adds to the ports' probes and to earlier conditions.
    #[track_caller]
    pub fn ready(self, ready: Ready) -> Self {
        self.edit_service(|service, at| {
            if let Some(Err(message)) = &ready.within {
                service.invalid(at, message.clone());
            }
            if let super::Check::Exec(args) = &ready.check
                && let Err(problem) = crate::arguments::command("ready exec", args)
            {
                service.invalid(at, problem.to_string());
            }
            service.ready.push(ready);
        })
    }

    /// Says how the service is stopped: by default with the image's stop signal, else SIGTERM, and with SIGKILL 10
    /// seconds later.
    #[track_caller]
    pub fn stop_with(self, stop: Stop) -> Self {
        self.edit_service(|service, at| {
            for problem in [stop.signal.as_ref().err(), stop.within.as_ref().err()].into_iter().flatten() {
                service.invalid(at, problem.clone());
            }
            service.stop = Some(stop);
        })
    }

    /// How long the service is kept after its last client; 10 seconds by default.
    #[track_caller]
    pub fn linger(self, time: impl IntoDuration) -> Self {
        self.edit_service(|service, at| match time.into_duration() {
            Ok(time) => service.linger = time,
            Err(message) => service.invalid(at, message),
        })
    }

    /// Makes another instance of the same definition: equal services with different instance names run separately.
    #[track_caller]
    pub fn instance(self, name: impl fmt::Display) -> Self {
        let name = name.to_string();
        self.edit_service(|service, _| service.instance = Some(name))
    }

    /// Shares the service with other processes of this user that use an equal one: with tests that a runner starts in
    /// processes of their own ([nextest](https://nexte.st)), and with the next run of a program. The first of them starts
    /// it, in a background process that owns it from then on; it is stopped [`linger`](Self::linger) after the last of
    /// them, however that ended.
    ///
    /// ```no_run
    /// use bowline::prelude::*;
    ///
    /// fn redis() -> Service {
    ///     Service::from_image("redis:7").expose(6379).linger("30s").shared()
    /// }
    ///
    /// #[bowline::test]
    /// async fn sets() -> Result<()> {
    ///     let redis = redis().tunnel().await?; // one Redis, however many tests run at once
    /// #   let _ = redis;
    ///     Ok(())
    /// }
    /// # fn main() {}
    /// ```
    ///
    /// Its state is shared too: clients must not mind each other, as with any server outside. What makes two services
    /// equal is what makes them one in a session, and the exposed ports, as other processes reach no others. Engines and
    /// users share nothing, nor do directories for what is kept (`BOWLINE_HOME`).
    ///
    /// Everything else is as with other services. It is reached by [tunnels](Self::tunnel) and by containers that bind it, at
    /// its exposed ports. A step that is bound to it, such as a migration, runs once for one run of the service, whichever
    /// process needs it first; bind it to shared services only, as a service of one process alone has to see it again. How it
    /// is stopped, and how long it lingers, is what the process said that started it. [`stop`](Self::stop) and
    /// [`kill`](Self::kill) end this process's use of it, and others go on.
    ///
    /// # Errors
    /// When it is started: [`Error::Invalid`](crate::Error::Invalid) if it binds a service that is not shared, or is made of
    /// what only this session has, such as an `uncached` step's result. [`Error::Engine`](crate::Error::Engine) on systems
    /// other than Unix, or if the process that owns it is killed.
    #[track_caller]
    pub fn shared(self) -> Self {
        self.edit_service(|service, _| service.is_shared = true)
    }

    /// Sets the name that logs, plans and errors show.
    pub fn named(self, name: impl Into<String>) -> Self {
        let name = name.into();
        super::names::learn(&name);
        Self { slot: Slot::filled(Some(name), self.slot.at, self.body()) }
    }

    /// The name that logs, plans and errors show, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.slot.name()
    }

    /// The exposed ports, in the order they were exposed.
    #[must_use]
    pub fn ports(&self) -> Vec<Port> {
        self.slot.body.get().map(|service| service.ports.clone()).unwrap_or_default()
    }

    #[track_caller]
    fn edit(self, change: impl FnOnce(&mut Edit<'_>)) -> Self {
        self.edit_service(|service, at| change(&mut service.body.edit(at)))
    }

    #[track_caller]
    fn edit_service(self, change: impl FnOnce(&mut ServiceBody, Location)) -> Self {
        let at = Location::caller();
        Self { slot: self.slot.edit(missing, |service, _| change(service, at)) }
    }

    /// A service like this one that starts from what it leaves once it was prepared.
    #[track_caller]
    pub(crate) fn starting_prepared(&self, key: String, prepare: Prepare) -> Self {
        let at = Location::caller();
        let before = self.body();
        // Nobody else may use what is being prepared.
        let service = Self { slot: self.slot.clone().edit(missing, |service, _| service.is_shared = false) };
        let preparation = Preparation { service, key, prepare };
        let body = ServiceBody { body: Body::new(Base::Prepared(preparation), at), ..before };
        Self { slot: Slot::filled(self.name().map(str::to_owned), at, body) }
    }

    /// Changes the server of a host service.
    pub(crate) fn edit_server(self, change: impl FnOnce(&mut HostServer)) -> Self {
        let edit = |service: &mut ServiceBody, _| {
            if let Base::Server(server) = &mut service.body.base.value {
                change(server);
            }
        };
        Self { slot: self.slot.edit(missing, edit) }
    }

    /// The same service, with a mistake that is told before anything runs.
    #[track_caller]
    pub(crate) fn mistaken(self, message: String) -> Self {
        self.edit_service(|service, at| service.invalid(at, message))
    }

    pub(crate) fn get(&self) -> std::result::Result<&ServiceBody, Error> {
        let undefined = || Error::invalid(self.name(), undefined("service", self.name()));
        self.slot.body.get().ok_or_else(|| undefined().at([self.location()]))
    }

    fn body(&self) -> ServiceBody {
        self.slot.body.get().cloned().unwrap_or_else(|| missing(self.name(), self.slot.at))
    }

    /// Where the service was written: in a pipeline, the place of its item.
    pub(crate) fn location(&self) -> Location {
        self.slot.body.get().map_or(self.slot.at, |service| service.body.at)
    }

    /// Identifies this very value, not an equal one; used to find cycles.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.slot).addr()
    }
}

fn missing(name: Option<&str>, at: Location) -> ServiceBody {
    let mut service = ServiceBody::new(Base::Unset, at);
    service.invalid(at, undefined("service", name));
    service
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot.body.get() {
            Some(body) => f.debug_tuple("Service").field(&self.name()).field(body).finish(),
            None => write!(f, "Service({:?}, undefined)", self.name()),
        }
    }
}
