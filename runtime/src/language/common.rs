//! The statements that services and containers share.

use crate::{Argument, Container, CopySource, EnvValue, Mount, Service};

/// `image "redis:7";`: the image that it starts from. It is the first statement of a body.
///
/// Also an image in files of this machine, as containers-transports(5) writes them: `image "oci:./dir";` for an OCI image
/// layout, `image "docker-archive:./x.tar";` for what `docker save` writes. The path starts with `./` or `/`; where there
/// are several images `:name` behind it says which.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn image(reference: impl Into<String>) {}

/// `from NAME;`: starts from what another container left, instead of an image.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container base {
///         image "debian:12";
///         shell "date > /date";
///     }
///     container c {
///         from base;
///         exec ["cat", "/date"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn from(other: &Container) {}

/// `name "pg15";`: the name that logs, plans, errors and a [command line](crate::Item) have for it. By default it is the word
/// behind `service` or `container`, and in a `for` that word and a number: `db.0`, `db.1`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     for version in [14, 15] {
///         service db {
///             image format!("postgres:{version}");
///             name format!("pg{version}");
///             expose 5432;
///         }
///         container c {
///             image "debian:12";
///             bind db;
///             exec ["true"];
///         }
///     }
/// };
/// assert_eq!((p.db[1].name(), p.c[1].name()), (Some("pg15"), Some("c.1")));
/// ```
pub fn name(name: impl Into<String>) {}

/// `env KEY = VALUE;`: sets an environment variable, from here on. A [`Secret`](crate::Secret) is given by reference
/// and appears in no plan.
///
/// A bare word is the key itself. A key that comes from Rust stands in parentheses, and one in lower case in quotes.
///
/// ```
/// # use bowline::prelude::*;
/// # let more = [("MODE", "fast")];
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         env GREETING = "hello";
///         env COUNT = 5;
///         env "npm_config_color" = "false";
///         for (key, value) in more {
///             env (key) = value;
///         }
///         shell "echo $GREETING";
///     }
/// };
/// # let _ = p;
/// ```
pub fn env(key: impl Into<String>, value: impl Into<EnvValue>) {}

/// `platform "linux/arm64";`: which platform's variant of the image is meant, where it is not the engine's own.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         platform "linux/arm64";
///         exec ["uname", "-m"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn platform(platform: impl Into<String>) {}

/// `label "com.example.team" = VALUE;`: marks the containers that commands run in, and images that the container is
/// [published](crate::Container::publish) as. No part of an identity.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         label "com.example.team" = "storage";
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn label(key: impl Into<String>, value: impl Argument) {}

/// `workdir "/path";`: the directory that commands start in, from here on.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         workdir "/srv";
///         exec ["pwd"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn workdir(path: impl Into<String>) {}

/// `user "name";` · `user "uid:gid";`: who runs the commands, from here on.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         user "nobody";
///         exec ["id"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn user(user: impl Into<String>) {}

/// `file "/path" = CONTENTS;`: writes a file. Its directories are made.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         file "/etc/motd" = "hello";
///         exec ["cat", "/etc/motd"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn file(path: impl Into<String>, contents: impl AsRef<[u8]>) {}

/// `mount X at "/path";` · `mount X at "/path" readonly;`: a cache, a secret (a file in memory), or a private copy of a
/// dir or file, in the place of what is at the path. A dir or file is the container's own from there on, and goes on with
/// it. What is mounted `readonly` nobody writes to, and it is no part of what the container leaves. A path is mounted
/// once, and a mount inside of another stands after it.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     cache data;
///     secret token = secret::env("API_TOKEN");
///     container c {
///         image "debian:12";
///         mount data at "/data";
///         mount token at "/run/secrets/token";
///         shell "fetch --token-file /run/secrets/token >> /data/log";
///     }
/// };
/// # let _ = p;
/// ```
pub fn mount(source: impl Into<Mount>, path: impl Into<String>) {}

/// `copy NAME to "/path";`: copies a directory's contents or a file into the file system, beside what is there, where it
/// stays. A file goes into a directory where the path ends in `/`.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container build {
///         image "debian:12";
///         shell "mkdir /out && date > /out/date";
///         export "/out/" as all;
///     }
///     container c {
///         image "debian:12";
///         copy (build.directory("/out")) to "/srv";
///         exec ["cat", "/srv/date"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn copy(source: impl Into<CopySource>, to: impl Into<String>) {}

