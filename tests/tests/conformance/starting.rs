//! Services that are not ready yet: how they end, and what they leave on caches.

use std::time::{Duration, Instant};

use bowline::{CacheVolume, Container, Error, Ready, Service, ServiceCause, Session, Stop};
use bowline_tests::{database, eventually, is_running, nonce, remains, server, stopping};

/// A cache that has been used.
async fn used_cache() -> CacheVolume {
    let cache = CacheVolume::new(format!("test-{}", nonce()));
    let touch = Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/out", &cache);
    touch.exec(["touch", "/out/used"]).sync().await.unwrap();
    cache
}

/// What is on a cache.
async fn on(cache: &CacheVolume) -> Vec<String> {
    let look = Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/out", cache);
    let text = look.exec(["ls", "/out"]).stdout().await.unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A service that is never ready, and takes a moment to obey its stop signal. It writes down both.
fn slow(cache: &CacheVolume, case: &str) -> Service {
    let [began, obeyed] = ["began", "obeyed"].map(|what| format!("touch=/out/{case}-{what}"));
    stopping(&[&began, "touch=/began", "wait=3600"], &["wait=0.5", &obeyed, "exit=0"])
        .mount("/out", cache)
        .expose(8080)
        .named("slow")
}

/// Waits until the process of a service runs.
async fn begins(session: &Session, service: &Service) {
    let (session, service) = (session.clone(), service.clone());
    tokio::task::spawn_blocking(move || {
        eventually("the service has begun", Duration::from_secs(30), || {
            is_running(&session, &service) && bowline_tests::has(&session, &service.hostname(), "/began")
        })
    })
    .await
    .unwrap();
}

#[bowline::test]
async fn a_service_that_still_starts_gets_its_stop_signal_and_its_time_whatever_ends_it() {
    let cache = used_cache().await;

    let late = slow(&cache, "late").ready(Ready::port().within("1s"));
    let error = late.start().await.unwrap_err();
    assert!(matches!(error, Error::ServiceNotReady(_)), "{error}");

    let stopped = slow(&cache, "stopped");
    let start = tokio::spawn(stopped.start());
    begins(&Session::current(), &stopped).await;
    stopped.stop().await.unwrap();
    assert!(matches!(start.await.unwrap(), Err(Error::Cancelled { .. })));

    let session = Session::new();
    let sibling = slow(&cache, "sibling");
    let broken = bowline_tests::late(&["until=/die", "exit=3"]).expose(8080);
    let client = Container::from_image("busybox:1.35").env("NONCE", nonce());
    let client = client.bind("slow", &sibling).bind("broken", &broken).exec(["true"]);
    let run = tokio::spawn({
        let session = session.clone();
        async move { session.scope(client.sync()).await }
    });
    begins(&session, &sibling).await;
    let (seen, host) = (session.clone(), broken.hostname());
    tokio::task::spawn_blocking(move || bowline_tests::touch(&seen, &host, "/die")).await.unwrap();
    let error = run.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::ServiceStart(details) if details.hostname == broken.hostname()),
        "{error}"
    );
    assert!(is_running(&session, &sibling));
    let began = Instant::now();
    session.close().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(!is_running(&session, &sibling), "nothing runs once it is closed");
    eventually("nothing is left", Duration::from_secs(10), || remains(&session.id()).is_empty());

    let mut found = on(&cache).await;
    found.retain(|name| name.ends_with("-obeyed"));
    assert_eq!(found, ["late-obeyed", "sibling-obeyed", "stopped-obeyed"]);
}

#[bowline::test]
async fn kill_ends_a_service_that_still_starts_at_once_and_overtakes_its_stop() {
    let service = stopping(&["touch=/began", "wait=3600"], &["touch=/ignored"]).expose(8080);
    let service = service.stop_with(Stop::signal("SIGUSR1").within("1h"));
    let start = tokio::spawn(service.start());
    begins(&Session::current(), &service).await;
    let stop = tokio::spawn(service.stop());
    assert!(matches!(start.await.unwrap(), Err(Error::Cancelled { .. })));
    let began = Instant::now();
    service.kill().await.unwrap();
    stop.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!is_running(&Session::current(), &service));
}

#[bowline::test]
async fn a_service_that_is_told_to_end_as_its_dependency_did_gets_its_stop_signal() {
    let cache = used_cache().await;
    let below = server("below");
    let above = slow(&cache, "above").ready(Ready::log("ready").within("1h")).bind("below", &below);
    let start = tokio::spawn(above.start());
    begins(&Session::current(), &above).await;
    below.kill().await.unwrap();
    let error = start.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::ServiceStart(_)), "{error}");
    above.stop().await.unwrap();
    assert!(on(&cache).await.contains(&"above-obeyed".to_owned()));
}

#[bowline::test]
async fn a_new_cache_is_empty_again_where_its_service_never_became_ready() {
    let cache = CacheVolume::new(format!("test-{}", nonce()));
    // Each of these leaves half a database, which the next one would stumble over.
    let late = database(&cache, "60", None).ready(Ready::port().within("1s"));
    let error = late.start().await.unwrap_err();
    assert!(matches!(error, Error::ServiceNotReady(_)), "{error}");
    late.stop().await.unwrap();
    assert!(on(&cache).await.is_empty());

    let cache = CacheVolume::new(format!("test-{}", nonce()));
    let broken = database(&cache, "0", Some("3"));
    broken.start().await.unwrap_err();
    let session = Session::new();
    let stopped = database(&cache, "60", None);
    broken.stop().await.unwrap();
    let start = tokio::spawn({
        let (session, stopped) = (session.clone(), stopped.clone());
        async move { session.scope(stopped.start()).await }
    });
    begins(&session, &stopped).await;
    session.close().await.unwrap();
    start.await.unwrap().unwrap_err();

    let good = database(&cache, "0", None);
    good.start().await.unwrap();
    good.kill().await.unwrap();
    let again = database(&cache, "0", Some("4"));
    again.start().await.unwrap();
    again.stop().await.unwrap();
    let late = database(&cache, "0", None).ready(Ready::log("never").within("1s"));
    late.start().await.unwrap_err();
    late.stop().await.unwrap();
    assert_eq!(on(&cache).await, ["PG_VERSION", "tables"], "it is not new, so it stays");
}

#[bowline::test]
async fn a_cache_of_a_running_service_is_not_given_to_another_sessions() {
    let cache = CacheVolume::new(format!("test-{}", nonce()));
    let db = |name: &str| server(name).mount("/data", &cache);
    let first = db("first");
    first.start().await.unwrap();
    let second = Session::new();
    let waits = db("second").ready(Ready::port().within("1s"));
    let error = second.scope(waits.start()).await.unwrap_err();
    let Error::ServiceNotReady(details) = &error else { panic!("{error}") };
    assert!(matches!(details.cause, ServiceCause::NotReady { .. }));
    let text = error.to_string();
    let process = format!("`first` of process {} uses it", std::process::id());
    for part in ["`second`", &format!("cache `{}`", cache.key()), &process] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    // Once it is free it is taken; services of one session share it.
    let patient = db("patient");
    let start = tokio::spawn({
        let (second, patient) = (second.clone(), patient.clone());
        async move { second.scope(patient.start()).await }
    });
    first.stop().await.unwrap();
    start.await.unwrap().unwrap();
    second.scope(db("third").start()).await.unwrap();
    second.close().await.unwrap();
}
