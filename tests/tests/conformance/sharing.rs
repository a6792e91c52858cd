//! How those share a cache who use it at once: a locked one has one user, of a private one each has its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bowline::{CacheVolume, Container, Error, Service};
use bowline_tests::nonce;

/// A step that fails if another one works in the cache at `/cache` meanwhile.
fn alone(cache: &CacheVolume) -> Container {
    let busybox = Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/cache", cache);
    busybox.shell("mkdir /cache/busy || exit 9; sleep 0.3; echo >>/cache/log; rmdir /cache/busy")
}

#[bowline::test]
async fn steps_that_lock_a_cache_run_one_after_the_other() {
    let cache = CacheVolume::new(nonce()).locked();
    let steps = [(); 4].map(|()| alone(&cache));
    futures_util::future::try_join_all(steps.iter().map(Container::sync)).await.unwrap();
    let look = Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/cache", &cache);
    assert_eq!(look.shell("wc -l </cache/log").stdout().await.unwrap(), "4\n");
}

/// A process whose step has a cache alone for so many seconds.
fn locker(key: &str, seconds: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("lock-cache").envs([("KEY", key), ("TAKES", seconds)]);
    command.env("BOWLINE_PROGRESS", "log").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn steps_of_two_processes_that_lock_a_cache_run_one_after_the_other() {
    let key = nonce();
    for process in [(); 3].map(|()| locker(&key, "0.5")) {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn who_waits_for_a_cache_is_told_and_has_it_when_its_holder_is_killed() {
    let key = nonce();
    let mut holder = locker(&key, "600");
    let mut lines = BufReader::new(holder.stderr.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().ends_with("| it is locked")).unwrap().unwrap();
    let mut next = locker(&key, "stop");
    let mut lines = BufReader::new(next.stderr.take().unwrap()).lines();
    let waits = format!("waits for the cache `{key}`: `lock` of process {} uses it", holder.id());
    lines.find(|line| line.as_ref().unwrap().contains(&waits)).unwrap().unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    bowline_tests::eventually("the next one has it", Duration::from_secs(30), || {
        next.try_wait().unwrap().is_some_and(|status| status.success())
    });
}

#[bowline::test]
async fn several_locks_are_taken_in_one_order() {
    let caches = [(); 2].map(|()| CacheVolume::new(nonce()).locked());
    let step = |first: usize| {
        let busybox = Container::from_image("busybox:1.35").env("NONCE", nonce());
        let busybox = busybox.mount("/one", &caches[first]).mount("/two", &caches[1 - first]);
        busybox.shell("mkdir /one/busy /two/busy || exit 9; sleep 0.2; rmdir /one/busy /two/busy")
    };
    let steps = [0, 1, 0, 1].map(step);
    let all = futures_util::future::try_join_all(steps.iter().map(Container::sync));
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever").unwrap();
}

#[bowline::test]
async fn of_a_private_cache_each_has_its_own_and_a_later_one_finds_what_was_left() {
    let cache = CacheVolume::new(nonce()).private();
    let step = |name: &str, script: &str| {
        let busybox = Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/cache", &cache);
        busybox.shell(format!("ls /cache; touch /cache/{name}; {script}"))
    };
    // Neither ends before the other has begun: they meet on a cache of both.
    let meeting = CacheVolume::new(nonce());
    let meet = |name: &str, other: &str| {
        let script =
            format!("touch /meeting/{name}; until test -e /meeting/{other}; do sleep 0.05; done; ls /cache");
        let busybox = Container::from_image("busybox:1.35").env("NONCE", nonce());
        let busybox = busybox.mount("/cache", &cache).mount("/meeting", &meeting);
        busybox.shell(format!("touch /cache/{name}; {script}"))
    };
    let (one, other) = (meet("one", "other"), meet("other", "one"));
    let (one, other) = tokio::join!(one.stdout(), other.stdout());
    assert_eq!((one.unwrap().as_str(), other.unwrap().as_str()), ("one\n", "other\n"));
    let first = step("third", "").stdout().await.unwrap();
    assert!(["one\n", "other\n"].contains(&first.as_str()), "{first}");
    assert_eq!(step("fourth", "").stdout().await.unwrap(), format!("{first}third\n"));
}

#[bowline::test]
async fn who_would_wait_for_its_own_service_is_an_error_before_anything_runs() {
    let cache = CacheVolume::new("data").locked();
    let db = Service::from_image("no.such/image").mount("/data", &cache).expose(5432).named("db");
    let client = Container::from_image("no.such/image")
        .bind("db", &db)
        .mount("/data", &cache)
        .exec(["true"])
        .named("test");
    let Err(Error::Invalid { message, .. }) = client.sync().await else { panic!("it is invalid") };
    assert_eq!(
        message,
        "container `test` would wait for the cache `data` for ever: its service `db` holds it as long as it runs\n\nhelp: mount the cache without `locked` in both, or give one of them a cache of its own"
    );
    // What is its own only meanwhile prevents nobody.
    let free = CacheVolume::new("data").private();
    let client = Container::from_image("no.such/image").bind("db", &db).mount("/data", &free).exec(["true"]);
    assert!(!matches!(client.sync().await, Err(Error::Invalid { .. })));
    let other = Service::from_image("no.such/image").mount("/d", &cache).expose(1).named("other");
    let client = Container::from_image("no.such/image").bind("db", &db).bind("other", &other).exec(["true"]);
    let Err(Error::Invalid { message, .. }) = client.sync().await else { panic!("it is invalid") };
    assert!(message.contains("both hold the cache `data`, which one of them locks"), "{message}");
}
