//! State that outlives the service: Redis keeps its data on a cache volume.
//!
//! The first session stores a value, tells Redis to save it, and ends; everything is stopped. The second session starts
//! Redis anew, on the same volume, and reads the value back.

use bowline::{Session, prelude::*};

/// Redis on a volume that is kept under the key `example-redis-data`, with one client command.
fn redis_cli(command: &[&str]) -> Container {
    let p = pipeline! {
        cache data = "example-redis-data";
        service redis {
            image "redis:7";
            mount data at "/data";
            expose 6379;
        }
        container client {
            image "redis:7";
            bind redis as "redis-srv";
            // Commands with an effect outside of their own container are no results to be cached: each run is another.
            env RUN = std::process::id();
            exec ["redis-cli", "-h", "redis-srv"].into_iter().chain(command.iter().copied());
        }
    };
    p.client
}

#[bowline::main]
async fn main() -> Result<()> {
    let value = format!("written by {}", std::process::id());

    let first = Session::new();
    first.scope(redis_cli(&["set", "greeting", &value]).sync()).await?;
    first.scope(redis_cli(&["save"]).sync()).await?;
    first.close().await?; // Redis is gone now

    let second = Session::new();
    print!("{}", second.scope(redis_cli(&["get", "greeting"]).stdout()).await?);
    second.close().await
}
