//! Ports in types: what the compiler knows about the ports that a service exposes.

use std::ops::Deref;

use super::Service;
use crate::model::{Port, Protocol};
use crate::{Error, Result};

/// A service of which the compiler knows that it exposes the TCP port `PORT`.
///
/// A function that takes `&impl Exposes<5432>` cannot be called with a service that does not expose that port. In a
/// [`pipeline!`](crate::pipeline), a service with a named port has a type of its own that says which TCP ports it
/// exposes: all that are number literals and not inside an `if`. Such services take the port as a constant, so that a
/// wrong port does not compile: `p.db.endpoint_on::<5432>()`.
///
/// ```
/// use bowline::prelude::*;
///
/// fn migrate(db: &impl Exposes<5432>) -> Container {
///     Container::from_image("acme/migrate:1").bind("db", db.service()).exec(["migrate", "db:5432"])
/// }
///
/// let p = pipeline! {
///     service db { image "postgres:15"; expose 5432 as sql; }
///     service redis { image "redis:7"; expose 6379 as tcp; }
///     container migrated = migrate(&db.exposing()?);
/// };
/// migrate(&p.db);
/// assert_eq!(p.db.endpoint_on::<5432>(), p.db.sql());
/// # Ok::<(), bowline::Error>(())
/// ```
///
/// ```compile_fail,E0277
/// # use bowline::prelude::*;
/// # fn migrate(db: &impl Exposes<5432>) {}
/// # let p = pipeline! { service redis { image "redis:7"; expose 6379 as tcp; } };
/// migrate(&p.redis); // service `Redis` is not known to expose TCP port 5432
/// ```
///
/// Any other service is checked when the program runs: [`Service::exposing`].
#[diagnostic::on_unimplemented(
    message = "service `{Self}` is not known to expose TCP port {PORT}",
    label = "does not expose {PORT}",
    note = "a service of a pipeline is known by a named port: `expose {PORT} as name;`",
    note = "any other is asked when the program runs: `service.exposing::<{PORT}>()?`"
)]
pub trait Exposes<const PORT: u16> {
    /// The service itself, to bind it.
    fn service(&self) -> &Service;
}

/// A service that was checked at run time to expose the TCP port `PORT`. See [`Service::exposing`].
#[derive(Debug, Clone)]
pub struct Exposing<const PORT: u16>(Service);

impl<const PORT: u16> Exposes<PORT> for Exposing<PORT> {
    fn service(&self) -> &Service {
        &self.0
    }
}

impl<const PORT: u16> Deref for Exposing<PORT> {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
    }
}

impl Service {
    /// The same service, as a type that says that it exposes the TCP port `PORT`: for functions that take [`&impl
    /// Exposes<PORT>`](Exposes), where the compiler cannot know that it does.
    ///
    /// ```
    /// use bowline::prelude::*;
    ///
    /// fn url(db: &impl Exposes<5432>) -> String {
    ///     format!("postgres://{}", db.service().endpoint_on(5432))
    /// }
    ///
    /// let db = Service::from_image("postgres:15").expose(5432);
    /// assert!(url(&db.exposing()?).starts_with("postgres://"));
    /// assert!(db.exposing::<5433>().is_err());
    /// # Ok::<(), bowline::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] when the definition exposes no such port.
    pub fn exposing<const PORT: u16>(&self) -> Result<Exposing<PORT>> {
        let ports = self.ports();
        if ports.iter().any(|port| port.number == PORT && port.protocol == Protocol::Tcp) {
            return Ok(Exposing(self.clone()));
        }
        let name = self.name().unwrap_or("?");
        let exposed: Vec<String> = ports.iter().map(Port::to_string).collect();
        let help = if exposed.is_empty() {
            format!("it exposes no port; add `expose {PORT};`")
        } else {
            format!("it exposes {}; add `expose {PORT};`", exposed.join(", "))
        };
        let message = format!("service `{name}` does not expose TCP port {PORT}\n\nhelp: {help}");
        Err(Error::invalid(self.name(), message).at([self.location()]))
    }
}
