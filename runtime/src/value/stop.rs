//! How a service is stopped.

use std::time::Duration;

use super::IntoDuration;
use crate::rules;

/// How a service is stopped: a signal, and the grace period before SIGKILL.
///
/// The default is the image's own stop signal, else SIGTERM, and a grace period of 10 seconds.
///
/// ```
/// use bowline::{Service, Stop};
/// let db = Service::from_image("postgres:15").expose(5432).stop_with(Stop::signal("SIGINT").within("30s"));
/// # let _ = db;
/// ```
#[derive(Debug, Clone)]
pub struct Stop {
    pub(crate) signal: Result<&'static str, String>,
    pub(crate) within: Result<Duration, String>,
}

impl Stop {
    /// The default grace period: 10 seconds.
    pub const DEFAULT_WITHIN: Duration = Duration::from_secs(10);

    /// Stops with this signal, for example `"SIGINT"`.
    #[must_use]
    pub fn signal(name: impl AsRef<str>) -> Self {
        Self {
            signal: rules::signal(name.as_ref()).map_err(|problem| problem.to_string()),
            within: Ok(Self::DEFAULT_WITHIN),
        }
    }

    /// The grace period, after which SIGKILL follows. 10 seconds by default.
    #[must_use]
    pub fn within(mut self, limit: impl IntoDuration) -> Self {
        self.within = limit.into_duration();
        self
    }
}
