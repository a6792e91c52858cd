//! When a service counts as ready.

use std::time::Duration;

use super::{Argument, IntoDuration, arg};

/// When a service's clients may run. The default is [`Ready::port`] within 60 seconds.
///
/// Whatever is asked for holds together with the ports: those that are not to be waited for are
/// [`unprobed`](crate::Port::unprobed). Of several, all must hold.
///
/// ```
/// use bowline::{Ready, Service};
/// let api = Service::from_image("acme/api:2")
///     .expose(8080)
///     .ready(Ready::http("/healthz").within("2m"));
/// # let _ = api;
/// ```
#[derive(Debug, Clone)]
pub struct Ready {
    pub(crate) check: Check,
    /// Nothing where nothing is said.
    pub(crate) within: Option<Result<Duration, String>>,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    Ports,
    Http { path: String, port: Option<PortRef> },
    Exec(Vec<String>),
    Log { text: String, times: u32 },
    Image,
}

/// A port by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PortRef {
    Number(u16),
    Name(String),
}

impl From<u16> for PortRef {
    fn from(number: u16) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for PortRef {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl Ready {
    /// How long a service may take to get ready when nothing else is said: 60 seconds.
    pub const DEFAULT_WITHIN: Duration = Duration::from_secs(60);

    fn new(check: Check) -> Self {
        Self { check, within: None }
    }

    /// Every exposed port accepts: TCP by connecting to the service's own address, UDP by a bound socket.
    #[must_use]
    pub fn port() -> Self {
        Self::new(Check::Ports)
    }

    /// A `GET` of this path, whose spaces and other characters that may not stand there are sent percent-encoded, is answered with a status of 2xx or 3xx, on the only exposed TCP port or the one given
    /// with [`on`](Self::on).
    #[must_use]
    pub fn http(path: impl Into<String>) -> Self {
        Self::new(Check::Http { path: path.into(), port: None })
    }

    /// A command, run inside the service, exits with 0. A database says by one of its own, such as `pg_isready`, that it
    /// takes connections: that its port accepts them is so a moment earlier.
    #[must_use]
    pub fn exec<A: Argument>(args: impl IntoIterator<Item = A>) -> Self {
        Self::new(Check::Exec(args.into_iter().map(arg).collect()))
    }

    /// The service has written this text, to either stream.
    #[must_use]
    pub fn log(text: impl Into<String>) -> Self {
        Self::new(Check::Log { text: text.into(), times: 1 })
    }

    /// The image's own `HEALTHCHECK` succeeds. An image without one, or with `NONE`, falls back to the ports.
    #[must_use]
    pub fn image() -> Self {
        Self::new(Check::Image)
    }

    /// The port that [`http`](Self::http) asks, by number or by name.
    #[must_use]
    pub fn on(mut self, wanted: impl Into<PortSelector>) -> Self {
        if let Check::Http { port, .. } = &mut self.check {
            *port = Some(wanted.into().0);
        }
        self
    }

    /// How often the text of [`log`](Self::log) has to be seen; once by default.
    #[must_use]
    pub fn times(mut self, wanted: u32) -> Self {
        if let Check::Log { times, .. } = &mut self.check {
            *times = wanted;
        }
        self
    }

    /// How long the service may take to hold this; 60 seconds by default. The ports, where nothing is said of them, may take
    /// as long as the rest of it.
    #[must_use]
    pub fn within(mut self, limit: impl IntoDuration) -> Self {
        self.within = Some(limit.into_duration());
        self
    }
}

/// A port by its number or its name, for [`Ready::on`].
#[derive(Debug, Clone)]
pub struct PortSelector(PortRef);

impl From<u16> for PortSelector {
    fn from(number: u16) -> Self {
        Self(number.into())
    }
}

impl From<&str> for PortSelector {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}
