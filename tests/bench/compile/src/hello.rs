//! A first program: a client pings a Redis. Compiled only.

use std::path::Path;
use std::time::Duration;

use crate::cargo::Project;
use crate::{Result, median, runtime};

const BOWLINE: &str = r#"
use bowline::prelude::*;

#[bowline::main]
async fn main() -> Result<()> {
    let p = pipeline! {
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
    print!("{}", p.ping.stdout().await?);
    Ok(())
}
"#;

const TESTCONTAINERS: &str = r#"
use testcontainers::core::WaitFor;
use testcontainers::core::wait::ExitWaitStrategy;
use testcontainers::runners::AsyncRunner;
use testcontainers::{GenericImage, ImageExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _redis = GenericImage::new("redis", "7")
        .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
        .with_network("hello")
        .with_container_name("redis-srv")
        .start()
        .await?;
    let ping = GenericImage::new("redis", "7")
        .with_wait_for(WaitFor::exit(ExitWaitStrategy::new().with_exit_code(0)))
        .with_network("hello")
        .with_cmd(["redis-cli", "-h", "redis-srv", "ping"])
        .start()
        .await?;
    print!("{}", String::from_utf8(ping.stdout_to_vec().await?)?);
    Ok(())
}
"#;

const DAGGER: &str = r#"
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    dagger_sdk::connect(|client| async move {
        let redis = client.container().from("redis:7").with_exposed_port(6379).as_service();
        let ping = client
            .container()
            .from("redis:7")
            .with_service_binding("redis-srv", redis)
            .with_exec(vec!["redis-cli", "-h", "redis-srv", "ping"]);
        print!("{}", ping.stdout().await?);
        Ok(())
    })
    .await?;
    Ok(())
}
"#;

const TOKIO: &str = "tokio = { version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }\n";

pub(crate) fn measure(at: &Path, rounds: usize) -> Result<()> {
    let bowline = format!("[dependencies]\nbowline = {{ path = {:?} }}\n", runtime());
    let testcontainers = format!("[dependencies]\ntestcontainers = \"0.28\"\n{TOKIO}");
    let dagger = format!("[dependencies]\ndagger-sdk = \"0\"\n{TOKIO}");
    let mut programs = [
        ("bowline", Project::create(at, "hello-bowline", &bowline, BOWLINE)?),
        ("testcontainers", Project::create(at, "hello-testcontainers", &testcontainers, TESTCONTAINERS)?),
        ("dagger-sdk", Project::create(at, "hello-dagger", &dagger, DAGGER)?),
    ];
    let mut times: [(Vec<Duration>, Vec<Duration>); 3] = Default::default();
    for round in 1..=rounds {
        for ((name, project), (clean, incremental)) in programs.iter_mut().zip(&mut times) {
            eprintln!("round {round} of {rounds}: {name}");
            project.clean()?;
            clean.push(project.cargo(&["build", "--offline"])?.1);
            for _ in 0..5 {
                project.edit()?;
                incremental.push(project.cargo(&["build", "--offline"])?.1);
            }
        }
    }
    println!(
        "A first program, dev builds: medians of {rounds} clean ones and of {} after an edit\n",
        rounds * 5
    );
    println!("                  version          crates  clean build  ratio  after an edit  ratio");
    let mut first = None;
    for ((name, project), (clean, incremental)) in programs.iter().zip(times) {
        let (clean, edited) = (median(clean).as_secs_f64(), median(incremental).as_secs_f64());
        let (first_clean, first_edited) = *first.get_or_insert((clean, edited));
        println!(
            "  {name:<15} {:<16} {:>6} {clean:>10.1} s {:>6.2} {edited:>12.2} s {:>6.2}",
            version(project, name)?,
            project.crates()?,
            clean / first_clean,
            edited / first_edited,
        );
    }
    println!(
        "\n  crates: all that are compiled for the program, without itself. {} processors.",
        processors()
    );
    Ok(())
}

fn version(project: &Project, name: &str) -> Result<String> {
    let (text, _) = project.cargo(&["tree", "--offline", "--quiet", "--prefix", "none", "--depth", "1"])?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    Ok(line.unwrap_or("?").trim_start_matches('v').to_owned())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
