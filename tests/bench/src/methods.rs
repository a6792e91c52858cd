//! What is compared.

use crate::{Result, Run, ours, peers, raw, raw_chain, raw_second, suites, tunnels};

/// One way to do what a scenario asks for.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) scenario: &'static str,
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) way: Way,
    /// What it does not do that another way does.
    pub(crate) leaves_out: &'static str,
}

/// What a method is in its scenario's ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The engine's bare API, with containers that only reach each other: the fastest of these is the floor.
    Raw,
    /// What the ratios are about.
    Ours,
    /// Finds what its first round left, which is removed at the very end.
    Cached,
    Other,
}

#[derive(Debug)]
pub(crate) enum Way {
    /// A hidden sub-command of this program.
    Here(fn(&Run) -> Result<()>),
    /// Bash, with the run's name as `$1` and a file of this text as `$2`.
    Script { script: &'static str, file: &'static str, tool: Tool },
}

/// What has to be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Docker,
    DockerCompose,
    ComposePlugin,
    Runc,
}

impl Tool {
    /// The command that says its version.
    pub(crate) fn version_command(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["docker", "--version"],
            Self::DockerCompose => &["docker-compose", "version", "--short"],
            Self::ComposePlugin => &["docker", "compose", "version", "--short"],
            Self::Runc => &["runc", "--version"],
        }
    }
}

impl Method {
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.scenario, self.name)
    }
}

pub(crate) fn find(full_name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.full_name() == full_name)
}

/// The scenarios, in the order of the tables.
pub(crate) const SCENARIOS: [(&str, &str); 13] = [
    (
        "redis",
        "start redis, wait until it is ready, `redis-cli -h redis-srv ping` in a second container, tear down",
    ),
    (
        "chain",
        "20 steps of one container, each writes 10 kB and its file system is kept (time from the start)",
    ),
    ("second", "one more client of a redis that is running (time from when the first client is done)"),
    ("step", "one step that does nothing, its file system kept (time from when one before it is done)"),
    ("hundred", "100 steps that do nothing and are of nothing but an image, at once (time as above)"),
    ("bytes", "one step that writes 200 MB, its file system kept (time as above)"),
    ("files", "one step that makes 10,000 files, its file system kept (time as above)"),
    ("postgres", "a test connects to a Postgres and asks it something (time from the start)"),
    (
        "fifty",
        "50 tests, as many at once as processors, each with a Postgres of its own that 100 statements have migrated",
    ),
    ("tunnel-bulk", "2 GiB of a service in Python over one connection (time from when another one was made)"),
    ("tunnel-trips", "10,000 round trips of a byte over one connection (time as above)"),
    ("tunnel-connects", "1,000 connections with a round trip each, one after another (time as above)"),
    ("tunnel-many", "100 connections at once that get 20 MiB each (time as above)"),
];

const NATIVE: &str = "no daemon; containers reach the world by TCP only";

const TESTCONTAINERS: &str = "ready is two log lines, not a probe; kills; removes nothing after a signal";
const DIRECT: &str = "the container's own address: works only where the engine's network is the machine's";
const DIRECT_NATIVE: &str =
    "the service's own address, from within the services' network: no other program is there";

const NO_SAFETY_NET: &str =
    "kills the service instead of stopping it; removes nothing after an error or a signal";

const fn here(
    scenario: &'static str,
    name: &'static str,
    role: Role,
    run: fn(&Run) -> Result<()>,
    leaves_out: &'static str,
) -> Method {
    Method { scenario, name, role, way: Way::Here(run), leaves_out }
}

const fn script(
    name: &'static str,
    tool: Tool,
    script: &'static str,
    file: &'static str,
    leaves_out: &'static str,
) -> Method {
    Method { scenario: "redis", name, role: Role::Other, way: Way::Script { script, file, tool }, leaves_out }
}

