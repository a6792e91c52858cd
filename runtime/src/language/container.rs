//! The statements of a `container`. Rust's `let`, `if`, `for` and `match` may surround them.

pub use super::common::*;
use crate::{Argument, Container};

/// `exec [ … ];`: a step: runs a program with its arguments. Fails when the program does.
///
/// Options stand in braces: `stdin VALUE;`, `expect success;` (the default), `expect failure;` or `expect any;`,
/// `timeout "30s";`, `stdout to "/path";`, `stderr to "/path";` and `uncached;`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["echo", "a list", 5];
///         exec ["grep", "word"] { stdin "no such thing"; expect any; timeout "10s"; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn exec<A: Argument>(args: impl IntoIterator<Item = A>) {}

/// `shell "a | b";`: a step: runs a command line with `/bin/sh -c`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         shell "ls / | wc -l";
///     }
/// };
/// # let _ = p;
/// ```
pub fn shell(command: impl Into<String>) {}

/// `after NAME;`: the steps from here on run only once another container has succeeded, although nothing of it is used.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container migrate {
///         image "debian:12";
///         exec ["true"];
///     }
///     container test {
///         image "debian:12";
///         after migrate;
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn after(other: &Container) {}

/// `export "/path" as name;` · `export "/path/" as name;`: a method of the handle, `p.build.name()`, that gives the
/// [`File`](crate::File), or with a `/` at the end the [`Directory`](crate::Directory).
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container build {
///         image "debian:12";
///         shell "mkdir /out && date > /out/date";
///         export "/out/date" as date;
///         export "/out/" as all;
///     }
/// };
/// # let _ = p;
/// ```
pub fn export(path: impl Into<String>, name: &str) {}

/// The end of a body, for the macro's shadow.
#[doc(hidden)]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct __end;
