//! When a service counts as ready.

use std::time::Duration;

use super::{Argument, IntoDuration, arg};

/// When a service's clients may run. The default is [`Ready::port`] within 60 seconds.
///
/// A condition adds to the probes of the exposed ports; a port that must not be waited for is
/// [`unprobed`](crate::Port::unprobed). Several conditions must all hold.
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
    /// `None` where no limit was given.
    pub(crate) within: Option<Result<Duration, String>>,
}

/// What a condition checks.
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
    /// The default for how long a service may take to get ready: 60 seconds.
    pub const DEFAULT_WITHIN: Duration = Duration::from_secs(60);

    fn new(check: Check) -> Self {
        Self { check, within: None }
    }

    /// Every exposed port accepts connections: TCP is probed by connecting to the service's own address, UDP by looking
    /// for a bound socket.
    #[must_use]
    pub fn port() -> Self {
        Self::new(Check::Ports)
    }

    /// An HTTP `GET` of this path is answered with a status of 2xx or 3xx. It goes to the only exposed TCP port, or to
    /// the one given with [`on`](Self::on). Spaces and other characters that a request's target cannot have are
    /// percent-encoded.
    #[must_use]
    pub fn http(path: impl Into<String>) -> Self {
        Self::new(Check::Http { path: path.into(), port: None })
    }

    /// A command, run inside the service, exits with 0. Databases bring one, such as `pg_isready`: their port accepts
    /// connections a moment before the database serves them. It is run again and again once the probed ports accept, as
    /// processes before that would only slow down the service's start.
    #[must_use]
    pub fn exec<A: Argument>(args: impl IntoIterator<Item = A>) -> Self {
        Self::new(Check::Exec(args.into_iter().map(arg).collect()))
    }

    /// The service has written this text to standard output or standard error.
    #[must_use]
    pub fn log(text: impl Into<String>) -> Self {
        Self::new(Check::Log { text: text.into(), times: 1 })
    }

    /// The image's own `HEALTHCHECK` succeeds. For an image without one, or with `NONE`, only the ports are probed.
    #[must_use]
    pub fn image() -> Self {
        Self::new(Check::Image)
    }

    /// The port that [`http`](Self::http) sends its request to, by number or by name.
    #[must_use]
    pub fn on(mut self, wanted: impl Into<PortSelector>) -> Self {
        if let Check::Http { port, .. } = &mut self.check {
            *port = Some(wanted.into().0);
        }
        self
    }

    /// How often the text of [`log`](Self::log) has to appear; once by default.
    #[must_use]
    pub fn times(mut self, wanted: u32) -> Self {
        if let Check::Log { times, .. } = &mut self.check {
            *times = wanted;
        }
        self
    }

    /// How long the service may take until this holds; 60 seconds by default. Ports without a limit of their own may take
    /// as long as the other conditions.
    #[must_use]
    pub fn within(mut self, limit: impl IntoDuration) -> Self {
        self.within = Some(limit.into_duration());
        self
    }
}

/// A port, by its number or its name, for [`Ready::on`].
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
