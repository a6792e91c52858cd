//! What calls cost. Numbers to look at, not assertions: run with `--ignored --nocapture` on a quiet machine.

use std::time::{Duration, Instant};

use super::*;

/// The fastest and the middle one of some runs.
fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("{what}: min {:.1?}, median {:.1?}", times[0], times[times.len() / 2]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn what_calls_cost() {
    let began = Instant::now();
    let connection = connect().await.unwrap();
    println!("connect: {:.1?}", began.elapsed());
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let mut times: [Vec<Duration>; 9] = Default::default();
    for _ in 0..7 {
        let mut clock = Instant::now();
        let mut lap = |index: usize| {
            times[index].push(clock.elapsed());
            clock = Instant::now();
        };
        connect().await.unwrap();
        lap(0);
        engine.image(BUSYBOX).await;
        lap(1);
        let prepared = engine.prepare(step(&base, &["true"])).await.unwrap();
        lap(2);
        let finished = prepared.run(nothing()).await.unwrap();
        lap(3);
        let key = key();
        let snapshot = finished.keep(key, StepOutput::default()).await.unwrap();
        lap(4);
        engine.lookup(&key).await.unwrap().unwrap();
        lap(5);
        engine.stat(&snapshot, "/etc/passwd").await.unwrap().unwrap();
        lap(6);
        engine.stat(&snapshot, "/etc/group").await.unwrap().unwrap();
        lap(7);
        let mut placing = step(&base, &["true"]);
        placing.filesystem.placements =
            vec![Placement::File { path: "/a/b/c".to_owned(), contents: Arc::from(&b"x"[..]) }];
        drop(engine.prepare(placing).await.unwrap());
        lap(8);
    }
    let names = [
        "connect",
        "resolve",
        "prepare",
        "run `true`",
        "keep",
        "lookup",
        "first stat",
        "another stat",
        "prepare with a file",
    ];
    for (name, times) in names.iter().zip(times) {
        show(name, times);
    }
    for leave in [false, true] {
        let mut ends = Vec::new();
        for _ in 0..5 {
            let engine = Docker::open(&connection, SessionId::random()).await.unwrap();
            let _running = engine.start(service(&base, HOST, &["sleep", "100"]), nothing()).await.unwrap();
            let began = Instant::now();
            if leave {
                engine.leave().await.unwrap();
            } else {
                engine.close().await.unwrap();
            }
            ends.push(began.elapsed());
        }
        show(if leave { "leave" } else { "close" }, ends);
    }
    engine.close().await.unwrap();
}
