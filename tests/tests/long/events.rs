//! What it costs to be observed.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bowline::event::{Event, EventKind};
use bowline::{Container, Session};
use bowline_tests::{inspector, nonce};

const LINES: usize = 1_000_000;
const ROUNDS: usize = 5;

/// How long it takes to read what a program writes, line by line, and nothing else.
fn bare(busybox: &std::path::Path) -> Duration {
    let began = Instant::now();
    let mut seq = inspector().bare("busybox:1.35", busybox);
    let mut child = seq.args(["seq", "1", &LINES.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, mut line, mut lines) = (BufReader::new(child.stdout.take().unwrap()), Vec::new(), 0);
    while out.read_until(b'\n', &mut line).unwrap() > 0 {
        line.clear();
        lines += 1;
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(lines, LINES);
    began.elapsed()
}

/// How long a step takes that writes the same.
async fn through(session: &Session) -> Duration {
    let seq = Container::from_image("busybox:1.35").env("NONCE", nonce());
    let began = Instant::now();
    session.scope(seq.exec(["seq", "1", &LINES.to_string()]).exit_code()).await.unwrap();
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[bowline::test]
async fn a_million_lines_cost_little_more_than_to_read_them() {
    let dir = tempfile::tempdir().unwrap();
    let busybox = dir.path().join("busybox");
    Container::from_image("busybox:1.35").file("/bin/busybox").save_to(&busybox).await.unwrap();
    let (alone, observed) = (Session::new(), Session::new());
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    let counts = move |event: &Event| match event.kind {
        EventKind::Output { .. } => {
            count.fetch_add(1, Ordering::Relaxed);
        }
        EventKind::OutputDropped { lines } => {
            count.fetch_add(usize::try_from(lines).unwrap(), Ordering::Relaxed);
        }
        _ => {}
    };
    observed.observe(counts).unwrap();
    through(&alone).await;
    through(&observed).await;
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        times[0].push(bare(&busybox));
        times[1].push(through(&alone).await);
        times[2].push(through(&observed).await);
    }
    let [bare, alone_took, observed_took] = times.map(median);
    println!("bare {bare:?}, unobserved {alone_took:?}, observed {observed_took:?}");
    for session in [alone, observed] {
        session.close().await.unwrap();
    }
    assert_eq!(heard.load(Ordering::Relaxed), (ROUNDS + 1) * LINES);
    // The container itself is a part of it, and nothing is optimised in a dev build.
    let most = bare * 3 / 2 + Duration::from_millis(200);
    assert!(observed_took < most && alone_took < most, "{bare:?} {alone_took:?} {observed_took:?}");
}
