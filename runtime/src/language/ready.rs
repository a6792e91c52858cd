//! The probes after `ready`. Each takes `within "60s"`; all of them have to succeed, and so do those of the ports.

use crate::{Argument, PortSelector};

/// `ready port;`: when every exposed port answers.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         ready port within "2m";
///     }
/// };
/// # let _ = p;
/// ```
pub fn port() {}

/// `ready http "/path";` · `… on PORT`: when a page answers with a status below 400.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80 as http;
///         expose 81 as admin;
///         ready http "/healthz" on admin;
///     }
/// };
/// # let _ = p;
/// ```
pub fn http(path: impl Into<String>, on: impl Into<PortSelector>) {}

/// `ready exec [ … ];`: when a program in the service exits with 0.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service db {
///         image "postgres:15";
///         env POSTGRES_HOST_AUTH_METHOD = "trust";
///         expose 5432;
///         ready exec ["pg_isready", "-U", "postgres"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn exec<A: Argument>(args: impl IntoIterator<Item = A>) {}

/// `ready log "text";` · `… times N`: when the service has written a text, or has written it N times.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         ready log "started" times 2;
///     }
/// };
/// # let _ = p;
/// ```
pub fn log(text: impl Into<String>, times: u32) {}

/// `ready image;`: when the image's own `HEALTHCHECK` succeeds.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         ready image;
///     }
/// };
/// # let _ = p;
/// ```
pub fn image() {}

/// The end of a body, for the macro's shadow.
#[doc(hidden)]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct __end;
