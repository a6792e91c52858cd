//! A command that failed.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::location::lines;
use super::{show_duration, shown, shown_command};
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
    /// The last 100 KiB of standard output; a first line says how much was cut.
    pub stdout: String,
    /// The last 100 KiB of standard error; a first line says how much was cut.
    pub stderr: String,
    /// The file system that the command left, in the graph's form.
    pub(crate) left: Option<Arc<dyn Any + Send + Sync>>,
    /// The cache key of the step, which identifies it; none of a command in a service.
    pub(crate) key: Option<Digest>,
    pub(crate) locations: Vec<Location>,
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
            .field("locations", &self.locations)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for StepError {}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = shown_command(&self.args);
        let command = shown(&command);
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
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "\n{name}:\n{}", shown(text.trim_end_matches('\n')))?;
            }
        }
        Ok(())
    }
}
