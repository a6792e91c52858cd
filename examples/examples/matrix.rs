//! The same test on several versions: a `for` around a container gives a `Vec` of them, which run side by side.
//!
//! images: redis:7, redis:8

use bowline::prelude::*;

#[bowline::main]
async fn main() -> Result<()> {
    let p = pipeline! {
        for version in ["7", "8"] {
            /// A server of this version …
            service redis {
                image format!("redis:{version}");
                expose 6379;
            }
            /// … and a client that asks which it is.
            container test {
                image "redis:7";
                bind redis;
                shell "redis-cli -h redis info server | grep redis_version";
            }
        }
    };
    // `p.test` is a `Vec`: all of them at once.
    let runs: Vec<_> = p.test.iter().map(|test| tokio::spawn(test.stdout())).collect();
    for run in runs {
        print!("{}", run.await.expect("a test does not panic")?);
    }
    Ok(())
}
