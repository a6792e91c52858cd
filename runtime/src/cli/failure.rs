//! Why a command did not do what it was asked for, and the exit code that says so.

use std::error::Error as StdError;
use std::io;

use super::exit;
use crate::terminal;
use crate::{Error, report};

/// The end of a command that failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// What bowline says, of each thing that went wrong. The exit code tells of the first.
    Pipeline(Vec<Error>),
    /// What the program says.
    Program(Box<dyn StdError + Send + Sync>),
    /// What is wrong with the environment.
    Environment(Error),
    /// What is wrong with the command line.
    Usage(clap::Error),
    /// There is nothing that the command line asks for.
    NothingMatched(String),
    /// Nobody reads what is printed: as with `| head`, that is no mistake.
    NobodyReads,
    /// What went wrong was shown already.
    Shown(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Pipeline(vec![error])
    }
}

impl From<Box<dyn StdError + Send + Sync>> for Failure {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => (*error).into(),
            Err(error) => Self::Program(error),
        }
    }
}

impl Failure {
    /// Standard output could not be written to.
    pub(super) fn of_printing(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Program(format!("cannot write to standard output: {error}").into()),
        }
    }

    /// Shows it on standard error.
    pub(super) fn show(&self) {
        let text = match self {
            Self::Pipeline(errors) => return errors.iter().for_each(say),
            Self::Environment(error) => error.to_string(),
            Self::Program(error) => terminal::plain(&error.to_string()).into_owned(),
            Self::NothingMatched(message) => message.clone(),
            Self::Usage(error) => {
                // Help and errors go where clap has them go; nothing can be said where nobody reads.
                let _ = error.print();
                return;
            }
            Self::NobodyReads | Self::Shown(_) => return,
        };
        report::say(&format!("error: {text}"));
    }

    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Pipeline(errors) => errors.first().map_or(exit::FAILURE, exit::code),
            Self::Program(_) => exit::FAILURE,
            Self::Environment(_) => exit::USAGE,
            Self::Usage(error) if error.use_stderr() => exit::USAGE,
            Self::NothingMatched(_) => exit::NOTHING_MATCHED,
            Self::Usage(_) | Self::NobodyReads => exit::SUCCESS,
            Self::Shown(code) => *code,
        }
    }
}

/// Says an error on standard error.
pub(super) fn say(error: &Error) {
    report::say(&format!("error: {}", report::of_error(error)));
}
