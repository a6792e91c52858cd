//! Commands: what a step runs, and its options.

use std::sync::Arc;
use std::time::Duration;

use super::{Argument, IntoDuration, Invalid};
use crate::model::{Located, Location};
use crate::paths;

/// A command with options, beyond the default of having to succeed. `exec` takes a plain list of arguments just as well.
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
    /// Mistakes, which are reported when the plan is built.
    pub(crate) invalid: Vec<Located<Invalid>>,
}

/// Which exit codes of a command are a result; any other is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Exit code 0, the default.
    #[default]
    Success,
    /// Any exit code but 0, including that of a signal (128 plus its number). Exit code 0 is an error.
    Failure,
    /// Every exit code: [`Container::exit_code`](crate::Container::exit_code) returns it.
    Any,
}

/// The options of a command, besides its arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecOptions {
    pub(crate) stdin: Option<Arc<[u8]>>,
    pub(crate) expect: Expect,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stdout: Option<String>,
    pub(crate) stderr: Option<String>,
    /// How old an earlier result may be.
    pub(crate) fresh: Option<Duration>,
    pub(crate) uncached: bool,
}

impl Exec {
    /// A program and its arguments, run without a shell.
    pub fn new<A: Argument>(args: impl IntoIterator<Item = A>) -> Self {
        let args: Vec<String> = args.into_iter().map(crate::arg).collect();
        // Whoever executes the arguments checks that they are a command.
        Self { args, options: ExecOptions::default(), invalid: Vec::new() }
    }

    /// A command line, run with `/bin/sh -c`.
    pub fn shell(command: impl Into<String>) -> Self {
        Self::new(["/bin/sh".to_owned(), "-c".to_owned(), command.into()])
    }

    /// Sends these bytes to the process's standard input and then closes it. By default standard input is empty.
    pub fn stdin(mut self, contents: impl AsRef<[u8]>) -> Self {
        self.options.stdin = Some(contents.as_ref().into());
        self
    }

    /// Which exit codes are a result, and are cached as one: [`Expect::Success`] by default.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.options.expect = expect;
        self
    }

    /// Kills the process when it runs for longer than this: [`Error::StepFailed`](crate::Error::StepFailed), whatever
    /// exit code is expected. There is no timeout by default. The timeout is not part of the step's identity.
    #[track_caller]
    pub fn timeout(mut self, limit: impl IntoDuration) -> Self {
        match limit.into_duration() {
            Ok(limit) => self.options.timeout = Some(limit),
            Err(message) => self.invalid(Invalid(message)),
        }
        self
    }

    /// Also writes the process's standard output to a file in the container, once the process has ended (mode 0644, owner
    /// root).
    #[track_caller]
    pub fn stdout_to(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.check_path("stdout path", &path);
        self.options.stdout = Some(path);
        self
    }

    /// Also writes the process's standard error to a file in the container, once the process has ended (mode 0644, owner
    /// root).
    #[track_caller]
    pub fn stderr_to(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.check_path("stderr path", &path);
        self.options.stderr = Some(path);
        self
    }

    /// Takes an earlier result only if it is not older than this, when it is looked for; any is taken by default. Else the
    /// command runs again, and its new result replaces the earlier one: whatever was made of that, here or in other
    /// pipelines, does not count any more and runs again too. So an `apt-get install` never meets the lists of last month:
    ///
    /// ```
    /// use bowline::{Container, Exec};
    /// let installed = Container::from_image("debian:12")
    ///     .exec(Exec::new(["apt-get", "update"]).fresh("24h"))
    ///     .exec(["apt-get", "install", "--yes", "curl"]);
    /// # let _ = installed;
    /// ```
    ///
    /// Age is counted from the end of the command, by the clocks of the machines. A result that seems to be made later than
    /// now, by a clock that was wrong, is taken if it is no further ahead than this. Within a session the command runs once
    /// in any case. The limit is not part of the step's identity: two that differ in it share results.
    ///
    /// # Errors
    /// Together with [`uncached`](Self::uncached) it is a mistake ([`Error::Invalid`](crate::Error::Invalid)).
    #[track_caller]
    pub fn fresh(mut self, limit: impl IntoDuration) -> Self {
        match limit.into_duration() {
            Ok(limit) => self.options.fresh = Some(limit),
            Err(message) => self.invalid(Invalid(message)),
        }
        self
    }

    /// Runs the command once in every session, and everything that comes after it: no earlier result is looked up, and no
    /// result is kept for later sessions.
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
