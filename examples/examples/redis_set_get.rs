//! Two commands against one service: what the first one stores, the second one finds.
//!
//! Steps that follow each other and share a service are one unit: the service lives from the first to the last of them,
//! and when only the second is edited, the first is run again for its effect, so `get` never meets an empty Redis.

use bowline::prelude::*;

#[bowline::main]
async fn main() -> Result<()> {
    let p = pipeline! {
        service redis {
            image "redis:7";
            expose 6379;
        }
        container client {
            image "redis:7";
            bind redis as "redis-srv";
            exec ["redis-cli", "-h", "redis-srv", "set", "foo", "abc"];
            exec ["redis-cli", "-h", "redis-srv", "get", "foo"];
        }
    };
    print!("{}", p.client.stdout().await?); // abc
    Ok(())
}
