//! Ports that a service exposes, and where clients find them.

use std::fmt;

use crate::rules;

/// A port's transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port that a service exposes. Every exposed port is probed before clients run, unless it is
/// [`unprobed`](Self::unprobed).
///
/// ```
/// use bowline::{Port, Service};
/// let dns = Service::from_image("coredns/coredns:1.11")
///     .expose(Port::udp(53))
///     .expose(Port::tcp(8080).named("health"));
/// # let _ = dns;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Port {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) probed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<u16>,
}

impl Port {
    /// A TCP port, 1 to 65535.
    #[must_use]
    pub fn tcp(number: u16) -> Self {
        Self { number, protocol: Protocol::Tcp, name: None, probed: true, host: None }
    }

    /// A UDP port, 1 to 65535.
    #[must_use]
    pub fn udp(number: u16) -> Self {
        Self { number, protocol: Protocol::Udp, name: None, probed: true, host: None }
    }

    /// Gives the port a name, for [`Service::endpoint_of`](crate::Service::endpoint_of).
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Exposes the port without probing it: for ports that open late or never.
    #[must_use]
    pub fn unprobed(mut self) -> Self {
        self.probed = false;
        self
    }

    /// Says at which port of the machine people find it: where [`tunnel().on_host_ports()`](crate::Tunneling::on_host_ports)
    /// forwards it from. Other tunnels choose a free port, so that tests can run side by side.
    #[must_use]
    pub fn on_host(mut self, port: u16) -> Self {
        self.host = Some(port);
        self
    }

    /// The port of the machine at which people find it, if the definition has one.
    #[must_use]
    pub fn host(&self) -> Option<u16> {
        self.host
    }

    /// The number, 1 to 65535.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// TCP or UDP.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether it is the same port, whatever else is said of it.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.number == other.number && self.protocol == other.protocol
    }

    pub(crate) fn check(&self) -> Result<(), rules::Problem> {
        rules::port(i128::from(self.number))?;
        self.host.map_or(Ok(()), |port| rules::port(i128::from(port)))?;
        if let Some(name) = &self.name {
            rules::identifier(name)?;
        }
        Ok(())
    }
}

impl From<u16> for Port {
    fn from(number: u16) -> Self {
        Self::tcp(number)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// Where a service's clients find one of its ports: `host:port`, or a URL with a scheme.
///
/// ```
/// use bowline::Service;
/// let web = Service::from_image("nginx:1.22").expose(80);
/// let endpoint = web.endpoint().unwrap().with_scheme("http");
/// assert_eq!(endpoint.to_string(), format!("http://{}:80", web.hostname()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) scheme: Option<String>,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Endpoint {
    /// The same endpoint as a URL: `scheme://host:port`.
    #[must_use]
    pub fn with_scheme(mut self, scheme: impl Into<String>) -> Self {
        self.scheme = Some(scheme.into());
        self
    }

    /// The host name, as clients resolve it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port's number.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}
