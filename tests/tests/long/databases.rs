//! Databases on caches, and pipelines that end while they are set up.

use std::hash::{BuildHasher as _, RandomState};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn postgres(key: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("postgres").env("KEY", key).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How long a whole run on this cache takes.
fn run(key: &str) -> Duration {
    let began = Instant::now();
    let output = postgres(key).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "served\n", "on the cache {key}: {stderr}");
    began.elapsed()
}

#[test]
fn postgres_that_was_being_set_up_works_after_20_ends_at_random_moments() {
    let nonce = bowline_tests::nonce();
    let key = |number: u64| format!("test-{nonce}-{number}");
    // The first one also waits for the image.
    run(&key(0));
    let whole = u64::try_from(run(&key(1)).as_micros()).unwrap();
    // A new cache for whatever may have been set up before its pipeline ended: that is kept, and the rest begins again.
    let (mut ended, mut number) = (0, 0);
    while ended < 20 {
        assert!(number < 200, "only {ended} of {number} pipelines were ended");
        let signal = ["TERM", "INT", "KILL"][ended % 3];
        let moment = Duration::from_micros(RandomState::new().hash_one(number) % whole);
        let cache = key(2 + number / 4);
        number += 1;
        let began = Instant::now();
        let mut child = postgres(&cache).spawn().unwrap();
        while began.elapsed() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_none() {
            let _ = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
            ended += 1;
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("Error: "), "at {moment:?}, {signal}, on {cache}: {stderr}");
    }
    for number in 0..=2 + (number - 1) / 4 {
        run(&key(number));
    }
}
