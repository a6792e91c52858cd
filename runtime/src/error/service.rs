//! A service that failed.

use std::fmt;
use std::time::Duration;

use super::brief::Shown;
use super::excerpt::{self, Most};
use super::location::{lines, located};
use super::{Error, help, show_duration, shown};
use crate::model::{Exit, Location};

/// A service that failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceError {
    /// The name in the pipeline.
    pub name: String,
    /// The content-addressed name.
    pub hostname: String,
    /// The aliases that the client which met the error uses for it.
    pub aliases: Vec<String>,
    /// What happened.
    pub cause: ServiceCause,
    /// How long after its start it failed.
    pub elapsed: Duration,
    /// The last lines it wrote, at most 100 KiB of them. The error shows 40, or as many as `BOWLINE_ERROR_LINES` says: a
    /// number, or `all`.
    pub log: Vec<String>,
    /// What was recognised in what it listens on, and what to do about it; a sentence each.
    pub help: Vec<String>,
    pub(crate) locations: Vec<Location>,
}

/// Why a service failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServiceCause {
    /// Its process ended.
    Exited(Exit),
    /// Its ports or its other conditions did not succeed in time.
    NotReady {
        /// The limit.
        within: Duration,
        /// What had not succeeded (`6379/tcp`, `GET :8080/healthz`, a command), each with its last result.
        failing: Vec<(String, String)>,
    },
    /// A service that it is bound to failed, or something it needs could not be made.
    Dependency(Error),
    /// A health check command could not be run, or failed as often as it may.
    Check(String),
}

impl ServiceError {
    fn who(&self) -> String {
        let aliases = match self.aliases.as_slice() {
            [] => "no aliases".to_owned(),
            aliases => format!("aliased as {}", aliases.join(", ")),
        };
        format!("{} `{}` ({aliases})", self.hostname, self.name)
    }
}

impl std::error::Error for ServiceError {
    /// What a needed item failed with.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            ServiceCause::Dependency(error) => Some(error),
            ServiceCause::Exited(_) | ServiceCause::NotReady { .. } | ServiceCause::Check(_) => None,
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, Most::wanted())
    }
}

impl ServiceError {
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>, most: Most) -> fmt::Result {
        let who = self.who();
        let (elapsed, at) = (show_duration(self.elapsed), lines(&self.locations));
        match &self.cause {
            ServiceCause::Exited(exit) => {
                write!(f, "service {who} exited after {elapsed}: {exit}{at}")?;
            }
            ServiceCause::NotReady { within, failing } => {
                write!(f, "service {who} was not ready within {}{at}", show_duration(*within))?;
                for (probe, found) in failing {
                    write!(f, "\n  {}: {}", shown(probe), shown(found))?;
                }
            }
            // The dependency's place is the one to look at.
            ServiceCause::Dependency(error) if !error.locations().is_empty() => {
                return write!(f, "service {who}: {}", Shown { error, most });
            }
            ServiceCause::Dependency(error) => {
                let error = Shown { error, most };
                return f.write_str(&located(&format!("service {who}: {error}"), &self.locations));
            }
            ServiceCause::Check(message) => {
                write!(f, "service {who}: {} (after {elapsed}){at}", shown(message))?;
            }
        }
        excerpt::log(f, &self.log, most)?;
        help::write(f, self.help.iter().map(String::as_str).chain(self.of_cause()))
    }

    /// What to do about the cause.
    fn of_cause(&self) -> Option<&'static str> {
        match &self.cause {
            ServiceCause::Exited(exit) if exit.success() => Some(FOREGROUND),
            ServiceCause::Exited(exit) => help::of_exit(*exit, self.log.iter().map(String::as_str)),
            ServiceCause::NotReady { .. } if self.help.is_empty() => Some(SLOW),
            ServiceCause::Check(_) if self.help.is_empty() => Some(CHECK),
            ServiceCause::NotReady { .. } | ServiceCause::Check(_) | ServiceCause::Dependency(_) => None,
        }
    }
}

/// For a service that exited with success: most such programs meant to go on in the background, but the container ends
/// with its first process.
const FOREGROUND: &str = "a service is there as long as its first process: where it goes on in the background, run it in the foreground (`nginx -g 'daemon off;'`, `httpd -DFOREGROUND`, `redis-server --daemonize no`, `sshd -D`, elsewhere `-f`, `-F`, `--foreground` or `--nodaemon`)";

/// For a service that was not ready, and nothing says why.
const SLOW: &str =
    "see what it wrote; where it only needs longer, say so: `ready port within \"2m\";` or the like";

/// For a health check that failed.
const CHECK: &str = "see what it wrote, and run the check by hand in a `terminal` of it; `ready port;` waits for its ports instead";
