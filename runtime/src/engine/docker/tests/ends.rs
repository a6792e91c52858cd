//! Ends: whatever is dropped, at any moment, nothing is left.

use std::time::{Duration, Instant};

use super::*;

/// Polls a future for a while, then drops it.
async fn drop_after(limit: Duration, work: impl Future) {
    let _ = tokio::time::timeout(limit, work).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_at_any_moment_leaves_nothing() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    for limit in [0, 1, 3, 8, 20, 60, 150, 300, 450] {
        let limit = Duration::from_millis(limit);
        let life = async {
            let prepared = engine.prepare(script(&base, "sleep 100")).await.unwrap();
            prepared.run(nothing()).await.unwrap().hold().await
        };
        drop_after(limit, life).await;
        let sleeping = service(&base, HOST, &["sleep", "100"]);
        let serve = async { engine.start(sleeping, nothing()).await.unwrap().wait().await };
        drop_after(limit, serve).await;
        let short = async {
            let (finished, output) = engine.run(script(&base, "true")).await;
            finished.keep(key(), output.into(), Vec::new()).await.map(drop)
        };
        drop_after(limit, short).await;
    }
    engine.shared.cleaner.settle(0).await;
    // A busy engine lists for a moment what it has said is removed.
    let within = Instant::now() + Duration::from_secs(10);
    while left(&engine).await > 1 {
        assert!(Instant::now() < within, "{} left", left(&engine).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_what_runs_and_refuses_what_comes() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let running = engine.start(service(&base, HOST, &["sleep", "100"]), nothing()).await.unwrap();
    let prepared = engine.prepare(script(&base, "sleep 100")).await.unwrap();
    let step = tokio::spawn(prepared.run(nothing()));
    tokio::time::sleep(Duration::from_millis(400)).await;
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
    assert!(running.wait().await.is_err() || running.wait().await.unwrap().code == 137);
    assert!(step.await.unwrap().map_or(true, |finished| finished.exit().code == 137));
    assert!(matches!(engine.prepare(script(&base, "true")).await, Err(Error::Cancelled { .. })));
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_are_swept_and_the_living_left() {
    use bollard::models::{ContainerCreateBody, NetworkCreateRequest};
    use bollard::query_parameters::CreateContainerOptionsBuilder;

    let living = engine!();
    let base = living.image(BUSYBOX).await.snapshot;
    let kept_alive = living.prepare(script(&base, "true")).await.unwrap();

    // A dead owner: its process number has been reused since.
    let dead = SessionId::random();
    let client = living.shared.client.clone();
    let mut owner = labels::Owner::this_process();
    owner.started += 1;
    let mut labelled = labels::of(&dead, "left over");
    labelled.insert(labels::OWNER.to_owned(), owner.to_string());
    let name = format!("{}-s0", names::prefix(&dead));
    let body = ContainerCreateBody {
        image: Some(base.0.clone()),
        cmd: Some(vec!["true".to_owned()]),
        labels: Some(labelled.clone()),
        ..Default::default()
    };
    // A container that was run by hand, of an image with the same labels.
    let by_hand = format!("test-{dead}");
    for name in [&name, &by_hand] {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        client.create_container(Some(options), body.clone()).await.unwrap();
    }
    let network =
        NetworkCreateRequest { name: names::prefix(&dead), labels: Some(labelled), ..Default::default() };
    client.create_network(network).await.unwrap();

    let next = engine!();
    let sweeping = next.prepare(script(&base, "true")).await.unwrap();
    let swept = async {
        while client.inspect_network(&names::prefix(&dead), None).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), swept).await.unwrap();
    assert!(client.inspect_container(&name, None).await.is_err());
    assert!(client.inspect_container(&by_hand, None).await.is_ok());
    living.shared.cleaner.remove_container(&by_hand).await.unwrap();
    assert_eq!(left(&living).await, 1);
    drop((kept_alive, sweeping));
    next.close().await.unwrap();
    living.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_ends_what_runs_and_the_rest_follows() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let running = engine.start(service(&base, HOST, &["sleep", "100"]), nothing()).await.unwrap();
    let (finished, _) = engine.run(script(&base, "exit 1")).await;
    let held = finished.hold().await.unwrap();
    let (_, output) = engine.run(script(&held, "true")).await;
    assert_eq!(output.exit_code, 0);
    let began = std::time::Instant::now();
    engine.detach().await.unwrap();
    println!("left in {:?}", began.elapsed());
    assert_eq!(running.wait().await.unwrap().code, 137);
    let gone = async {
        while left(&engine).await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}
