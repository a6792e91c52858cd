//! Services: started, reached, watched.

use std::time::{Duration, Instant};

use super::*;
use crate::engine::ProbeProgress;
use crate::lock::lock;
use crate::model::{Exit, Port};

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_step_reaches_its_service() {
    let engine = engine!();
    let image = engine.image("redis:7").await;
    let (log, heard) = recorder();
    let running = engine.start(service(&image.snapshot, HOST, &["redis-server"]), log).await.unwrap();
    running.wait_ports(&[Port::tcp(6379)], &ProbeProgress::default()).await.unwrap();
    let both = format!("redis-cli -h store ping; redis-cli -h {HOST} ping");
    let mut client = script(&image.snapshot, &both);
    client.links = vec![link(HOST, "store")];
    let (_, output) = engine.run(client).await;
    assert_eq!(text(&output.stdout), "PONG\nPONG\n");
    assert!(text(&lock(&heard).stdout).contains("Ready to accept connections"));

    // No other container can reach it.
    let ping = format!("redis-cli -h store ping; redis-cli -h {HOST} ping");
    let (_, output) = engine.run(script(&image.snapshot, &ping)).await;
    assert!(!text(&output.stdout).contains("PONG"), "{output:?}");

    let asked = engine_args(&["redis-cli", "ping"]);
    let inside = running.exec(&asked).await.unwrap();
    assert_eq!((inside.stdout.as_slice(), inside.exit_code), (&b"PONG\n"[..], 0));
    assert_eq!(running.exec(&engine_args(&["sh", "-c", "exit 3"])).await.unwrap().exit_code, 3);

    running.signal("SIGTERM").await.unwrap();
    assert_eq!(running.wait().await.unwrap(), Exit { code: 0, out_of_memory: false });
    running.signal("SIGTERM").await.unwrap();
    running.remove().await.unwrap();
    running.remove().await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

fn engine_args(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_alias_can_mean_two_services() {
    let engine = engine!();
    let base = engine.image("redis:7").await.snapshot;
    let hosts = ["a123456789abcdefghijklmnop", "b123456789abcdefghijklmnop"];
    let mut running = Vec::new();
    for host in hosts {
        let one = engine.start(service(&base, host, &["redis-server"]), nothing()).await.unwrap();
        one.wait_ports(&[Port::tcp(6379)], &ProbeProgress::default()).await.unwrap();
        one.exec(&engine_args(&["redis-cli", "set", "name", host])).await.unwrap();
        running.push(one);
    }
    let clients = hosts.map(|host| {
        let mut client = script(&base, "redis-cli -h db get name");
        client.links = vec![link(host, "db")];
        client
    });
    let found = futures_util::future::join_all(clients.map(|client| engine.run(client))).await;
    for (host, (_, output)) in hosts.iter().zip(found) {
        assert_eq!(text(&output.stdout).trim(), *host);
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_follows_a_service_that_is_started_anew() {
    let engine = engine!();
    let base = engine.image("redis:7").await.snapshot;
    let first = engine.start(service(&base, HOST, &["redis-server"]), nothing()).await.unwrap();
    first.wait_ports(&[Port::tcp(6379)], &ProbeProgress::default()).await.unwrap();
    let mut client = script(
        &base,
        "redis-cli -h db ping; echo go; i=0; while [ $i -lt 1000 ]; do redis-cli -h db get name 2>/dev/null | grep second && exit; sleep 0.05; i=$((i+1)); done",
    );
    client.links = vec![link(HOST, "db")];
    let prepared = engine.prepare(client).await.unwrap();
    let (sink, heard) = recorder();
    let client = tokio::spawn(prepared.run(sink));
    while !text(&lock(&heard).stdout).contains("go") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The old one is still being removed when the new one is requested.
    drop(first);
    let second = engine.start(service(&base, HOST, &["redis-server"]), nothing()).await.unwrap();
    second.wait_ports(&[Port::tcp(6379)], &ProbeProgress::default()).await.unwrap();
    second.exec(&engine_args(&["redis-cli", "set", "name", "second"])).await.unwrap();
    client.await.unwrap().unwrap();
    assert!(text(&lock(&heard).stdout).ends_with("second\n"), "{heard:?}");
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_is_told_with_its_code_and_log() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let (log, heard) = recorder();
    let failing = ["sh", "-c", "echo fatal: bad config >&2; exit 42"];
    let running = engine.start(service(&base, HOST, &failing), log).await.unwrap();
    let (one, two) = tokio::join!(running.wait(), running.wait());
    assert_eq!(one.unwrap().code, 42);
    assert_eq!(two.unwrap().code, 42);
    assert_eq!(text(&lock(&heard).stderr), "fatal: bad config\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_command_is_told_and_leaves_nothing() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let error = match engine.start(service(&base, HOST, &["no-such-server"]), nothing()).await {
        Ok(running) => running.wait().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("there is no command `no-such-server`"), "{error}");
    let directory = engine.start(service(&base, HOST, &["/etc"]), nothing()).await;
    let error = match directory {
        Ok(running) => running.wait().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("`/etc` cannot be run: Permission denied"), "{error}");
    engine.shared.cleaner.settle(0).await;
    assert_eq!(left(&engine).await, 0, "but the network, which is nobody's for ever");
    engine.close().await.unwrap();
}

/// The delay that a user sees: not an assertion, but a number to look at (`--nocapture`).
#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_ping_takes() {
    let connected = Instant::now();
    let engine = engine!();
    let opened = connected.elapsed();
    let image = engine.image("redis:7").await;
    let began = Instant::now();
    let mut client = step(&image.snapshot, &["redis-cli", "-h", "redis", "ping"]);
    client.links = vec![link(HOST, "redis")];
    let serve = async {
        let running =
            engine.start(service(&image.snapshot, HOST, &["redis-server"]), nothing()).await.unwrap();
        let started = began.elapsed();
        running.wait_ports(&[Port::tcp(6379)], &ProbeProgress::default()).await.unwrap();
        (running, started, began.elapsed())
    };
    let ((running, started, ready), prepared) = tokio::join!(serve, engine.prepare(client));
    let (sink, heard) = recorder();
    let finished = prepared.unwrap().run(sink).await.unwrap();
    let result = began.elapsed();
    assert_eq!(text(&lock(&heard).stdout), "PONG\n");
    let keep = Instant::now();
    let output = lock(&heard).clone();
    testing::keep(finished, key(), output.into()).await;
    let kept = keep.elapsed();
    let end = Instant::now();
    drop(running);
    engine.close().await.unwrap();
    println!(
        "connect and open {opened:?}; service started {started:?}, ready {ready:?}; result {result:?}; kept in {kept:?}; closed in {:?}",
        end.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_inside_may_leave_something_running() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let running = engine.start(service(&base, HOST, &["sleep", "1000"]), nothing()).await.unwrap();
    let began = Instant::now();
    let leaving = running.exec(&engine_args(&["sh", "-c", "sleep 100 & echo done; exit 4"])).await.unwrap();
    assert_eq!((text(&leaving.stdout).as_str(), leaving.exit_code), ("done\n", 4));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    engine.close().await.unwrap();
}
