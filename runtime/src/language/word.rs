//! The words inside of statements, which join what a statement is about.
//!
//! What stands before one of them is a name, a literal, or a Rust expression in parentheses.

use crate::{IntoDuration, PortSelector};

/// `bind svc as "alias";` · `expose 80 as name;` · `export "/path" as name;`: under which alias a service is reached; by
/// which method of the handle a port or an export.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service web {
///         image "nginx:1.22";
///         expose 80 as http;
///     }
///     container c {
///         image "debian:12";
///         bind web as "www";
///         shell "getent hosts www > /address";
///         export "/address" as address;
///     }
/// };
/// # let _ = p;
/// ```
pub fn r#as(name: &str) {}

/// `mount X at "/path";` · `socket "/host.sock" at "/path";`: where processes find it. The path is absolute.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     cache data;
///     container c {
///         image "debian:12";
///         mount data at "/data";
///         exec ["ls", "/data"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn at(path: impl Into<String>) {}

/// `copy X to "/path";` · `stdout to "/path";` · `stderr to "/path";`: where it is written. The path is absolute.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["ls", "/"] { stdout to "/list"; }
///         exec ["cat", "/list"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn to(path: impl Into<String>) {}

/// `cache NAME locked;` · `cache NAME locked = "key";`: one step or service at a time uses it, of this process or another, and
/// others wait. See [`CacheVolume::locked`](crate::CacheVolume::locked).
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     cache apt locked;
///     container tools {
///         image "debian:12";
///         mount apt at "/var/cache/apt";
///         exec ["apt-get", "update"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn locked() {}

/// `cache NAME private;` · `cache NAME private = "key";`: each has a volume of its own while another uses it, and nobody waits.
/// See [`CacheVolume::private`](crate::CacheVolume::private).
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     cache target private;
///     container build {
///         image "rust:1.95";
///         mount target at "/target";
///         exec ["cargo", "build"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn private() {}

/// `mount X at "/path" readonly;`: processes may not write there.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     cache data;
///     container c {
///         image "debian:12";
///         mount data at "/data" readonly;
///         exec ["ls", "/data"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn readonly() {}

/// `expose 8080 unprobed;`: a port that is not waited for. Without it, a service's clients run once every port answers.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         expose 6214 unprobed;
///     }
/// };
/// # let _ = p;
/// ```
pub fn unprobed() {}

/// `expose 80/tcp;`: the protocol of a port where none is said.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80/tcp;
///     }
/// };
/// # let _ = p;
/// ```
pub fn tcp() {}

/// `expose 53/udp;`: a port for datagrams.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         expose 53/udp unprobed;
///     }
/// };
/// # let _ = p;
/// ```
pub fn udp() {}

/// `ready http "/path" on PORT;`: which port is asked: its name, or a number. Without it, the one that there is.
///
/// `expose 80 on host 8080;`: see [`host`].
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
pub fn on(port: impl Into<PortSelector>) {}

/// `expose 80 on host 8080;` · `expose 80 as http on host 8080;`: the port of the machine at which people find it.
/// [`tunnel().on_host_ports()`](crate::Tunneling::on_host_ports) forwards it from there; other tunnels choose a free port.
/// It is no part of the service's identity.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service web {
///         image "nginx:1.22";
///         expose 80 as http on host 8080;
///     }
/// };
/// assert_eq!(p.web.ports()[0].host(), Some(8080));
/// ```
pub fn host(port: u16) {}

/// `ready log "text" times 2;`: how often the text has to be written. Once, if not said otherwise.
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
pub fn times(count: u32) {}

/// `ready port within "60s";` · `stop "SIGINT" within "10s";`: how long it may take, as a number with a unit (`"500ms"`,
/// `"30s"`, `"2m"`), or a [`Duration`](std::time::Duration) in parentheses.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         expose 80;
///         ready port within "2m";
///         stop "SIGQUIT" within "10s";
///     }
/// };
/// # let _ = p;
/// ```
pub fn within(limit: impl IntoDuration) {}

/// `cap add "NET_ADMIN";`: gives processes a capability, one of capabilities(7), or `"ALL"`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "busybox:1.35";
///         cap add "NET_ADMIN";
///         shell "ip link add test0 type dummy";
///     }
/// };
/// # let _ = p;
/// ```
pub fn add(capability: &str) {}

/// `cap drop "CHOWN";`: takes a capability away, or `"ALL"`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         cap drop "ALL";
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn drop(capability: &str) {}

/// `limit cpu 0.5;`: how many processors each process may keep busy.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         limit cpu 0.5;
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn cpu(processors: f64) {}

/// `limit memory "512MiB";`: how much memory each process may use, as a number with a unit, or a number of bytes.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         limit memory "512MiB";
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn memory(size: &str) {}

/// `limit pids 256;`: how many processes and threads each process may have, itself, those it starts, and one that the
/// engine has before it: 2 to 4,194,304. One more cannot be started.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         limit pids 256;
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn pids(number: u32) {}

/// `limit nofile 65536;`: how many files each process may have open, 1 or more; where the engine may not allow as many,
/// starting the process is an error.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service s {
///         image "nginx:1.22";
///         limit nofile 65536;
///         expose 80;
///     }
/// };
/// # let _ = p;
/// ```
pub fn nofile(number: u32) {}

/// `limit core "0";`: how large the core file of a process that dies may be: `"0"` for none, a number with a unit, or a number
/// of bytes.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         limit core "0";
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn core(size: &str) {}

/// `expect success;`: the command has to end with 0. So it is if nothing is said.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["true"] { expect success; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn success() {}

/// `expect failure;`: the command must not end with 0.
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
pub fn failure() {}

/// `expect any;`: however the command ends, the next step runs.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["grep", "word", "/etc/hosts"] { expect any; }
///     }
/// };
/// # let _ = p;
/// ```
pub fn any() {}
