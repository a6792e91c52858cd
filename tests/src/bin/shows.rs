//! A pipeline of which people see something: what is shown off and on a terminal.

use std::io::Write as _;
use std::time::Duration;

use bowline::Report;
use bowline::prelude::*;
use bowline_tests::nonce;

fn busybox() -> Container {
    Container::from_image("busybox:1.35").env("NONCE", std::env::var("NONCE").unwrap_or_else(|_| nonce()))
}

/// Everything that may become of an item.
#[bowline::main]
async fn ends() -> Result<()> {
    let found = busybox().shell("echo found").named("found");
    let earlier = Session::new();
    earlier.scope(found.sync()).await?;
    earlier.close().await?;
    found.sync().await?;
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis");
    let ping = Container::from_image("redis:7")
        .bind("db", &redis)
        .exec(["redis-cli", "-h", "db", "ping"])
        .named("ping");
    println!("{}", ping.stdout().await?.trim());
    let test = ping
        .shell("echo passing; seq 3000; printf '\\033[2J##[error]x\\n::add-mask::x\\n'; exit 3")
        .named("test");
    let late = Container::from_container(&test).shell("true").named("late");
    let error = late.sync().await.expect_err("a step of it fails");
    println!("{}", error.to_string().lines().next().unwrap_or_default());
    Ok(())
}

/// Steps that take a while, while the program prints.
#[bowline::main]
async fn draws() -> Result<()> {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis");
    let build = busybox()
        .shell("for line in $(seq 9); do echo compiling 漢字 $line; done; printf '\\033[31mred\\033[0m \\033[2J\\033[1;1Hevil\\n'; sleep 5")
        .named("build");
    let lint = busybox().exec(["sleep", "4"]).named("lint");
    let test = Container::from_container(&build).shell("echo it goes wrong; exit 3").named("test");
    println!("the program begins");
    redis.start().await?;
    let tested = tokio::spawn(async move { test.sync().await });
    // So that it is drawn below the other one.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let linted = tokio::spawn(async move { lint.sync().await });
    for number in 1..=3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        println!("line {number} of the program,\nin two lines");
    }
    print!("and a part ");
    std::io::stdout().flush()?;
    linted.await.map_err(Error::other)??;
    let result = tested.await.map_err(Error::other)?;
    println!("of a line");
    result
}

/// A step that writes for as long as it is let.
#[bowline::main]
async fn writes() -> Result<()> {
    println!("it begins");
    busybox().exec(["sh", "-c", "while true; do echo a line; sleep 0.1; done"]).named("endless").sync().await
}

fn main() -> Result<()> {
    for (report, name) in [
        (Report::Html, "REPORT_HTML"),
        (Report::JUnit, "REPORT_JUNIT"),
        (Report::ChromeTrace, "REPORT_TRACE"),
        (Report::Events, "REPORT_EVENTS"),
    ] {
        if let Some(path) = std::env::var_os(name) {
            report.write_to(path)?;
        }
    }
    match std::env::args().nth(1).as_deref() {
        Some("ends") => ends(),
        Some("draws") => draws(),
        Some("writes") => writes(),
        other => panic!("{other:?}"),
    }
}
