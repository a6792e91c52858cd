//! A command that failed.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::excerpt::{self, Most};
use super::location::lines;
use super::{help, show_duration, shown, shown_command};
use crate::model::{Digest, Exit, Location};

/// A command that failed.
#[derive(Clone)]
#[non_exhaustive]
pub struct StepError {
    /// The container it is a step of, or the service that it was [executed](crate::Service::exec) in.
    pub name: String,
    /// The command.
    pub args: Vec<String>,
    /// How it ended.
    pub exit: Exit,
    /// Why this counts as a failure.
    pub cause: StepCause,
    /// The last 100 KiB of standard output; a first line says how much was cut. The error shows its last 40 lines, or as
    /// many as `BOWLINE_ERROR_LINES` says: a number, or `all`.
    pub stdout: String,
    /// The last 100 KiB of standard error, likewise.
    pub stderr: String,
    /// The services that the command is bound to.
    pub services: Vec<UsedService>,
    /// What was recognised in the command, its environment or its output, and what to do about it; a sentence each.
    pub help: Vec<String>,
    /// The file system that the command left, in the graph's form.
    pub(crate) left: Option<Arc<dyn Any + Send + Sync>>,
    /// The cache key of the step, which identifies it; none of a command in a service.
    pub(crate) key: Option<Digest>,
    pub(crate) locations: Vec<Location>,
}

/// A service that a failed command is bound to. It displays as its name, the aliases and whether it is still ready:
/// `` `redis` as cache: ready ``.
///
/// ```no_run
/// use bowline::prelude::*;
/// # async fn check(test: Container) {
/// if let Err(Error::StepFailed(step)) = test.sync().await {
///     for service in step.services.iter().filter(|service| service.ended.is_some()) {
///         println!("{service}");
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsedService {
    /// The name in the pipeline.
    pub name: String,
    /// The content-addressed name.
    pub hostname: String,
    /// The aliases that the command uses for it.
    pub aliases: Vec<String>,
    /// How it ended, if it has: `exit code 1`. Otherwise it was ready and running when the command ended.
    pub ended: Option<String>,
}

/// Why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepCause {
    /// Its exit code is not 0.
    Failed,
    /// Its exit code is 0, although [`Expect::Failure`](crate::Expect::Failure) was asked for.
    Succeeded,
    /// It was killed because it ran for longer than this.
    TimedOut(Duration),
    /// It was killed because it wrote more than this many bytes to one of its streams.
    TooMuchOutput(u64),
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepError")
            .field("name", &self.name)
            .field("args", &self.args)
            .field("exit", &self.exit)
            .field("cause", &self.cause)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .field("services", &self.services)
            .field("help", &self.help)
            .field("locations", &self.locations)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for StepError {}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, Most::wanted())
    }
}

impl fmt::Display for UsedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        if !self.aliases.is_empty() {
            write!(f, " as {}", self.aliases.join(", "))?;
        }
        match &self.ended {
            None => f.write_str(": ready"),
            Some(how) => write!(f, ": ended: {}", shown(how)),
        }
    }
}

impl StepError {
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>, most: Most) -> fmt::Result {
        let whole = shown_command(&self.args);
        let whole = shown(&whole);
        let command = first_words(&whole);
        match self.key {
            Some(_) => write!(f, "step `{command}` of `{}` ", self.name)?,
            None => write!(f, "command `{command}` in service `{}` ", self.name)?,
        }
        match self.cause {
            StepCause::Failed => write!(f, "failed: {}", self.exit)?,
            StepCause::Succeeded => f.write_str("succeeded, although it was expected to fail")?,
            StepCause::TimedOut(limit) => {
                write!(f, "was killed: it did not end within {}", show_duration(limit))?;
            }
            StepCause::TooMuchOutput(most) => {
                write!(f, "was killed: it wrote more than {} GiB to one of its streams", most >> 30)?;
            }
        }
        f.write_str(&lines(&self.locations))?;
        if command != whole {
            write!(f, "\ncommand:\n{whole}")?;
        }
        excerpt::stream(f, "stdout", &self.stdout, most)?;
        excerpt::stream(f, "stderr", &self.stderr, most)?;
        if !self.services.is_empty() {
            f.write_str("\nservices:")?;
            self.services.iter().try_for_each(|service| write!(f, "\n  {service}"))?;
        }
        help::write(f, self.help.iter().map(String::as_str).chain(self.of_cause()))
    }

    /// What to do about the cause.
    fn of_cause(&self) -> Option<&'static str> {
        match self.cause {
            StepCause::Failed => help::of_exit(self.exit, [&*self.stdout, &*self.stderr]),
            StepCause::Succeeded => {
                Some("`expect any` takes either end, and without `expect` it has to succeed")
            }
            StepCause::TimedOut(_) => {
                Some("raise `timeout`, or see what it waited for: the last that it wrote is above")
            }
            StepCause::TooMuchOutput(_) => {
                Some("let it write less, or to a file in the container (`> /out` in a `shell`)")
            }
        }
    }
}

/// The most characters of a command that the first line of an error has.
const FIRST_LINE: usize = 120;

/// The beginning of a command, on one line, with a mark where that is not all of it.
fn first_words(command: &str) -> std::borrow::Cow<'_, str> {
    let line = command.split('\n').next().unwrap_or_default();
    let end = line.char_indices().nth(FIRST_LINE).map_or(line.len(), |(end, _)| end);
    let head = line.get(..end).unwrap_or(line);
    if head.len() == command.len() { head.into() } else { format!("{}…", head.trim_end()).into() }
}
