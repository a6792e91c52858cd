//! The statements of a `service`. Rust's `let`, `if`, `for` and `match` may surround them.

use std::fmt;

pub use super::common::*;
use crate::{Argument, IntoDuration, Port, Ready};

/// `run [ … ];`: the command, which the image's entry point gets; by default the image's own.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         run ["nginx", "-g", "daemon off;"];
///         expose 80;
///     }
/// };
/// # let _ = p;
/// ```
pub fn run<A: Argument>(args: impl IntoIterator<Item = A>) {}

/// `expose 8080;` · `expose 8080 as http;` · `expose 53/udp;` · `expose 6214 unprobed;` ·
/// `expose 80 on host 8080;`: a port that clients reach. It is probed before they run. A named one is a method of the
/// handle, `p.web.http()`, that gives the [`Endpoint`](crate::Endpoint). [`Service::tunnel`](crate::Service::tunnel) makes
/// it reachable from the program.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80 as http;
///         expose 53/udp as dns unprobed;
///     }
/// };
/// # let _ = p;
/// ```
pub fn expose(port: impl Into<Port>) {}

/// `ready port;` · `ready http "/path" [on PORT];` · `ready exec [ … ];` · `ready log "text" [times N];` ·
/// `ready image;`, each with `within "60s"`: when clients may run. Without it, when every port answers.
/// [`ready`](super::ready) has the probes.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         ready http "/healthz" within "30s";
///     }
/// };
/// # let _ = p;
/// ```
pub fn ready(probe: Ready) {}

/// `stop "SIGINT" within "10s";`: the signal that ends it, and the grace period before it is killed; by default the
/// image's signal, else SIGTERM, and 10 seconds.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         stop "SIGQUIT" within "20s";
///     }
/// };
/// # let _ = p;
/// ```
pub fn stop(signal: impl AsRef<str>, within: impl IntoDuration) {}

/// `linger "10s";`: how long it keeps running after its last client, for the next one; 10 seconds by default.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         linger "30s";
///     }
/// };
/// # let _ = p;
/// ```
pub fn linger(time: impl IntoDuration) {}

/// `instance EXPR;`: the same definition, another instance, with another host name.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service first {
///         image "redis:7";
///         expose 6379;
///     }
///     service second {
///         image "redis:7";
///         expose 6379;
///         instance "second";
///     }
/// };
/// # let _ = p;
/// ```
pub fn instance(name: impl fmt::Display) {}

/// `shared;`: one instance for all processes of this user that have an equal service; see
/// [`Service::shared`](crate::Service::shared).
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "redis:7";
///         expose 6379;
///         shared;
///     }
/// };
/// # let _ = p;
/// ```
pub fn shared() {}

/// The end of a body, for the macro's shadow.
#[doc(hidden)]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct __end;
