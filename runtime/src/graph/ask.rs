//! Questions to values that run nothing.

use super::{Plan, hostname, lower_container, lower_service};
use crate::model::{Digest, Endpoint, Port};
use crate::value::{Container, Service};
use crate::{Error, Result, rules};

impl Container {
    /// What would run for this container, in order. Needs no engine.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::builder().container(self.name().unwrap_or("container"), self).build()
    }

    /// The identity: a hash of everything that can change the result.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the definition has a mistake.
    pub fn digest(&self) -> Result<Digest> {
        Ok(lower_container(self)?.digest)
    }
}

impl Service {
    /// The host name under which the service's clients resolve it: the first 26 base32hex characters (RFC 4648, section
    /// 7, lower case) of its digest. It is the same in every run and on every machine; ports, limits and health settings
    /// do not change it.
    ///
    /// A declared service that is not defined yet has no host name. The placeholder returned instead makes everything
    /// that contains it a mistake, which is reported when the plan is built or something is run.
    #[must_use]
    pub fn hostname(&self) -> String {
        hostname(self)
    }

    /// Where clients find the first exposed port.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the service exposes no port.
    pub fn endpoint(&self) -> Result<Endpoint> {
        match self.ports().first() {
            Some(port) => Ok(self.endpoint_on(port.number)),
            None => Err(Error::invalid(
                self.name(),
                format!(
                    "service `{}` exposes no port\n\nhelp: add `expose`, or ask for a port with `endpoint_on`",
                    self.name().unwrap_or("?")
                ),
            )
            .at([self.location()])),
        }
    }

    /// Where clients find this port, exposed or not.
    #[must_use]
    pub fn endpoint_on(&self, port: u16) -> Endpoint {
        Endpoint { scheme: None, host: self.hostname(), port }
    }

    /// Where clients find the exposed port with this name.
    ///
    /// # Errors
    /// [`Error::Invalid`] when no exposed port has the name.
    pub fn endpoint_of(&self, name: &str) -> Result<Endpoint> {
        let ports = self.ports();
        if let Some(port) = ports.iter().find(|port| port.name() == Some(name)) {
            return Ok(self.endpoint_on(port.number));
        }
        let names: Vec<_> = ports.iter().filter_map(Port::name).collect();
        let help = match rules::did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("a port with a similar name exists: `{near}`"),
            None if names.is_empty() => "none of its ports has a name".to_owned(),
            None => format!("its ports are named `{}`", names.join("`, `")),
        };
        let service = self.name().unwrap_or("?");
        Err(Error::invalid(
            self.name(),
            format!("service `{service}` has no port named `{name}`\n\nhelp: {help}"),
        )
        .at([self.location()]))
    }

    /// What would run for this service, in order. Needs no engine.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::builder().service(self.name().unwrap_or("service"), self).build()
    }

    /// The identity: a hash of everything that can change what the service does.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the definition has a mistake.
    pub fn digest(&self) -> Result<Digest> {
        Ok(lower_service(self)?.digest)
    }
}
