//! The tests of a project on this machine, against a service: here a Python module with its unittest cases.
//!
//! The directory is hashed by content when the tests are asked for, and sent to the engine once. Run again, nothing is
//! started; edit a file below `examples/visits`, and its tests run again.
//!
//! Run it with `examples/run host_directory`.

use bowline::prelude::*;

/// The package's directory, wherever the program is started.
const VISITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/visits");

#[bowline::main]
async fn main() -> Result<()> {
    let p = pipeline! {
        /// What is tested; what git ignores stays here.
        dir source = host(VISITS).exclude(["**/__pycache__"]);
        service redis {
            image "redis:7";
            expose 6379;
        }
        container tests {
            image "python:3.11";
            bind redis;
            mount source at "/src" readonly;
            workdir "/src";
            env REDIS_HOST = "redis";
            env PYTHONDONTWRITEBYTECODE = 1;
            exec ["python3", "-m", "unittest", "-v"];
        }
    };
    print!("{}", p.tests.stderr().await?); // where unittest writes its report
    Ok(())
}
