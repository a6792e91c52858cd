//! Compose files: all keys of the specification's top level and of a service, and those within them that people write
//! as statements (compose-spec, `schema/compose-spec.json`).

use super::{Row, rows};

rows! {
    // The top level.
    "services" = ["service db { ... }", "bind db;"] "each service is an item of its own";
    "volumes" = ["cache data;", "mount data at \"/data\";"]
        "a `cache` keeps what is in it; files of this machine are a `dir`, `dir src = host(\"./src\");`";
    "networks" = []
        "whoever binds a service reaches it, `bind db as \"db\";`, and nobody else does: there is no network to \
         declare";
    "secrets" = ["secret token = secret::env(\"TOKEN\");", "env TOKEN = &token;", "mount token at \"/token\";"];
    "configs" = ["file config = host_file(\"./app.conf\");", "mount config at \"/etc/app.conf\" readonly;"]
        "text is written by `file \"/etc/app.conf\" = \"text\";`";
    "models" = []
        "a model's server is a `service`, or `service llm = host_service(8080);` where it runs on this machine";
    "include" = [] "call a function that returns a `Service`, and import it: `service db = database();`";
    "name" = []
        "an item has its name where it is declared, as in `service db { ... }`, and the pipeline as a function: \
         `fn ci() -> Ci;`";
    "version" = [] "the program's `Cargo.lock` says which version of bowline it is";
    "x-" = [] "what several places share is Rust: a `let`, a function, or a `for` around statements";
    // What a service is made of.
    "image" = ["image \"redis:7\";"];
    "build" = ["from base;"]
        "what a Dockerfile does are the statements of a container: `container base { image \"debian:12\"; shell \
         \"make\"; }`";
    "dockerfile" | "dockerfile_inline" = []
        "its instructions are the statements of a `container`, and what starts there says `from` it";
    "context" = ["dir src = host(\"./src\");", "copy src to \"/src\";"];
    "args" = ["let version = 7;"]
        "builds take Rust's variables, and commands their arguments: `exec [\"make\", version];`";
    "target" = ["from base;"] "each stage is a `container` of its own";
    "cache_from" | "cache_to" = [] "steps are cached without being told to; what tools download is kept by a `cache`";
    "no_cache" = ["exec [\"date\"] { uncached; }"];
    "platform" = ["platform \"linux/arm64\";"];
    "platforms" = ["for platform in [\"linux/amd64\", \"linux/arm64\"] { ... }"]
        "with `platform (platform);` in the body";
    "extends" = ["from base;"] "or import what a function returns: `service db = database();`";
    "pull_policy" = []
        "an image that is missing is pulled; one with a digest, `image \"redis@sha256:...\";`, never changes";
    "pull_refresh_after" = [] "an image that is missing is pulled, and none is pulled again";
    "provider" = ["service db = host_service(5432);"] "a server that something else starts is imported";
    // What it runs.
    "command" = ["run [\"program\", \"argument\"];", "exec [\"program\", \"argument\"];"]
        "a service runs it behind the image's entry point";
    "entrypoint" = ["entrypoint [\"program\", \"argument\"];"];
    "environment" = ["env KEY = \"value\";"] "one statement for each variable";
    "env_file" = ["for (key, value) in variables { env (key) = value; }"] "read the file with Rust";
    "label_file" = ["for (key, value) in labels { label (key) = value; }"] "read the file with Rust";
    "working_dir" = ["workdir \"/path\";"];
    "user" = ["user \"name\";"];
    "group_add" = ["user \"name:group\";"] "with one group";
    "init" = [] "an init process that reaps what others leave is always there";
    "stdin_open" = ["exec [\"cat\"] { stdin \"text\"; }"] "a shell for people is `p.test.terminal()`";
    "tty" = [] "a terminal in a container is opened from the program: `p.db.terminal().await?`";
    "attach" | "logging" = [] "errors show the last lines of services, and `p.db.logs().await?` reads all";
    "post_start" = ["exec [\"migrate\"];"]
        "in a container that binds the service; `Service::prepared` does it once for many tests";
    "pre_stop" = ["stop \"SIGINT\" within \"10s\";"] "a service is told to end by its signal alone";
    "develop" = [] "nothing watches files: run the program again, and only what changed runs";
    // When.
    "depends_on" = ["bind db as \"db\";", "after migrate;"]
        "a service that is bound runs, and is ready, before whoever binds it; `after` waits for a container's \
         steps";
    "links" = ["bind db as \"alias\";"];
    "external_links" = ["service db = host_service(5432);", "bind db as \"alias\";"]
        "a server of this machine is imported, and bound like others";
    "condition" = []
        "a service that is bound is ready before its clients run, and `after` waits until a container has \
         succeeded";
    "healthcheck" = ["ready exec [\"pg_isready\"] within \"30s\";", "ready http \"/healthz\";", "ready image;"]
        "exposed ports are probed without being told to";
    "test" = ["ready exec [\"pg_isready\"];"]
        "the command of a health check; exposed ports are probed without being told to";
    "interval" = [] "a service is probed often until it is ready, and not after that";
    "timeout" = ["ready port within \"30s\";", "exec [\"make\"] { timeout \"10m\"; }"]
        "of a service's end it is `stop \"SIGTERM\" within \"10s\";`";
    "retries" = [] "a service is probed until it is ready or its time is over: `ready port within \"60s\";`";
    "start_period" = ["ready port within \"60s\";"] "all of the time until it is ready";
    "start_interval" = [] "a service is probed often until it is ready";
    "disable" = ["expose 8080 unprobed;"] "for a port that opens late or never";
    "restart" | "restart_policy" = []
        "a service starts just before its first client, and ends after its last; one that fails while it is used \
         is an error that shows what it wrote";
    "profiles" = ["if condition { ... }"] "what no result needs is not started at all";
    "stop_signal" = ["stop \"SIGINT\";"];
    "stop_grace_period" = ["stop \"SIGTERM\" within \"10s\";"];
    "scale" | "replicas" = ["instance \"second\";"]
        "each instance is a service of its own: `for i in 0..3 { service node { ... instance i; } }`";
    "deploy" = []
        "its limits are statements, `limit cpu 2.0;` and `limit memory \"512MiB\";`; several instances are \
         services of their own, with `instance`";
    "endpoint_mode" = [] "each service has one address, which `bind` names";
    "mode" = [] "each service is one instance, and several are services of their own, with `instance`";
    "placement" = [] "containers run where the engine is: `DOCKER_HOST` and `DOCKER_CONTEXT` say which";
    "update_config" | "rollback_config" = [] "nothing is deployed: a definition that changed is another service";
    // The network.
    "ports" = ["expose 8080 on host 8080;", "expose 8080;"]
        "clients that bind the service need no port of this machine; `p.web.tunnel()` forwards one to the program";
    "expose" = ["expose 8080;"] "one statement for each port, without quotes";
    "hostname" = ["hostname \"name\";"] "clients use the alias that they bind";
    "domainname" = ["hostname \"name.example\";"];
    "container_name" = []
        "a container has no name to be found by: clients use the alias that they bind, `bind db as \"db\";`, and \
         `p.db.hostname()` is the same in every run";
    "network_mode" = [] "a container reaches what it binds, and the world";
    "network" = []
        "whoever binds a service reaches it, `bind db as \"db\";`, and nobody else does: there is no network to \
         declare";
    "aliases" = ["bind db as \"alias\";"] "whoever binds a service chooses the alias";
    "ipv4_address" | "ipv6_address" = [] "addresses are given out; use the alias that `bind` gives";
    "extra_hosts" = ["service api = host_service(8080);", "bind api as \"api.example\";"]
        "a server of this machine, or of where it can connect to, is imported and bound";
    "dns" | "dns_opt" | "dns_search" = []
        "names resolve as they do on the engine's machine, and what is bound by its alias";
    "mac_address" = [] "addresses are given out; use the alias that `bind` gives";
    // Files.
    "volumes_from" = ["mount data at \"/data\";"] "of the same `cache`";
    "tmpfs" = ["tmpfs \"/path\";"];
    "read_only" = ["mount src at \"/src\" readonly;"]
        "of what is mounted; nothing that a service writes elsewhere outlives it";
    "shm_size" = ["shm \"256MiB\";"];
    "storage_opt" = [] "file systems are the engine's, and as large as its disk";
    // Limits and rights.
    "cpus" | "cpu_count" = ["limit cpu 2.0;"];
    "cpu_quota" | "cpu_period" | "cpu_percent" = ["limit cpu 0.5;"] "in processors";
    "cpu_shares" = ["limit cpu 0.5;"] "a limit, and not a share";
    "cpu_rt_period" | "cpu_rt_runtime" = [] "nothing runs in real time; `limit cpu 0.5;` limits processors";
    "cpuset" = ["limit cpu 2.0;"] "a number of processors, and not which";
    "mem_limit" | "memory" = ["limit memory \"512MiB\";"];
    "mem_reservation" = [] "no memory is reserved; `limit memory \"512MiB\";` limits it";
    "mem_swappiness" | "memswap_limit" = [] "`limit memory \"512MiB\";` limits memory, and swapping gives no more";
    "pids" | "pids_limit" = ["limit pids 256;"];
    "ulimits" = ["limit nofile 65536;", "limit core \"0\";"];
    "resources" | "limits" = ["limit cpu 2.0;", "limit memory \"512MiB\";", "limit pids 256;"];
    "reservations" = [] "nothing is reserved; `limit cpu 2.0;` and `limit memory \"512MiB\";` limit";
    "blkio_config" = [] "disks are not limited; `limit cpu 2.0;` and `limit memory \"512MiB\";` limit the rest";
    "oom_kill_disable" | "oom_score_adj" = []
        "a process that needs more than its `limit memory` is killed, which is an error that says so";
    "cap_add" = ["cap add \"NET_ADMIN\";"] "one statement for each capability";
    "cap_drop" = ["cap drop \"ALL\";"] "one statement for each capability";
    "privileged" = ["privileged;"] "without a value";
    "security_opt" = []
        "containers are confined as by Docker's defaults; `cap add`, `cap drop` and `privileged;` change that";
    "sysctls" = ["sysctl \"net.core.somaxconn\" = 1024;"] "one statement for each setting";
    "devices" | "device_cgroup_rules" = ["privileged;"]
        "which gives all devices of the engine's machine; there is none for a single one";
    "gpus" = [] "no device of graphics is given to containers";
    "runtime" | "isolation" = [] "containers run in the engine's default runtime";
    "cgroup" | "cgroup_parent" = [] "each container has a control group of its own, which `limit` sets";
    "ipc" = [] "each container has namespaces of its own; `shm \"256MiB\";` says how much memory it may share";
    "pid" = [] "each container has namespaces of its own; `p.db.exec([...])` runs a command in a running service";
    "uts" = [] "each container has namespaces of its own; `hostname \"name\";` names its machine";
    "userns_mode" = [] "each container has namespaces of its own; `user \"uid:gid\";` says who its processes are";
    "credential_spec" = [] "it is for containers of Windows, and those here are of Linux";
    "use_api_socket" = ["socket \"/var/run/docker.sock\" at \"/var/run/docker.sock\";"];
    // Marks.
    "labels" | "annotations" = ["label \"com.example.team\" = \"storage\";"] "one statement for each label";
}
