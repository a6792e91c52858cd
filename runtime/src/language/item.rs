//! The items of a pipeline. Rust's `let`, `if`, `for` and `match` may surround them.

use crate::{File, IntoDirectory, Secret};

/// `service NAME { … }`: a server that clients need. It runs only while one of them does.
///
/// `service NAME = EXPR;` takes a [`Service`](crate::Service) from plain Rust: a parameter, a function's result.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service redis {
///         image "redis:7";
///         expose 6379;
///     }
/// };
/// # let _ = p;
/// ```
pub fn service(name: &str) {}

/// `container NAME { … }`: commands, one after another. Nothing runs before one of its results is awaited.
///
/// `container NAME = EXPR;` takes a [`Container`](crate::Container) from plain Rust.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container hello {
///         image "debian:12";
///         exec ["echo", "hello"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn container(name: &str) {}

/// `cache NAME;` · `cache NAME = "key";`: a volume that outlives the run. The key defaults to the name.
///
/// `cache NAME locked;` is used by one step or service at a time, of `cache NAME private;` each has a volume of its own
/// meanwhile. Otherwise all share it.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     cache registry = "cargo-registry";
///     container build {
///         image "rust:1.95";
///         mount registry at "/usr/local/cargo/registry";
///         exec ["cargo", "build"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn cache(name: &str, key: impl Into<String>) {}

/// `dir NAME = EXPR;`: a directory: of your machine, `host("./src")`, or of what another container left,
/// `other.directory("/out")`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container build {
///         image "debian:12";
///         shell "mkdir /out && date > /out/date";
///     }
///     dir out = build.directory("/out");
///     dir source = host("./src").exclude(["*.tmp"]);
///     container check {
///         image "debian:12";
///         mount out at "/in";
///         mount source at "/src";
///         exec ["cat", "/in/date"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn dir(name: &str, directory: impl IntoDirectory) {}

/// `file NAME = EXPR;`: a file: of your machine, `host_file("./config.toml")`, or of what another container left,
/// `other.file("/out/app")`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container build {
///         image "debian:12";
///         shell "date > /date";
///     }
///     file date = build.file("/date");
///     file config = host_file("./config.toml");
///     container check {
///         image "debian:12";
///         mount date at "/in/date";
///         copy config to "/etc/app.toml";
///         exec ["cat", "/in/date"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn file(name: &str, file: File) {}

/// The end of a body, for the macro's shadow.
#[doc(hidden)]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct __end;

/// `secret NAME = EXPR;`: something that processes need and nobody may see, from `secret::env("TOKEN")`,
/// `secret::file("path")` or `secret::value("name", contents)`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     secret token = secret::env("API_TOKEN");
///     container fetch {
///         image "debian:12";
///         env TOKEN = &token;
///         shell "test -n \"$TOKEN\"";
///     }
/// };
/// # let _ = p;
/// ```
pub fn secret(name: &str, value: Secret) {}
