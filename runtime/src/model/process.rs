//! Processes, as seen by whoever waits for them.

use std::fmt;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exit {
    /// The exit code; 128 plus the signal's number if a signal ended the process.
    pub code: i32,
    /// Whether the kernel killed it because memory ran out.
    pub out_of_memory: bool,
}

impl Exit {
    /// Whether the process succeeded: exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.code)?;
        match self.code {
            _ if self.out_of_memory => f.write_str(" (out of memory)"),
            130 => f.write_str(" (SIGINT)"),
            134 => f.write_str(" (SIGABRT)"),
            137 => f.write_str(" (SIGKILL)"),
            139 => f.write_str(" (SIGSEGV)"),
            143 => f.write_str(" (SIGTERM)"),
            _ => Ok(()),
        }
    }
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct WindowSize {
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

/// A line that a service wrote: see [`Service::logs`](crate::Service::logs).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// The stream that it was written to.
    pub stream: Stream,
    /// The line without its line end and without secrets. Anything that is not UTF-8 is replaced. A line of more than 16
    /// KiB comes in pieces.
    pub text: String,
    /// How many bytes before this line are missing, because they are not kept any more. Its own beginning may be among
    /// them.
    pub skipped: u64,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The stream that a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
