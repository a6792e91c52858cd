//! Tunnels: services reached from the program itself.

use std::any::Any;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use crate::model::{Location, Port};
use crate::session::{self, OpenTunnel, TunnelSpec};
use crate::value::{Exposes, Service};
use crate::{Error, Result};

impl Service {
    /// Makes the service's ports reachable from this program, and from everything else on this machine. Awaiting it
    /// starts the service, if it is not running, and returns once it is ready. Each exposed port is then reached at a
    /// free port of `127.0.0.1` (and `[::1]`) while the [`Tunnel`] exists, whichever engine runs the service, wherever
    /// that engine is.
    ///
    /// ```no_run
    /// use bowline::prelude::*;
    ///
    /// #[bowline::test]
    /// async fn stores_a_user() -> Result<()> {
    ///     let p = pipeline! {
    ///         service db {
    ///             image "postgres:15";
    ///             env POSTGRES_PASSWORD = "x";
    ///             expose 5432;
    ///             ready exec ["pg_isready", "-q", "-h", "127.0.0.1"];
    ///         }
    ///     };
    ///     let db = p.db.tunnel().await?;
    ///     let url = format!("postgres://postgres:x@{}/postgres", db.address());
    ///     // … any client: sqlx, tokio-postgres, reqwest, a browser
    /// #   let _ = url;
    ///     Ok(())
    /// }
    /// # fn main() {}
    /// ```
    ///
    /// TCP and UDP ports are forwarded; ends of connections, resets and back-pressure pass through. A tunnel uses the
    /// service as a client does: the service is not stopped before the tunnel is dropped and its last connection has
    /// ended, or the session closes. The listeners belong to this process, so nothing is left of them when it ends.
    #[track_caller]
    pub fn tunnel(&self) -> Tunneling {
        Tunneling::new(self)
    }
}

impl Service {
    /// A service like this one that starts from a file system which the program has prepared: with a schema and data, say.
    /// It is prepared once: this service is started, `prepare` is called with a [`Tunnel`] to it, it is stopped, and what
    /// it leaves is kept under `key`, for this program and every other that prepares an equal service under an equal key.
    /// Each instance of the returned service then starts with its own copy.
    ///
    /// Code has no identity, so the key stands for what `prepare` does: change it whenever that changes. A version, or a
    /// hash of the migrations' text, is a good one.
    ///
    /// ```no_run
    /// use bowline::prelude::*;
    ///
    /// const SCHEMA: &str = "CREATE TABLE users (name text)";
    ///
    /// # async fn execute(url: &str, sql: &str) -> Result<()> { Ok(()) }
    /// fn database() -> Service {
    ///     let empty = Service::from_image("postgres:15")
    ///         .env("POSTGRES_PASSWORD", "x")
    ///         .expose(5432)
    ///         .ready(Ready::exec(["pg_isready", "-q", "-h", "127.0.0.1"]));
    ///     empty.prepared(SCHEMA, |db: Tunnel| async move {
    ///         // … any client: `sqlx::migrate!().run(…)`, refinery, diesel
    ///         execute(&format!("postgres://postgres:x@{}/postgres", db.address()), SCHEMA).await
    ///     })
    /// }
    ///
    /// #[bowline::test]
    /// async fn has_users() -> Result<()> {
    ///     let db = database().tunnel().await?; // its own, with the table
    /// #   let _ = db;
    ///     Ok(())
    /// }
    /// # fn main() {}
    /// ```
    ///
    /// Nothing happens before an instance is needed. Cache volumes are not part of what is kept. A service that has to be
    /// killed at its stop is not kept, as what it was writing may be incomplete.
    #[track_caller]
    pub fn prepared<F, P, E>(&self, key: impl Into<String>, prepare: F) -> Self
    where
        F: Fn(Tunnel) -> P + Send + Sync + 'static,
        P: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name = self.name().unwrap_or("service").to_owned();
        let prepare = move |open: Box<dyn Any + Send>| -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
            let Ok(open) = open.downcast::<OpenTunnel>() else {
                return Box::pin(async { Err(Error::internal("a preparation was given no tunnel")) });
            };
            let prepared = prepare(Tunnel { name: name.clone(), open: *open, of: PhantomData });
            Box::pin(async move { prepared.await.map_err(program_error) })
        };
        self.starting_prepared(key.into(), Arc::new(prepare))
    }
}

/// An error of the program's, or one of bowline's that passed through it.
fn program_error<E: Into<Box<dyn std::error::Error + Send + Sync>>>(error: E) -> Error {
    match error.into().downcast::<Error>() {
        Ok(error) => *error,
        Err(other) => Error::other(other),
    }
}

/// A tunnel that is opened by awaiting it; see [`Service::tunnel`].
#[must_use = "a tunnel is opened by `.await`"]
pub struct Tunneling<S = Service> {
    service: Service,
    spec: TunnelSpec,
    of: PhantomData<fn() -> S>,
}

