//! The options of a command, in braces after `exec` or `shell`.

use crate::IntoDuration;

/// `stdin "text";`: what the command reads on its standard input. Without it, nothing.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["tr", "a-z", "A-Z"] { stdin "hello"; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn stdin(contents: impl AsRef<[u8]>) {}

/// `expect success;` · `expect failure;` · `expect any;`: how the command has to end; by default with exit code 0.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["false"] { expect failure; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn expect(end: &str) {}

/// `timeout "30s";`: how long the command may take, after which it is killed and has failed. No limit by default.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["true"] { timeout "30s"; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn timeout(limit: impl IntoDuration) {}

/// `stdout to "/path";`: also writes the command's standard output to a file in the container.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["ls", "/"] { stdout to "/list"; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn stdout(path: impl Into<String>) {}

/// `stderr to "/path";`: also writes the command's standard error to a file in the container.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["ls", "/none"] { expect any; stderr to "/problem"; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn stderr(path: impl Into<String>) {}

/// `fresh "1h";`: an earlier result of the command is taken if it is not older than that. Else the command runs again, and
/// so does everything that was made of the earlier result.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["apt-get", "update"] { fresh "24h"; }
///         exec ["apt-get", "install", "--yes", "curl"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn fresh(limit: impl IntoDuration) {}

/// `uncached;`: runs the command, and everything after it, in every run.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["date"] { uncached; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn uncached() {}
