//! What can go wrong, as one enum to match on.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "cli")]
pub(crate) use self::brief::Writer;
pub use self::cause::Cause;
pub(crate) use self::cause::Reason;
pub(crate) use self::excerpt::{check_lines, cut_mark};
use self::location::{lines, located};
pub use self::service::{ServiceCause, ServiceError};
pub use self::step::{StepCause, StepError, UsedService};
use crate::model::Location;
use crate::terminal::plain as shown;

mod brief;
mod cause;
mod excerpt;
mod help;
mod location;
mod service;
mod step;

/// The result of everything that runs.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Every message says what was asked for, by which item, where that is written (`  --> src/ci.rs:41:13`),
/// what happened and, behind `help:`, what to do.
///
/// Of what a failed command or service wrote the last 40 lines are shown. `BOWLINE_ERROR_LINES` is another number of them, 0
/// for none, or `all`: then the last 100 KiB are.
///
/// Messages are complete: they contain what an error of a library or of the operating system said. [`source`] returns
/// that error itself, for programs that tell causes apart.
///
/// [`source`]: std::error::Error::source
///
/// Errors are cheap to clone: a failed step or service runs once, and everyone who waits for it gets the same error.
/// `Debug` shows the same text as `Display`, so that a `main` that returns an error prints something readable. In both,
/// text from containers, images and engines has no terminal control sequences; the fields have it unchanged.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A definition has a mistake that only shows at run time; nothing was run.
    #[error("{}", located(&format!("{}{message}", prefix(.item.as_deref())), .locations))]
    Invalid {
        /// The item that has the mistake.
        item: Option<String>,
        /// What is wrong, and a `help:` line if the fix is known.
        message: String,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
    },
    /// A command ended with another exit code than expected, or was killed.
    #[error(transparent)]
    StepFailed(Box<StepError>),
    /// A service could not be started, or ended before it was ready.
    #[error(transparent)]
    ServiceStart(Box<ServiceError>),
    /// A service did not get ready in time.
    #[error(transparent)]
    ServiceNotReady(Box<ServiceError>),
    /// A service ended while it was in use.
    #[error(transparent)]
    ServiceExited(Box<ServiceError>),
    /// A container has no such file or directory, or the path is of the other kind.
    #[error(
        "{}",
        located(&or_help(&format!("{container}: {}", shown(.message)), "check the path: `directory(\"/\").entries()` has what is there"), .locations)
    )]
    NoSuchPath {
        /// The container whose file system was read.
        container: String,
        /// The path.
        path: String,
        /// What was found instead.
        message: String,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
    },
    /// Neither the engine nor the registry has an image with this reference.
    #[error(
        "{}",
        located(
            &or_help(
                &format!("image `{reference}` was not found: {}", shown(.message)),
                "check the name and the tag, or whether the registry can be reached",
            ),
            .locations,
        )
    )]
    ImageNotFound {
        /// The reference.
        reference: String,
        /// What the engine or the registry said.
        message: String,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
    },
    /// The image exists only for other platforms than the one that was asked for, or than the engine's own.
    #[error(
        "image `{reference}` is there for {}, and not for {platform}{}{}\n\nhelp: `platform \"{}\";` takes the one that is there",
        shown(.found),
        after_colon(&shown(.message)),
        lines(.locations),
        shown(.found)
    )]
    PlatformNotFound {
        /// The reference.
        reference: String,
        /// The wanted platform, as `os/architecture` with or without a variant.
        platform: String,
        /// The platforms that the image exists for.
        found: String,
        /// What the engine or the registry said when it was asked for the wanted platform; empty if nothing.
        message: String,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
    },
    /// A registry refused access.
    #[error(
        "not allowed to {doing} `{reference}`: {}{}\n\nhelp: log in with `docker login`; credentials are read from its configuration file and helpers",
        shown(.message),
        lines(.locations)
    )]
    Unauthorized {
        /// `pull` or `push`.
        doing: &'static str,
        /// The reference.
        reference: String,
        /// What the registry said.
        message: String,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
    },
    /// No engine answers.
    #[error("no container engine answers\n{}\n\nhelp: start Docker (`systemctl start docker`, Docker Desktop …), or point DOCKER_HOST at an engine", tried_lines(.tried))]
    EngineUnreachable {
        /// What was tried and why it failed, one place a line.
        tried: Vec<String>,
    },
    /// The engine refused a request or failed.
    #[error("{}", located(&format!("{}: {}", shown(.what), shown(.message)), .locations))]
    Engine {
        /// What was being done, for example `start service redis`.
        what: String,
        /// What the engine said.
        message: String,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
        /// The error of the connection, the engine's answer or the operating system, if there was one; `message` contains
        /// its text.
        source: Option<Cause>,
    },
    /// A bug in bowline itself.
    #[error(
        "internal error: {}\n\nhelp: this is a bug of bowline and not of your pipeline: please report it, with this message",
        shown(.message)
    )]
    Internal {
        /// What went wrong.
        message: String,
    },
    /// A file of the pipeline's own machine could not be read or written.
    #[error(
        "{}",
        located(&or_help(&format!("{}: {}", shown(.path), shown(.message)), of_io(.source.as_ref())), .locations)
    )]
    Io {
        /// The path.
        path: String,
        /// What the operating system said.
        message: String,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
        /// The [`std::io::Error`], if there was one; `message` contains its text.
        source: Option<Cause>,
    },
    /// A port of this machine, which a tunnel was to listen at, is taken.
    #[error(
        "{}",
        located(
            &format!(
                "port {} of this machine is taken{}: nothing else can listen at {address}\n\nhelp: choose another port, or let a free one be chosen",
                .address.port(),
                by(.holder.as_deref()),
            ),
            .locations,
        )
    )]
    PortInUse {
        /// The address that was to be listened at.
        address: std::net::SocketAddr,
        /// Who has the port, where that can be known: `process 4711 (postgres)`.
        holder: Option<String>,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
    },
    /// Services are switched off by `BOWLINE_SERVICES=off`.
    #[error(
        "service `{service}` is needed, but services are switched off by BOWLINE_SERVICES=off{}\n\nhelp: unset BOWLINE_SERVICES, or leave out what needs services",
        lines(.locations)
    )]
    ServicesOff {
        /// The service.
        service: String,
        /// The places in the source that this is about; see [`locations`](Self::locations).
        locations: Vec<Location>,
    },
    /// The session closed, or the service was stopped, before the work was done.
    #[error(
        "{what} was cancelled: {reason}\n\nhelp: let it end first: await it before the session closes, and before what it uses is stopped"
    )]
    Cancelled {
        /// What was being done.
        what: String,
        /// Why it was cancelled.
        reason: String,
    },
    /// An error of the program itself and not of bowline: `?` makes it from an error of the standard library, and
    /// [`Error::other`] from any error. It displays as that error does, followed by its causes.
    ///
    /// ```
    /// use bowline::{Error, Result};
    /// fn read() -> Result<String> {
    ///     Ok(std::fs::read_to_string("/no/such/file")?)
    /// }
    /// let Err(Error::Other(cause)) = read() else { panic!("there is no such file") };
    /// let cause: &std::io::Error = cause.downcast_ref().unwrap();
    /// assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
    /// ```
    #[error("{}", with_causes(&**.0))]
    Other(Arc<dyn std::error::Error + Send + Sync>),
}

