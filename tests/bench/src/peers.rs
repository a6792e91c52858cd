//! The tools people use today, used as their own documentation shows.

use std::time::Duration;

use testcontainers::core::WaitFor;
use testcontainers::core::wait::ExitWaitStrategy;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{GenericImage, ImageExt as _};

use crate::raw::{LABEL, PING};
use crate::{Result, Run, say_result};

/// The Docker command line, as a careful author would use it: no exec to poll with, no sleep that is longer than
/// need be, everything removed at the end.
pub(crate) const DOCKER_CLI: &str = r#"
set -euo pipefail
label=bowline-bench.run=$1
cleanup() { docker rm -f -v "$1-service" >/dev/null && docker network rm "$1" >/dev/null; }
trap 'cleanup "$1"' EXIT
docker network create --label "$label" "$1" >/dev/null
docker run -d --name "$1-service" --label "$label" --network "$1" --network-alias redis-srv redis:7 >/dev/null
address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1-service")
until (exec 3<>"/dev/tcp/$address/6379") 2>/dev/null; do sleep 0.005; done
answer=$(docker run --rm --label "$label" --network "$1" redis:7 redis-cli -h redis-srv ping)
echo "result $answer"
"#;

/// `docker-compose`, whichever version that is.
pub(crate) const COMPOSE_V1: &str = r#"
set -euo pipefail
compose() { docker-compose --project-name "$name" --file "$file" "$@"; }
name=$1 file=$2
trap 'compose down --volumes 2>&1' EXIT
answer=$(compose run --rm -T client)
echo "result $answer"
"#;

/// Compose as a plugin of the Docker command line.
pub(crate) const COMPOSE_V2: &str = r#"
set -euo pipefail
compose() { docker compose --project-name "$name" --file "$file" "$@"; }
name=$1 file=$2
trap 'compose down --volumes 2>&1' EXIT
answer=$(compose run --rm -T client)
echo "result $answer"
"#;

/// The OCI runtime that Docker uses, without Docker: with everything in place but the process.
pub(crate) const RUNC: &str = r#"
set -euo pipefail
name=$1 command=$(cat "$2") dir=$(mktemp -d)
trap 'umount "$dir/rootfs" || true; rm -rf "$dir"' EXIT
mkdir "$dir"/{rootfs,lower,upper,work}
container=$(docker create --label "bowline-bench.run=$name" busybox:1.35)
docker export "$container" | tar -x -C "$dir/lower"
docker rm "$container" >/dev/null
cd "$dir"
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work rootfs
runc spec
sed -i 's/"terminal": true/"terminal": false/; s/"readonly": true/"readonly": false/; s|"sh"$|"sh", "-c", "'"$command"'"|' config.json
echo begin
runc run "$name" </dev/null
echo 'result kept'
"#;

/// The same for a service and its client, which share a network that is prepared as well.
pub(crate) const RUNC_REDIS: &str = r#"
set -euo pipefail
name=$1 dir=$(mktemp -d)
cleanup() {
  runc delete --force "$name-service" || true
  umount "$dir"/{service,client}/rootfs || true
  ip netns delete "$name" || true
  rm -rf "$dir"
}
trap cleanup EXIT
mkdir "$dir/lower"
container=$(docker create --label "bowline-bench.run=$name" redis:7)
docker export "$container" | tar -x -C "$dir/lower"
docker rm "$container" >/dev/null
ip netns add "$name"
ip -n "$name" link set lo up
# bundle NAME ARGUMENTS, as JSON
bundle() {
  mkdir -p "$dir/$1"/{rootfs,upper,work}
  cd "$dir/$1"
  mount -t overlay overlay -o "lowerdir=$dir/lower,upperdir=upper,workdir=work" rootfs
  runc spec
  sed -i 's/"terminal": true/"terminal": false/; s/"readonly": true/"readonly": false/; s|"sh"$|'"$2"'|
    s|"type": "network"|"type": "network", "path": "/run/netns/'"$name"'"|' config.json
}
bundle service '"redis-server"'
bundle client '"redis-cli", "ping"'
echo begin
cd "$dir/service"
runc run --detach "$name-service" </dev/null >"$dir/log" 2>&1
nsenter --net="/run/netns/$name" bash -c 'until (exec 3<>/dev/tcp/127.0.0.1/6379) 2>/dev/null; do sleep 0.002; done'
cd "$dir/client"
answer=$(runc run "$name-client" </dev/null)
echo "result $answer"
"#;

macro_rules! compose_file {
    ($interval:literal) => {
        concat!(
            r#"services:
  redis-srv:
    image: redis:7
    healthcheck:
      test: ["CMD", "redis-cli", "ping"]
      interval: "#,
            $interval,
            r#"
      timeout: 5s
      retries: 100
  client:
    image: redis:7
    command: ["redis-cli", "-h", "redis-srv", "ping"]
    depends_on:
      redis-srv:
        condition: service_healthy
"#
        )
    };
}

pub(crate) const COMPOSE_1S: &str = compose_file!("1s");
pub(crate) const COMPOSE_100MS: &str = compose_file!("100ms");
pub(crate) const COMPOSE_LEAVES_OUT: &str = "ready is a command in the image, asked every interval for as long as the service lives; removes nothing after SIGKILL";

/// testcontainers-rs: waits for a line in the log, as its own modules do.
pub(crate) fn testcontainers(run: &Run) -> Result<()> {
    // What `#[tokio::test(flavor = "multi_thread")]` and `#[tokio::main]` make.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let service = GenericImage::new("redis", "7")
            .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
            .with_label(LABEL, &run.id)
            .with_network(&run.id)
            .with_container_name(format!("{}-redis-srv", run.id))
            .start()
            .await?;
        let host = format!("{}-redis-srv", run.id);
        let command = PING.map(|word| if word == "redis-srv" { host.as_str() } else { word });
        let client = GenericImage::new("redis", "7")
            .with_wait_for(WaitFor::exit(ExitWaitStrategy::new().with_exit_code(0)))
            .with_label(LABEL, &run.id)
            .with_network(&run.id)
            .with_startup_timeout(Duration::from_mins(1))
            .with_cmd(command)
            .start()
            .await?;
        let output = client.stdout_to_vec().await?;
        say_result(&String::from_utf8_lossy(&output))?;
        client.rm().await?;
        service.rm().await?;
        Ok(())
    })
}