/// `bind svc as "alias";` · `bind svc;`: makes a service reachable under an alias; its own name, with `_` written `-`,
/// by default. It runs and is ready before the first step after this.
///
/// An alias that comes from Rust stands in parentheses: `bind db as (alias);`. Who renames a service renames its default
/// alias too, and what connects to the old one no longer finds it: an alias that commands or files name is best written
/// out.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service redis {
///         image "redis:7";
///         expose 6379;
///     }
///     container ping {
///         image "redis:7";
///         bind redis as "db";
///         exec ["redis-cli", "-h", "db", "ping"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn bind(service: &Service, alias: impl Into<String>) {}

/// `entrypoint ["program", …];`: replaces the image's entry point, which a service's command runs behind.
/// `entrypoint [];` takes it away.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service web {
///         image "nginx:1.22";
///         entrypoint ["nginx", "-g", "daemon off;"];
///         run ["-q"];
///         expose 80;
///     }
/// };
/// # let _ = p;
/// ```
pub fn entrypoint<A: Argument>(args: impl IntoIterator<Item = A>) {}

/// `hostname "name";`: the name that processes see as their own machine's.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         hostname "builder";
///         exec ["uname", "-n"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn hostname(name: impl Into<String>) {}

/// `privileged;`: gives the processes all capabilities and devices of the engine's machine.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         privileged;
///         exec ["mount", "-t", "tmpfs", "none", "/mnt"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn privileged() {}

/// `shm "256MiB";`: how much may be at `/dev/shm`, where programs share memory: a number with a unit, or a number of bytes;
/// 64 MiB by default. As a limit it is a part of an identity only where a command may fail.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service db {
///         image "postgres:15";
///         shm "256MiB";
///         expose 5432;
///     }
/// };
/// # let _ = p;
/// ```
pub fn shm(size: &str) {}

/// `sysctl "net.core.somaxconn" = 1024;`: one of the kernel's settings, of those that a container has for itself: all of
/// `net.` and `fs.mqueue.`, and those of System V's messages, semaphores and shared memory (`kernel.msgmax`, `kernel.sem`,
/// `kernel.shmmax` …). It is a part of the identity.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     service web {
///         image "nginx:1.22";
///         sysctl "net.core.somaxconn" = 1024;
///         expose 80;
///     }
/// };
/// # let _ = p;
/// ```
pub fn sysctl<A: Argument>(name: impl Into<String>, value: A) {}

/// `cap add "NET_ADMIN";` · `cap drop "ALL";`: gives processes a capability or takes one away, from here on; of each the last
/// that is said counts. Over what it is, and what an engine cannot give, [`Container::cap_add`](crate::Container::cap_add)
/// says. It is a part of the identity.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "busybox:1.35";
///         cap drop "ALL";
///         cap add "NET_ADMIN";
///         shell "ip link add test0 type dummy";
///     }
/// };
/// # let _ = p;
/// ```
pub fn cap(change: &str, capability: impl AsRef<str>) {}

/// `tmpfs "/path";`: a file system in memory, empty for every command. It is no part of what the container leaves.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         tmpfs "/scratch";
///         shell "date > /scratch/now";
///     }
/// };
/// # let _ = p;
/// ```
pub fn tmpfs(path: impl Into<String>) {}

/// `socket "/host.sock" at "/path";`: a unix socket of the engine's machine, for the commands to connect to.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         socket "/run/agent.sock" at "/run/agent.sock";
///         exec ["test", "-S", "/run/agent.sock"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn socket(host: impl Into<String>, at: impl Into<String>) {}

/// `limit cpu 0.5;` · `limit memory "512MiB";` · `limit pids 256;` · `limit nofile 65536;` · `limit core "0";`: what each
/// process may use, with those it starts; open files and core files are those of each alone. A limit is a part of an identity
/// only where a command may fail (`expect any`, `expect failure`): the end that it brings is a result there.
///
/// ```
/// # use bowline::prelude::*;
/// let p = pipeline! {
///     container c {
///         image "debian:12";
///         limit cpu 0.5;
///         limit memory "512MiB";
///         limit pids 256;
///         limit nofile 65536;
///         limit core "0";
///         exec ["true"];
///     }
/// };
/// # let _ = p;
/// ```
pub fn limit(resource: &str, amount: impl Into<String>) {}
