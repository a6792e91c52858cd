//! Servers outside of all containers.

use std::fmt;

use super::Port;

/// A server that the pipeline itself connects to, for containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostServer {
    /// The ports at which containers reach it, and where each leads.
    pub(crate) forwards: Vec<(Port, HostAddress)>,
    /// Whether its answers follow from its ports, so that what binds it may be cached.
    pub(crate) is_cached: bool,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostAddress {
    /// A name or an IP address; `None` for this machine's loopback addresses, whichever the server has.
    pub(crate) host: Option<String>,
    pub(crate) port: u16,
}

impl From<(Option<String>, u16)> for HostAddress {
    fn from((host, port): (Option<String>, u16)) -> Self {
        Self { host, port }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(f, "localhost:{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

impl fmt::Display for HostServer {
    /// The addresses that its ports lead to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (port, address)) in self.forwards.iter().enumerate() {
            let before = if index == 0 { "host " } else { ", " };
            write!(f, "{before}{address}")?;
            if port.number() != address.port {
                write!(f, " at {port}")?;
            }
        }
        Ok(())
    }
}
