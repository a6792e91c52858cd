//! Commands: what a step runs, and what is asked of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Argument, IntoDuration, Invalid};
use crate::model::{Located, Location};
use crate::paths;

/// A command with what is asked of it beyond its success. `exec` takes a plain list of arguments just as well.
///
/// ```
/// use bowline::{Container, Exec, Expect};
/// let sorted = Container::from_image("debian:12").exec(Exec::new(["sort", "-u"]).stdin("b\na\nb\n").timeout("30s"));
/// let found = sorted.exec(Exec::shell("grep -c x /etc/passwd").expect(Expect::Any).stdout_to("/count"));
/// # let _ = found;
/// ```
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until a container executes it"]
pub struct Exec {
    pub(crate) args: Vec<String>,
    pub(crate) options: ExecOptions,
    /// Reported when the plan is built.
    pub(crate) invalid: Vec<Located<Invalid>>,
}

/// Which end of a command is a result; any other is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Exit code 0, the default.
    #[default]
    Success,
    /// Any other exit code, a signal's (128 and its number) included. Exit code 0 is an error.
    Failure,
    /// Whatever it is: [`Container::exit_code`](crate::Container::exit_code) gives it.
    Any,
}

/// What a command is asked besides its arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecOptions {
    pub(crate) stdin: Option<Arc<[u8]>>,
    pub(crate) expect: Expect,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stdout: Option<String>,
    pub(crate) stderr: Option<String>,
    pub(crate) uncached: bool,
}

impl Exec {
    /// A program and its arguments, run without a shell.
    pub fn new<A: Argument>(args: impl IntoIterator<Item = A>) -> Self {
        let args: Vec<String> = args.into_iter().map(crate::arg).collect();
        // Whoever executes it says whether they are a command.
        Self { args, options: ExecOptions::default(), invalid: Vec::new() }
    }

    /// A command line, run with `/bin/sh -c`.
    pub fn shell(command: impl Into<String>) -> Self {
        Self::new(["/bin/sh".to_owned(), "-c".to_owned(), command.into()])
    }

    /// What the process reads from standard input, which ends after it. Without it, standard input is empty.
    pub fn stdin(mut self, contents: impl AsRef<[u8]>) -> Self {
        self.options.stdin = Some(contents.as_ref().into());
        self
    }

    /// Which end is a result, and kept as one: [`Expect::Success`] unless said otherwise.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.options.expect = expect;
        self
    }

    /// Kills the process when it runs for longer: [`Error::StepFailed`](crate::Error::StepFailed), whatever is expected.
    /// There is no limit by default. It is no part of the step's identity.
    #[track_caller]
    pub fn timeout(mut self, limit: impl IntoDuration) -> Self {
        match limit.into_duration() {
            Ok(limit) => self.options.timeout = Some(limit),
            Err(message) => self.invalid(Invalid(message)),
        }
        self
    }

    /// Writes what the process wrote to standard output to a file too, once it has ended (mode 0644, owner root).
    #[track_caller]
    pub fn stdout_to(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.check_path("stdout path", &path);
        self.options.stdout = Some(path);
        self
    }

    /// Writes what the process wrote to standard error to a file too, once it has ended (mode 0644, owner root).
    #[track_caller]
    pub fn stderr_to(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.check_path("stderr path", &path);
        self.options.stderr = Some(path);
        self
    }

    /// Runs the command once in every session, and with it all that comes after it: no earlier result is looked for,
    /// and none is left for later sessions.
    pub fn uncached(mut self) -> Self {
        self.options.uncached = true;
        self
    }

    #[track_caller]
    fn check_path(&mut self, what: &str, path: &str) {
        if let Err(problem) = paths::placed_path(what, path) {
            self.invalid(problem.into());
        }
    }

    #[track_caller]
    fn invalid(&mut self, value: Invalid) {
        self.invalid.push(Located { value, at: Location::caller() });
    }
}

/// What `exec` takes: a list of arguments, or an [`Exec`].
pub trait IntoExec {
    #[doc(hidden)]
    fn into_exec(self) -> Exec;
}

impl IntoExec for Exec {
    fn into_exec(self) -> Exec {
        self
    }
}

impl<I: IntoIterator<Item: Argument>> IntoExec for I {
    fn into_exec(self) -> Exec {
        Exec::new(self)
    }
}
