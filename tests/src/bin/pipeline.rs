//! A pipeline as a process of its own, for tests that end, cut off or switch off whole pipelines.

use bowline::prelude::*;
use bowline::Session;
use bowline_tests::{fetch, nonce, server};

/// Starts a service and a step that runs for long, says so, and waits for the end.
async fn run_for_long() -> Result<()> {
    let web = server("web");
    web.start().await?;
    let long = Container::from_image("busybox:1.35").env("NONCE", nonce()).exec(["sleep", "600"]);
    let session = Session::current();
    println!("session {}", session.id());
    let running = session.clone();
    tokio::task::spawn_blocking(move || {
        let up = || bowline_tests::containers(&running).len() >= 2;
        bowline_tests::eventually("the step runs", std::time::Duration::from_secs(60), up);
        println!("running");
    });
    long.sync().await
}

#[bowline::main]
async fn owned() -> Result<()> {
    run_for_long().await
}

#[bowline::main]
async fn panics() {
    server("web").start().await.expect("it starts");
    println!("session {}", Session::current().id());
    panic!("as the test wants it");
}

#[tokio::main]
async fn plain() -> Result<()> {
    println!("session {}", Session::current().id());
    let web = server("web");
    print!("{}", fetch("www", &web, "/env").stdout().await?);
    Ok(())
}

#[tokio::main]
async fn plain_for_long() -> Result<()> {
    run_for_long().await
}

#[bowline::main]
async fn ping() -> Result<()> {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379u16).named("redis");
    let ping = Container::from_image("redis:7").bind("db", &redis).exec(["redis-cli", "-h", "db", "ping"]);
    print!("{}", ping.stdout().await?);
    Ok(())
}

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("hostname") => {
            println!("{}", Service::from_image("redis:7").env("A", "1").expose(6379u16).hostname());
            Ok(())
        }
        Some("owned") => owned(),
        Some("panics") => {
            panics();
            Ok(())
        }
        Some("plain") => plain(),
        Some("plain-for-long") => plain_for_long(),
        Some("ping") => ping(),
        other => panic!("no such pipeline: {other:?}"),
    }
}
