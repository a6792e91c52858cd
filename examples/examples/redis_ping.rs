//! The smallest pipeline: a client that needs a Redis.
//!
//! Nothing runs until `stdout()` is awaited; then Redis is started, probed until it accepts connections, and the client
//! runs. When the program ends, nothing is left. A second run finds the answer in the cache and starts no container.
//!
//! Run it with `examples/run redis_ping`, or `cargo run --example redis_ping` where Docker has the image.

use bowline::prelude::*;

#[bowline::main]
async fn main() -> Result<()> {
    let p = pipeline! {
        /// The store under test.
        service redis {
            image "redis:7";
            expose 6379;
        }
        container ping {
            image "redis:7";
            bind redis as "redis-srv";
            exec ["redis-cli", "-h", "redis-srv", "ping"];
        }
    };
    print!("{}", p.ping.stdout().await?); // PONG: nothing ran before this line
    Ok(())
}