/// Only the process: the image is unpacked and the overlay mounted before, and nothing is found again.
const fn runc(scenario: &'static str, command: &'static str) -> Method {
    Method {
        scenario,
        name: "runc-prepared",
        role: Role::Raw,
        way: Way::Script { script: peers::RUNC, file: command, tool: Tool::Runc },
        leaves_out: "everything but the container: image and overlay are prepared, no network, nothing is kept under a name",
    }
}

pub(crate) static METHODS: &[Method] = &[
    here("redis", "raw-sequential", Role::Raw, raw::sequential, NO_SAFETY_NET),
    here("redis", "raw-concurrent", Role::Raw, raw::concurrent, NO_SAFETY_NET),
    here("redis", "raw-by-events", Role::Raw, raw::by_events, NO_SAFETY_NET),
    here(
        "redis",
        "raw-bridge",
        Role::Other,
        raw::default_bridge,
        "NOT ISOLATED: everybody's containers share the default bridge, and the link adds REDIS_SRV_* variables; \
         kills, removes nothing after an error",
    ),
    here(
        "redis",
        "raw-all-promises",
        Role::Other,
        raw::all_promises,
        "what bowline promises, by hand: init processes, a private alias, SIGTERM first, the result kept; \
         still removes nothing after an error or a signal",
    ),
    script(
        "docker-cli",
        Tool::Docker,
        peers::DOCKER_CLI,
        "",
        "kills the service; removes nothing after SIGKILL",
    ),
    here(
        "redis",
        "testcontainers-rs",
        Role::Other,
        peers::testcontainers,
        "ready is a log line, not a port; kills; removes nothing after a signal or a failed start",
    ),
    script(
        "docker-compose-1s",
        Tool::DockerCompose,
        peers::COMPOSE_V1,
        peers::COMPOSE_1S,
        peers::COMPOSE_LEAVES_OUT,
    ),
    script(
        "docker-compose-100ms",
        Tool::DockerCompose,
        peers::COMPOSE_V1,
        peers::COMPOSE_100MS,
        peers::COMPOSE_LEAVES_OUT,
    ),
    script(
        "compose-plugin-1s",
        Tool::ComposePlugin,
        peers::COMPOSE_V2,
        peers::COMPOSE_1S,
        peers::COMPOSE_LEAVES_OUT,
    ),
    script(
        "compose-plugin-100ms",
        Tool::ComposePlugin,
        peers::COMPOSE_V2,
        peers::COMPOSE_100MS,
        peers::COMPOSE_LEAVES_OUT,
    ),
    Method {
        scenario: "redis",
        name: "runc-prepared",
        role: Role::Other,
        way: Way::Script { script: peers::RUNC_REDIS, file: "", tool: Tool::Runc },
        leaves_out: "everything but the two containers: image, overlays and one network for both are prepared, no names, nothing is kept; kills",
    },
    here(
        "redis",
        "bowline",
        Role::Ours,
        ours::redis,
        "nothing of the above; keeps the step's result for the next run",
    ),
    here("redis", "bowline-cached", Role::Cached, ours::redis_cached, "runs nothing: the result is found"),
    here("redis", "bowline-native", Role::Other, ours::redis, NATIVE),
    here(
        "redis",
        "bowline-native-cached",
        Role::Cached,
        ours::redis_cached,
        "runs nothing: the result is found",
    ),
    here(
        "chain",
        "raw-commit",
        Role::Raw,
        raw_chain::commit_each,
        "a container and a commit a step, removals in the background; removes nothing after an error",
    ),
    here(
        "chain",
        "raw-exec-commit",
        Role::Other,
        raw_chain::exec_and_commit_each,
        "one live container, an exec and a commit a step: what a step leaves running goes on in the next one",
    ),
    here(
        "chain",
        "raw-exec",
        Role::Other,
        raw_chain::exec_each,
        "one live container, an exec a step, one commit at the end: no step's file system is kept but the last",
    ),
    here("chain", "bowline", Role::Ours, ours::chain, "nothing of the above"),
    here("chain", "bowline-native", Role::Other, ours::chain, NATIVE),
    here("chain", "bowline-cached", Role::Cached, ours::chain_cached, "runs nothing: the result is found"),
    here("second", "raw", Role::Raw, raw_second::own_network, NO_SAFETY_NET),
    here(
        "second",
        "raw-shared-netns",
        Role::Other,
        raw_second::shared_namespace,
        "NOT ISOLATED: the client is in the service's network namespace, and no alias is possible",
    ),
    here("second", "bowline", Role::Ours, ours::second, "nothing of the above; keeps the result"),
    here("second", "bowline-native", Role::Other, ours::second, NATIVE),
    runc("step", ours::NOTHING),
    here("step", "bowline", Role::Other, ours::step, "nothing of the above"),
    here("step", "bowline-native", Role::Ours, ours::step, NATIVE),
    here("hundred", "bowline-native", Role::Ours, ours::hundred, NATIVE),
    runc("bytes", ours::BYTES),
    here("bytes", "bowline", Role::Other, ours::bytes, "nothing of the above"),
    here("bytes", "bowline-native", Role::Ours, ours::bytes, NATIVE),
    runc("files", ours::FILES),
    here("files", "bowline", Role::Other, ours::files, "nothing of the above"),
    here("files", "bowline-native", Role::Ours, ours::files, NATIVE),
    here("postgres", "testcontainers-rs", Role::Other, suites::testcontainers_first, TESTCONTAINERS),
    here("postgres", "bowline", Role::Ours, suites::first, "nothing of the above"),
    here("postgres", "bowline-native", Role::Other, suites::first, NATIVE),
    here("fifty", "testcontainers-rs", Role::Other, suites::testcontainers_fifty, TESTCONTAINERS),
    here(
        "fifty",
        "testcontainers-rs-databases",
        Role::Other,
        suites::testcontainers_databases,
        "one server for all tests, with databases made of one that was migrated once; as above",
    ),
    here(
        "fifty",
        "bowline",
        Role::Ours,
        suites::fifty,
        "nothing of the above: copies of one that was migrated once",
    ),
    here("fifty", "bowline-again", Role::Other, suites::fifty_again, "the migrated one is there before"),
    here("fifty", "bowline-native", Role::Other, suites::fifty, NATIVE),
    here(
        "fifty",
        "bowline-native-again",
        Role::Other,
        suites::fifty_again,
        "the migrated one is there before",
    ),
    here("tunnel-bulk", "direct", Role::Raw, tunnels::bulk_direct, DIRECT),
    here("tunnel-bulk", "bowline", Role::Ours, tunnels::bulk_tunnel, "nothing"),
    here("tunnel-bulk", "direct-native", Role::Other, tunnels::bulk_direct, DIRECT_NATIVE),
    here("tunnel-bulk", "bowline-native", Role::Other, tunnels::bulk_tunnel, NATIVE),
    here("tunnel-trips", "direct", Role::Raw, tunnels::trips_direct, DIRECT),
    here("tunnel-trips", "bowline", Role::Ours, tunnels::trips_tunnel, "nothing"),
    here("tunnel-trips", "direct-native", Role::Other, tunnels::trips_direct, DIRECT_NATIVE),
    here("tunnel-trips", "bowline-native", Role::Other, tunnels::trips_tunnel, NATIVE),
    here("tunnel-connects", "direct", Role::Raw, tunnels::connects_direct, DIRECT),
    here("tunnel-connects", "bowline", Role::Ours, tunnels::connects_tunnel, "nothing"),
    here("tunnel-connects", "direct-native", Role::Other, tunnels::connects_direct, DIRECT_NATIVE),
    here("tunnel-connects", "bowline-native", Role::Other, tunnels::connects_tunnel, NATIVE),
    here("tunnel-many", "direct", Role::Raw, tunnels::many_direct, DIRECT),
    here("tunnel-many", "bowline", Role::Ours, tunnels::many_tunnel, "nothing"),
    here("tunnel-many", "direct-native", Role::Other, tunnels::many_direct, DIRECT_NATIVE),
    here("tunnel-many", "bowline-native", Role::Other, tunnels::many_tunnel, NATIVE),
];