impl<S> Tunneling<S> {
    #[track_caller]
    pub(crate) fn new(service: &Service) -> Self {
        let spec = TunnelSpec {
            only: Vec::new(),
            fixed: Vec::new(),
            as_wished: false,
            listen: None,
            at: Location::caller(),
        };
        Self { service: service.clone(), spec, of: PhantomData }
    }

    /// Forwards this port of the service, and no others that are not named: `5432`, or `Port::udp(53)`.
    pub fn on(mut self, port: impl Into<Port>) -> Tunneling {
        self.spec.only.push(port.into());
        Tunneling { service: self.service, spec: self.spec, of: PhantomData }
    }

    /// Forwards a port of the service from this port of the machine, in place of a free one: `.port(80, 8080)`.
    pub fn port(mut self, port: impl Into<Port>, host: u16) -> Self {
        self.spec.fixed.push((port.into(), host));
        self
    }

    /// Forwards ports from those of the machine that their definitions ask for (`expose 80 on host 8080;`,
    /// [`Port::on_host`]), in place of free ones.
    pub fn on_host_ports(mut self) -> Self {
        self.spec.as_wished = true;
        self
    }

    /// Listens at this address of the machine, in place of the loopback addresses: `[0, 0, 0, 0]` lets other machines
    /// reach the service.
    pub fn listen(mut self, address: impl Into<IpAddr>) -> Self {
        self.spec.listen = Some(address.into());
        self
    }
}

impl<S> fmt::Debug for Tunneling<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tunneling").field(&self.service.name()).field(&self.spec).finish()
    }
}

impl<S: 'static> IntoFuture for Tunneling<S> {
    type Output = Result<Tunnel<S>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Opens the tunnel.
    ///
    /// # Errors
    /// [`Error::PortInUse`] when a port of the machine is taken; [`Error::Invalid`] when the service exposes no port, or
    /// not the one that is to be forwarded; otherwise whatever went wrong when the service was started.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let name = self.service.name().unwrap_or("service").to_owned();
            let open = session::tunnel(self.service, self.spec).await?;
            Ok(Tunnel { name, open, of: PhantomData })
        })
    }
}

/// The ports of a service, as this machine reaches them; see [`Service::tunnel`].
///
/// Dropping it closes its ports. Connections that are open go on until one of their sides ends them.
///
/// If the service ends, its connections are closed and its ports too: [`check`](Self::check) and [`ended`](Self::ended)
/// say why, with the service's last lines.
#[must_use = "a tunnel is closed when it is dropped"]
pub struct Tunnel<S = Service> {
    name: String,
    open: OpenTunnel,
    of: PhantomData<fn() -> S>,
}

impl<S> Tunnel<S> {
    /// Where the first port of the service is reached, for example `127.0.0.1:49153`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        // A tunnel has at least one port.
        self.open.ports.first().map_or_else(|| ([127, 0, 0, 1], 0).into(), |(_, address)| *address)
    }

    /// Where the first port of the service is reached, as a URL: `postgres://127.0.0.1:49153` for `postgres`.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address())
    }

    /// Where a TCP port of the service is reached, which the compiler knows to be exposed: `address_of::<5432>()`, for a
    /// service of a pipeline with a named port; see [`Exposes`].
    #[must_use]
    pub fn address_of<const PORT: u16>(&self) -> SocketAddr
    where
        S: Exposes<PORT>,
    {
        self.find(&Port::tcp(PORT)).unwrap_or_else(|| self.address())
    }

    /// Where a port of the service is reached: `5432`, or `Port::udp(53)`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the tunnel does not forward the port.
    #[track_caller]
    pub fn address_of_port(&self, port: impl Into<Port>) -> Result<SocketAddr> {
        let port = port.into();
        self.find(&port).ok_or_else(|| {
            let ports: Vec<String> = self.addresses().map(|(port, _)| port.to_string()).collect();
            let message = format!(
                "a tunnel to service `{}` does not forward port {port}\n\nhelp: it forwards {}",
                self.name,
                ports.join(", ")
            );
            Error::invalid(Some(&self.name), message).at([Location::caller()])
        })
    }

    /// Every forwarded port with the address where it is reached.
    pub fn addresses(&self) -> impl Iterator<Item = (&Port, SocketAddr)> {
        self.open.ports.iter().map(|(port, address)| (port, *address))
    }

    /// Waits until the tunnel leads nowhere any more, and returns why.
    pub async fn ended(&self) -> Error {
        self.open.ended().await
    }

    /// Whether the tunnel still leads to the service.
    ///
    /// # Errors
    /// [`Error::ServiceExited`] when the service has ended by itself, with its last lines; [`Error::Cancelled`] when it
    /// was stopped, or the session has closed.
    pub fn check(&self) -> Result<()> {
        self.open.end().map_or(Ok(()), Err)
    }

    fn find(&self, wanted: &Port) -> Option<SocketAddr> {
        self.addresses().find(|(port, _)| port.is(wanted)).map(|(_, address)| address)
    }
}

impl<S> fmt::Debug for Tunnel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("service", &self.name).field("ports", &self.open.ports).finish()
    }
}
