//! Servers of this machine that containers reach.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;

use super::{Base, HandleOf, Ready, Service};
use crate::model::{HostServer, Location, Port};
use crate::rules;

/// A server that runs outside of all containers, on the machine of this program or where that can connect to, as a service
/// that containers are bound to. See [`host_service`].
///
/// It is a [`Service`], and goes wherever one does: `bind("api", &api)`, `service api = host_service(8080);` in a pipeline.
#[derive(Debug, Clone)]
#[must_use = "a service is reached only by what binds it"]
pub struct HostService(Service);

/// A server of this machine, or of another one that this program can connect to, as a service: containers that bind it
/// reach it by an alias, like any service.
///
/// `8080` is a TCP port of this machine's loopback address, so the server may listen on `127.0.0.1` or `[::1]` only; other
/// servers are named by `"host:port"` or a [`SocketAddr`]. Containers reach it at the port of the same number;
/// [`port`](HostService::port) adds others. Connections come from this program, and each is made anew: the server may be
/// restarted.
///
/// ```no_run
/// use bowline::prelude::*;
///
/// #[bowline::test]
/// async fn reports_are_sent() -> Result<()> {
///     let server = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
///     let hook = host_service(server.local_addr()?);
///     let p = pipeline! {
///         service hook = hook;
///         container report {
///             image "busybox:1.35";
///             bind hook;
///             env URL = hook.endpoint()?.with_scheme("http").to_string();
///             shell "wget -O - $URL/done";
///         }
///     };
///     let (report, request) = tokio::join!(p.report.sync(), async { server.accept().await });
/// #   let _ = request?;
///     report
/// }
/// # fn main() {}
/// ```
///
/// It counts as ready once the server accepts connections, within 60 seconds unless [`ready`](HostService::ready) says
/// otherwise. As nobody knows what a server will answer, whatever binds it is `uncached`, unless it is
/// [`cached`](HostService::cached).
#[track_caller]
pub fn host_service(server: impl IntoHostPort) -> HostService {
    let server = server.into_host_port();
    let (forwards, mistake) = match server {
        Ok((port, address)) => (vec![(port, address.into())], None),
        Err(message) => (Vec::new(), Some(message)),
    };
    let ports: Vec<Port> = forwards.iter().map(|(port, _)| port.clone()).collect();
    let base = Base::Server(HostServer { forwards, is_cached: false });
    let service = ports.into_iter().fold(Service::of(base, Location::caller()), Service::expose);
    HostService(match mistake {
        Some(message) => service.mistaken(message),
        None => service,
    })
}

impl HostService {
    /// Adds a port: containers reach the server `server` at `port`. `.port(80, 8080)`,
    /// `.port(Port::udp(53), "127.0.0.1:5353")`.
    #[track_caller]
    pub fn port(self, port: impl Into<Port>, server: impl IntoHostAddress) -> Self {
        let port = port.into();
        match server.into_host_address() {
            Ok(address) => {
                let forward = (port.clone(), address.into());
                Self(self.0.edit_server(|server| server.forwards.push(forward)).expose(port))
            }
            Err(message) => Self(self.0.mistaken(message)),
        }
    }

    /// Says that what binds it may be cached: that the server's answers follow from its exposed ports, and are the same in
    /// every run. Its address is then no part of its identity.
    pub fn cached(self) -> Self {
        Self(self.0.edit_server(|server| server.is_cached = true))
    }

    /// Says when the server counts as ready, as [`Service::ready`] does: by its ports, or by a page.
    #[track_caller]
    pub fn ready(self, ready: Ready) -> Self {
        Self(self.0.ready(ready))
    }

    /// Sets the name that logs, plans and errors show.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self(self.0.named(name))
    }

    /// Tells host services of equal definition apart; see [`Service::instance`].
    #[track_caller]
    pub fn instance(self, name: impl fmt::Display) -> Self {
        Self(self.0.instance(name))
    }
}

impl Deref for HostService {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.0
    }
}

impl HandleOf<Service> for HostService {
    fn handle(&self) -> &Service {
        &self.0
    }
}

/// The address of a server: a port of this machine's loopback address (`8080`), `"host:port"`, or a [`SocketAddr`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no address of a server",
    label = "expected a port, `\"host:port\"` or a `SocketAddr`"
)]
pub trait IntoHostAddress {
    #[doc(hidden)]
    fn into_host_address(self) -> Result<(Option<String>, u16), String>;
}

impl IntoHostAddress for u16 {
    fn into_host_address(self) -> Result<(Option<String>, u16), String> {
        rules::port(i128::from(self)).map_err(|problem| problem.to_string())?;
        Ok((None, self))
    }
}

impl IntoHostAddress for SocketAddr {
    fn into_host_address(self) -> Result<(Option<String>, u16), String> {
        rules::port(i128::from(self.port())).map_err(|problem| problem.to_string())?;
        Ok((Some(self.ip().to_string()), self.port()))
    }
}

impl IntoHostAddress for &str {
    fn into_host_address(self) -> Result<(Option<String>, u16), String> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return address.into_host_address();
        }
        let no_address = || {
            format!("`{self}` is no address of a server\n\nhelp: write `\"host:port\"`, or a port: `8080`")
        };
        let (host, port) = match self.rsplit_once(':') {
            Some((host, port)) => (Some(host), port),
            None => (None, self),
        };
        let port: u16 = port.parse().map_err(|_| no_address())?;
        let is_name = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        if host.is_some_and(|host| !is_name(host)) {
            return Err(no_address());
        }
        let (_, port) = port.into_host_address()?;
        Ok((host.map(str::to_owned), port))
    }
}

impl IntoHostAddress for String {
    fn into_host_address(self) -> Result<(Option<String>, u16), String> {
        self.as_str().into_host_address()
    }
}

impl IntoHostAddress for &String {
    fn into_host_address(self) -> Result<(Option<String>, u16), String> {
        self.as_str().into_host_address()
    }
}

/// A server, and the port at which containers reach it: whatever is an [`IntoHostAddress`], or a UDP port of this machine,
/// `Port::udp(53)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no address of a server",
    label = "expected a port, `\"host:port\"` or a `SocketAddr`"
)]
pub trait IntoHostPort {
    #[doc(hidden)]
    fn into_host_port(self) -> Result<(Port, (Option<String>, u16)), String>;
}

impl<A: IntoHostAddress> IntoHostPort for A {
    fn into_host_port(self) -> Result<(Port, (Option<String>, u16)), String> {
        let address = self.into_host_address()?;
        Ok((Port::tcp(address.1), address))
    }
}

impl IntoHostPort for Port {
    fn into_host_port(self) -> Result<(Port, (Option<String>, u16)), String> {
        let address = self.number.into_host_address()?;
        Ok((self, address))
    }
}
