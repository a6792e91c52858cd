//! When services start, linger, stop and start anew.

use std::time::{Duration, Instant};

use bowline::{CacheVolume, Container, Error, Service, Session, Stop};
use bowline_tests::{client, containers, eventually, fetch, is_running, nonce, remains, server, stopping};

#[bowline::test]
async fn a_service_lingers_and_then_goes() {
    if !bowline_tests::has_time() {
        return;
    }
    let session = Session::current();
    let web = server("web").linger("2s");
    let first = fetch("www", &web, "/id").stdout().await.unwrap();
    assert!(is_running(&session, &web));
    // A newcomer to a lingering service gets it.
    let second = fetch("www", &web, "/id").stdout().await.unwrap();
    assert_eq!(first, second);
    let gone = eventually("the service is gone", Duration::from_secs(15), || !is_running(&session, &web));
    assert!(gone > Duration::from_secs(1), "it lingered for {gone:?} only");
    let third = fetch("www", &web, "/id").stdout().await.unwrap();
    assert_ne!(first, third, "a fresh instance");
}

#[bowline::test]
async fn a_service_that_died_unused_is_started_anew_for_whoever_comes_next() {
    if !bowline_tests::has_time() {
        return;
    }
    let web = server("web").env("DIES", 3).linger("1h");
    let session = Session::current();
    let first = fetch("www", &web, "/id").stdout().await.unwrap();
    let (seen, service) = (session.clone(), web.clone());
    // Dead as the kernel knows it, or the engine; the session may not have been told.
    tokio::task::spawn_blocking(move || {
        bowline_tests::touch(&seen, &service.hostname(), "/die");
        eventually("it has died", Duration::from_secs(10), || !is_running(&seen, &service));
    })
    .await
    .unwrap();
    assert_ne!(fetch("www", &web, "/id").stdout().await.unwrap(), first);
}

#[bowline::test]
async fn start_and_stop_are_idempotent() {
    if !bowline_tests::has_time() {
        return;
    }
    let session = Session::current();
    let web = server("web").linger("0s");
    web.stop().await.unwrap();
    web.start().await.unwrap();
    web.start().await.unwrap();
    let first = fetch("www", &web, "/id").stdout().await.unwrap();
    let second = fetch("www", &web, "/id").stdout().await.unwrap();
    assert_eq!(first, second, "a started service stays, whatever its linger");
    assert!(is_running(&session, &web));
    web.stop().await.unwrap();
    assert!(!is_running(&session, &web));
    web.stop().await.unwrap();
    web.kill().await.unwrap();
    web.start().await.unwrap();
    assert_ne!(fetch("www", &web, "/id").stdout().await.unwrap(), first);
}

/// A service that ignores SIGTERM, and leaves a file when it was told.
fn stubborn() -> Service {
    stopping(&[], &["touch=/ignored"]).expose(8080).named("stubborn")
}

#[bowline::test]
async fn what_ignores_its_stop_signal_is_killed() {
    let session = Session::current();
    let service = stubborn().stop_with(Stop::signal("SIGTERM").within("2s"));
    service.start().await.unwrap();
    let began = Instant::now();
    service.stop().await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(6), "{took:?}");
    assert!(!is_running(&session, &service));
}

/// Waits until a service has made a file: the stop signal has arrived.
async fn appears(service: &Service, path: &'static str) {
    let (session, hostname) = (Session::current(), service.hostname());
    tokio::task::spawn_blocking(move || {
        eventually(path, Duration::from_secs(10), || bowline_tests::has(&session, &hostname, path))
    })
    .await
    .unwrap();
}