/// Errors of the standard library, so that `?` works under the prelude's `Result`. A blanket implementation for all
/// errors is impossible: it would cover `Error` itself too.
macro_rules! from_errors {
    ($($type:ty),*) => { $(
        impl From<$type> for Error {
            fn from(error: $type) -> Self {
                Self::other(error)
            }
        }
    )* };
}
from_errors!(std::io::Error, std::fmt::Error, std::env::VarError, std::time::SystemTimeError);
from_errors!(std::str::Utf8Error, std::string::FromUtf8Error, std::net::AddrParseError);
from_errors!(std::num::ParseIntError, std::num::ParseFloatError, std::num::TryFromIntError);
from_errors!(std::str::ParseBoolError, Box<dyn std::error::Error + Send + Sync>);

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// An error of the program itself, of any type, or a text: for functions that return bowline's [`Result`] and meet
    /// errors of other crates.
    ///
    /// ```
    /// use bowline::{Error, Result};
    /// # struct Report;
    /// # fn parse(text: &str) -> std::result::Result<Report, std::char::ParseCharError> { text.parse::<char>().map(|_| Report) }
    /// fn report(text: &str) -> Result<Report> {
    ///     if text.is_empty() {
    ///         return Err(Error::other("the report is empty"));
    ///     }
    ///     parse(text).map_err(Error::other)
    /// }
    /// assert_eq!(report("").err().unwrap().to_string(), "the report is empty");
    /// # assert!(report("ab").is_err());
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(Arc::from(error.into()))
    }

    pub(crate) fn invalid(item: Option<&str>, message: impl Into<String>) -> Self {
        Self::Invalid { item: item.map(str::to_owned), message: message.into(), locations: Vec::new() }
    }

    pub(crate) fn engine(what: impl Into<String>, reason: impl Into<Reason>) -> Self {
        let Reason { message, source } = reason.into();
        Self::Engine { what: what.into(), message, locations: Vec::new(), source }
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::Internal { message: message.to_string() }
    }

    pub(crate) fn io(path: impl AsRef<std::path::Path>, reason: impl Into<Reason>) -> Self {
        let Reason { message, source } = reason.into();
        Self::Io { path: path.as_ref().display().to_string(), message, locations: Vec::new(), source }
    }

    /// The same error about files of the machine, with the items that take them.
    pub(crate) fn taken_by(mut self, items: &BTreeSet<Arc<str>>) -> Self {
        match &mut self {
            Self::Io { message, .. } if !items.is_empty() => {
                let items: Vec<_> = items.iter().map(|item| format!("`{item}`")).collect();
                let _ = write!(message, ", taken by {}", items.join(", "));
            }
            Self::Invalid { item: item @ None, .. } => *item = items.first().map(ToString::to_string),
            _ => {}
        }
        self
    }

    /// The same error about a service, with the aliases that its client uses for it.
    pub(crate) fn aliased(mut self, hostname: &str, aliases: &[String]) -> Self {
        if let Self::ServiceStart(error) | Self::ServiceNotReady(error) | Self::ServiceExited(error) =
            &mut self
            && error.hostname == hostname
        {
            error.aliases = aliases.to_vec();
        }
        self
    }
}

