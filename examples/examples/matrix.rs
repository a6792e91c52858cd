//! The same test on several versions: a `for` around a container gives a `Vec` of them, which run side by side.
//!
//! images: redis:7, python:3.11, debian:12

use bowline::prelude::*;

#[bowline::main]
async fn main() -> Result<()> {
    let versions = [("python:3.11", "python3 --version"), ("redis:7", "redis-server --version"), ("debian:12", "cat /etc/debian_version")];

    let p = pipeline! {
        service redis {
            image "redis:7";
            expose 6379;
        }
        for (version, command) in versions {
            container test {
                image version;
                bind redis;
                if version.starts_with("python") {
                    env PYTHONDONTWRITEBYTECODE = 1;
                }
                shell command;
            }
        }
    };
    // One Redis for all of them; the tests run at once.
    let mut runs = Vec::new();
    for (test, (version, _)) in p.test.iter().cloned().zip(versions) {
        runs.push((version, tokio::spawn(async move { test.stdout().await })));
    }
    for (version, run) in runs {
        let output = run.await.expect("a test does not panic")?;
        println!("{version:<12} {}", output.trim());
    }
    Ok(())
}