#[bowline::test]
async fn kill_overtakes_a_blocked_stop_and_both_return() {
    let service = stubborn().stop_with(Stop::signal("SIGTERM").within("1h"));
    service.start().await.unwrap();
    let stop = tokio::spawn(service.stop());
    appears(&service, "/ignored").await;
    let began = Instant::now();
    service.kill().await.unwrap();
    stop.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[bowline::test]
async fn a_newcomer_to_a_stopping_service_waits_for_a_fresh_one() {
    if !bowline_tests::has_time() {
        return;
    }
    let service = stopping(&[], &["touch=/stopping", "wait=2", "exit=0"]).expose(8080);
    service.start().await.unwrap();
    let first = fetch("www", &service, "/id").stdout().await.unwrap();
    let stop = tokio::spawn(service.stop());
    appears(&service, "/stopping").await;
    let second = fetch("www", &service, "/id").stdout().await.unwrap();
    assert_ne!(first, second);
    stop.await.unwrap().unwrap();
}

#[bowline::test]
async fn the_stop_signal_is_what_the_service_asks_for() {
    let out = CacheVolume::new(format!("test-{}", nonce()));
    let base = stopping(&[], &["signal=/out/signal", "exit=0"]).mount("/out", &out).expose(8080);
    for (service, expected) in [
        (base.clone().env("CASE", nonce()), "SIGTERM"),
        (base.clone().env("CASE", nonce()).stop_with(Stop::signal("SIGUSR1")), "SIGUSR1"),
    ] {
        service.start().await.unwrap();
        service.stop().await.unwrap();
        let read = Container::from_image("busybox:1.35")
            .env("NONCE", nonce())
            .mount("/out", &out)
            .exec(["cat", "/out/signal"]);
        assert_eq!(read.stdout().await.unwrap(), expected);
    }
}

#[bowline::test]
async fn closing_a_session_stops_users_before_what_they_use_and_leaves_nothing() {
    let session = Session::new();
    let out = CacheVolume::new(format!("test-{}", nonce()));
    let base = server("base");
    // Once told to stop, it asks what it is bound to whether it still answers.
    let asks = stopping(&[], &["ask=/out/answer,http://base:8080/env", "exit=0"]);
    let top = asks.mount("/out", &out).bind("base", &base).expose(8080);
    session.scope(fetch("www", &top, "/").sync()).await.unwrap();
    assert!(is_running(&session, &top) && is_running(&session, &base), "both linger");
    let began = Instant::now();
    session.close().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "nothing lingers: {:?}", began.elapsed());
    eventually("nothing is left", Duration::from_secs(10), || remains(&session.id()).is_empty());
    let read = Container::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .mount("/out", &out)
        .exec(["cat", "/out/answer"]);
    assert_eq!(read.stdout().await.unwrap(), "200\n");
    let error = session.scope(fetch("www", &top, "/").sync()).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    session.close().await.unwrap();
}

#[bowline::test]
async fn closing_a_session_cancels_what_runs() {
    let session = Session::new();
    let long = Container::from_image("busybox:1.35").env("NONCE", nonce()).exec(["sleep", "600"]);
    let run = tokio::spawn({
        let session = session.clone();
        async move { session.scope(long.sync()).await }
    });
    let seen = session.clone();
    tokio::task::spawn_blocking(move || {
        eventually("the step runs", Duration::from_secs(30), || !containers(&seen).is_empty());
    })
    .await
    .unwrap();
    session.close().await.unwrap();
    assert!(matches!(run.await.unwrap(), Err(Error::Cancelled { .. })));
    eventually("nothing is left", Duration::from_secs(10), || remains(&session.id()).is_empty());
}

#[bowline::test]
async fn state_on_a_cache_volume_outlives_the_session() {
    let data = CacheVolume::new(format!("test-{}", nonce()));
    let redis = Service::from_image("redis:7").mount("/data", &data).expose(6379);
    let cli = |args: &[&str]| {
        let args = ["redis-cli", "-h", "db"].iter().chain(args).copied();
        Container::from_image("redis:7").env("NONCE", nonce()).bind("db", &redis).exec(args)
    };
    let first = Session::new();
    first.scope(cli(&["set", "k", "kept"]).sync()).await.unwrap();
    first.scope(cli(&["save"]).sync()).await.unwrap();
    first.close().await.unwrap();
    eventually("the first session is gone", Duration::from_secs(10), || remains(&first.id()).is_empty());
    let second = Session::new();
    assert_eq!(second.scope(cli(&["get", "k"]).stdout()).await.unwrap(), "kept\n");
    second.close().await.unwrap();
    // Another key is another volume.
    let other = Service::from_image("redis:7")
        .mount("/data", CacheVolume::new(format!("test-{}", nonce())))
        .expose(6379);
    let get = Container::from_image("redis:7").bind("db", &other).exec(["redis-cli", "-h", "db", "get", "k"]);
    assert_eq!(get.stdout().await.unwrap(), "\n");
}

#[bowline::test]
async fn an_alias_leads_to_the_fresh_instance_of_a_service() {
    let web = server("web").linger("0s");
    let first = fetch("www", &web, "/id").stdout().await.unwrap();
    web.stop().await.unwrap();
    let second = fetch("www", &web, "/id").stdout().await.unwrap();
    assert_ne!(first, second);
    assert_eq!(client("www", &web, "print(get('http://www:8080/env'))").stdout().await.unwrap(), "web\n");
}