fn prefix(item: Option<&str>) -> String {
    item.map_or_else(String::new, |item| format!("in `{item}`: "))
}

fn by(holder: Option<&str>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {}", shown(holder)))
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// A message with this help, unless whoever wrote it gave advice already. No help if it is empty.
fn or_help(message: &str, help: &str) -> String {
    if help.is_empty() || message.contains("\nhelp: ") {
        return message.to_owned();
    }
    format!("{message}\n\nhelp: {help}")
}

/// What to do about a file that cannot be used.
fn of_io(source: Option<&Cause>) -> &'static str {
    use std::io::ErrorKind;
    match source.and_then(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => "check the path, or whatever should have made it",
        Some(ErrorKind::PermissionDenied) => "the program's user has no right to it",
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => "make room on that disk",
        _ => "",
    }
}

/// What an error of a library says, followed by every cause that it does not mention itself.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let error_text = error.to_string();
        if !text.contains(&error_text) {
            text = format!("{text}: {error_text}");
        }
        cause = error.source();
    }
    text
}

fn tried_lines(tried: &[String]) -> String {
    tried.iter().map(|line| format!("  tried {}", shown(line))).collect::<Vec<_>>().join("\n")
}

/// A command as one would type it, with arguments of more than a page cut.
pub(crate) fn shown_command(args: &[String]) -> String {
    const PAGE: usize = 4096;
    const SHOWN: usize = 200;
    let cut = |arg: &String| {
        if arg.len() <= PAGE {
            return arg.clone();
        }
        let head: String = arg.chars().take(SHOWN).collect();
        format!("{head}… ({} bytes)", arg.len())
    };
    command_line(&args.iter().map(cut).collect::<Vec<_>>())
}

/// A command as one would type it.
pub(crate) fn command_line(args: &[String]) -> String {
    let plain = |arg: &str| {
        !arg.is_empty() && arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c))
    };
    let quoted =
        |arg: &String| if plain(arg) { arg.clone() } else { format!("'{}'", arg.replace('\'', r"'\''")) };
    args.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

pub(crate) fn show_duration(duration: Duration) -> String {
    if !duration.is_zero() && duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        let seconds = duration.as_secs_f64();
        if (seconds - seconds.round()).abs() < 0.05 {
            format!("{seconds:.0} s")
        } else {
            format!("{seconds:.1} s")
        }
    }
}

#[cfg(test)]
mod tests;
