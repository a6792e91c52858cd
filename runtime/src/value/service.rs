//! Services: containers that keep running while somebody uses them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::body::{Slot, shared_operations};
use super::container::undefined;
use super::{Argument, Base, Body, Container, Definition, IntoDuration, Invalid, Op, Ready, Stop, arg};
use crate::model::Port;
use crate::{Error, rules};

/// A server that clients need: started just before the first client that really runs, healthy before it does, shared
/// by everyone who names the same service, and stopped when nobody needs it any more.
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

/// The operations of a service, and what only services have.
#[derive(Debug, Clone)]
pub(crate) struct ServiceBody {
    pub(crate) body: Body,
    pub(crate) run: Option<Vec<String>>,
    pub(crate) ports: Vec<Port>,
    /// What has to hold besides the ports, or of them.
    pub(crate) ready: Vec<Ready>,
    pub(crate) stop: Option<Stop>,
    pub(crate) linger: Duration,
    pub(crate) instance: Option<String>,
}

impl ServiceBody {
    fn new(base: Base) -> Self {
        Self {
            body: Body::new(base),
            run: None,
            ports: Vec::new(),
            ready: Vec::new(),
            stop: None,
            linger: Service::DEFAULT_LINGER,
            instance: None,
        }
    }

    fn invalid(&mut self, message: impl Into<String>) {
        self.body.ops.push(Op::Invalid(Invalid(message.into())));
    }
}

impl Service {
    /// How long a service is kept after its last client when nothing else is said: 10 seconds.
    pub const DEFAULT_LINGER: Duration = Duration::from_secs(10);

    /// A service of this image, running the image's own entry point and command unless [`run`](Self::run) is given.
    pub fn from_image(reference: impl Into<String>) -> Self {
        Self::empty().image(reference)
    }

    /// A service of another container's result: its file system and its configuration.
    pub fn from_container(other: &Container) -> Self {
        Self { slot: Slot::filled(ServiceBody::new(Base::Container(other.clone()))) }
    }

    /// A service without a base yet: for code that decides late. Starting it is an error that says so.
    pub fn empty() -> Self {
        Self { slot: Slot::filled(ServiceBody::new(Base::Unset)) }
    }

    /// A service whose definition comes later, so that others can name it before.
    pub fn declare(name: impl Into<String>) -> (Self, Definition<Self>) {
        let slot = Arc::new(Slot { name: Some(name.into()), body: std::sync::OnceLock::new() });
        let target = slot.clone();
        let set = Box::new(move |value: Self| {
            let _ = target.body.set(value.body());
        });
        (Self { slot }, Definition { set })
    }

    /// Replaces the base: the image a service of [`empty`](Self::empty) starts from.
    pub fn image(self, reference: impl Into<String>) -> Self {
        let reference = reference.into();
        self.edit(|body| {
            body.check(rules::image(&reference));
            body.set_base(Base::Image(reference));
        })
    }

    /// Replaces the base by a container's result: its file system and its configuration.
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

    /// The service's command, in place of the image's; the image's entry point stays.
    pub fn run<A: Argument>(self, args: impl IntoIterator<Item = A>) -> Self {
        let args: Vec<String> = args.into_iter().map(arg).collect();
        self.edit_service(|service| {
            if let Err(problem) = crate::arguments::command("run", &args) {
                service.invalid(problem.to_string());
            } else if service.run.is_some() {
                service.invalid("two `run` statements");
            } else {
                service.run = Some(args);
            }
        })
    }

    /// Exposes a port: clients may use it, and it is probed before they run.
    pub fn expose(self, port: impl Into<Port>) -> Self {
        let port = port.into();
        self.edit_service(|service| {
            if let Err(problem) = port.check() {
                service.invalid(problem.to_string());
            }
            let same = |other: &&Port| other.number == port.number && other.protocol == port.protocol;
            if service.ports.iter().any(|other| same(&other)) {
                service.invalid(format!("port {port} is exposed twice"));
                return;
            }
            if let Some(name) = &port.name
                && service.ports.iter().any(|other| other.name.as_ref() == Some(name))
            {
                service.invalid(format!("two ports named `{name}`"));
            }
            service.ports.push(port);
        })
    }

    /// Says when the service's clients may run; by default when every exposed port accepts, within 60 seconds. This holds
    /// together with the ports, and with what was said before.
    pub fn ready(self, ready: Ready) -> Self {
        self.edit_service(|service| {
            if let Some(Err(message)) = &ready.within {
                service.invalid(message.clone());
            }
            if let super::Check::Exec(args) = &ready.check
                && let Err(problem) = crate::arguments::command("ready exec", args)
            {
                service.invalid(problem.to_string());
            }
            service.ready.push(ready);
        })
    }

    /// Says how the service ends; by default with the image's stop signal, else SIGTERM, and SIGKILL 10 seconds later.
    pub fn stop_with(self, stop: Stop) -> Self {
        self.edit_service(|service| {
            for problem in [stop.signal.as_ref().err(), stop.within.as_ref().err()].into_iter().flatten() {
                service.invalid(problem.clone());
            }
            service.stop = Some(stop);
        })
    }

    /// How long the service is kept after its last client; 10 seconds by default.
    pub fn linger(self, time: impl IntoDuration) -> Self {
        self.edit_service(|service| match time.into_duration() {
            Ok(time) => service.linger = time,
            Err(message) => service.invalid(message),
        })
    }

    /// Makes another instance of the same definition: equal services with different instances are two.
    pub fn instance(self, name: impl fmt::Display) -> Self {
        let name = name.to_string();
        self.edit_service(|service| service.instance = Some(name))
    }

    /// Sets the name that logs, plans and errors show.
    pub fn named(self, name: impl Into<String>) -> Self {
        let slot = Slot { name: Some(name.into()), body: std::sync::OnceLock::new() };
        let _ = slot.body.set(self.body());
        Self { slot: Arc::new(slot) }
    }

    /// The name that logs, plans and errors show, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.slot.name.as_deref()
    }

    /// The exposed ports, in the order they were exposed.
    #[must_use]
    pub fn ports(&self) -> Vec<Port> {
        self.slot.body.get().map(|service| service.ports.clone()).unwrap_or_default()
    }

    fn edit(self, change: impl FnOnce(&mut Body)) -> Self {
        self.edit_service(|service| change(&mut service.body))
    }

    fn edit_service(self, change: impl FnOnce(&mut ServiceBody)) -> Self {
        Self { slot: self.slot.edit(missing, change) }
    }

    pub(crate) fn get(&self) -> std::result::Result<&ServiceBody, Error> {
        self.slot.body.get().ok_or_else(|| Error::invalid(self.name(), undefined("service", self.name())))
    }

    fn body(&self) -> ServiceBody {
        self.slot.body.get().cloned().unwrap_or_else(|| missing(self.name()))
    }

    /// The same value, not an equal one: what cycles are found by.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.slot).addr()
    }
}

fn missing(name: Option<&str>) -> ServiceBody {
    let mut service = ServiceBody::new(Base::Unset);
    service.invalid(undefined("service", name));
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
