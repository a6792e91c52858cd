//! What steps write: large output is found faster than it is made, and nothing that is written fills the memory.

use std::process::{Command, Output};

use bowline_tests::nonce;

/// Starts a program that streams what a command writes.
fn start(command: &str, nonce: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .arg("stream")
        .envs([("COMMAND", command), ("NONCE", nonce)])
        .output()
        .unwrap()
}

/// Bytes, milliseconds, KiB.
fn stream(command: &str, nonce: &str) -> [u64; 3] {
    let output = start(command, nonce);
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

const MIB: u64 = 1 << 20;

#[test]
fn output_of_200_mib_is_found_in_less_than_half_the_time_and_little_memory() {
    let [_, _, empty] = stream("true", &nonce());
    let nonce = nonce();
    let command = "head -c 209715200 /dev/urandom";
    let [bytes, ran, while_running] = stream(command, &nonce);
    let found: Vec<_> = (0..3).map(|_| stream(command, &nonce)).collect();
    println!("empty: {empty} KiB; run: {ran} ms, {while_running} KiB; found (bytes, ms, KiB): {found:?}");
    assert_eq!(bytes, 200 * MIB);
    assert!(while_running < empty + 64 * 1024, "while running");
    for [bytes, took, memory] in found {
        assert_eq!(bytes, 200 * MIB);
        assert!(took * 2 < ran, "{took} ms against {ran} ms");
        assert!(memory < empty + 64 * 1024, "{memory} KiB against {empty} KiB");
    }
}

#[test]
fn who_writes_without_end_is_stopped_and_shows_its_last_100_kib() {
    let output = start("cat /dev/zero", &nonce());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("was killed: it wrote more than 4 GiB to one of its streams"), "{:.300}", error);
    assert!(error.len() < 110 * 1024 && error.contains("bytes are cut]"), "{} bytes", error.len());
}

#[test]
fn a_disk_that_is_full_is_named() {
    if !bowline_tests::may_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().to_str().unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$TMPDIR\" && exec \"$0\" stream";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_pipeline")])
        .envs([("COMMAND", "cat /dev/zero"), ("NONCE", &nonce()), ("TMPDIR", disk)])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(disk) && error.contains("No space left on device"), "{error}");
    assert!(error.contains("TMPDIR") && !output.status.success(), "{error}");
}
