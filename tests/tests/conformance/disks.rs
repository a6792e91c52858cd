//! Disks that are full.

use std::process::Command;
use std::time::Duration;

use bowline_tests::{eventually, nonce};

use crate::engines::SecondEngine;

/// Runs stages of `full-disk`, each in a process of its own, with a store on a disk of 64 MiB that is there for them alone.
fn on_a_small_disk(stages: &[&str]) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let store = tempfile::tempdir().unwrap();
    // Mounted for these processes only: the disk goes when they do.
    let script = r#"mount -t tmpfs -o size=64m,mode=700 tmpfs "$BOWLINE_HOME" || exit
        for stage; do
            "$FULL_DISK" "$stage" || exit
            # What it made is removed behind it; and what was used a moment ago may be in use.
            for try in $(seq 100); do [ -z "$(ls "$BOWLINE_HOME/scratch")" ] && break; sleep 0.1; done
            sleep 0.5
        done
        find "$BOWLINE_HOME/scratch" "$BOWLINE_HOME/downloads" -mindepth 1 -maxdepth 1 | sed 's/^/left: /'"#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args(stages)
        .envs([("NONCE", nonce()), ("FULL_DISK", env!("CARGO_BIN_EXE_full-disk").to_owned())])
        .envs([("SCRATCH", scratch.path()), ("BOWLINE_HOME", store.path())])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_full_disk_is_said_and_nothing_half_kept() {
    if !bowline_tests::on_native("a daemon keeps things on its own disk") || !bowline_tests::may_mount() {
        return;
    }
    let said = on_a_small_disk(&[
        "make-archive",
        "prune",
        "too-large",
        "small",
        "cache",
        "too-large-cache",
        "image",
        "directory",
        "loud",
        // Space is made: everything works, and nothing of what failed is taken for done.
        "empty-cache",
        "prune",
        "image",
        "prune",
        "directory",
        "prune",
        "loud",
        "loud-length",
        "small",
    ]);
    let wanted = [
        "make-archive: done",
        "prune: done",
        "too-large: no space",
        "small: done",
        "cache: done",
        "too-large-cache: no space",
        "image: no space",
        "directory: no space",
        "loud: no space",
        "empty-cache: done",
        "prune: done",
        "image: done",
        "prune: done",
        "directory: done",
        "prune: done",
        "loud: done",
        "loud-length: 12582912",
        "small: done",
    ];
    assert_eq!(said, wanted);
}

/// A second engine, whose disk holds 160 MiB.
#[test]
fn a_full_disk_of_an_engine_is_said_and_nothing_half_kept() {
    if !bowline_tests::on_docker("it has the disk of the program's own store") || !bowline_tests::may_mount()
    {
        return;
    }
    let engine = SecondEngine::with(&["busybox:1.35"], &["--disk", "160"]);
    let scratch = tempfile::tempdir().unwrap();
    let nonce = nonce();
    // Each in a process of its own: what failed is there to be looked into as long as its session is.
    let run_one = |stage: &&str| {
        let output = Command::new(env!("CARGO_BIN_EXE_full-disk"))
            .arg(stage)
            .env("DOCKER_HOST", engine.host())
            .env("NONCE", &nonce)
            .env("SCRATCH", scratch.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        // What it made is removed behind it.
        eventually("nothing is left", Duration::from_secs(10), || {
            engine.docker(&["ps", "--all", "--quiet"]).is_empty()
        });
        said.trim_end().to_owned()
    };
    let run = |stages: &[&str]| stages.iter().map(run_one).collect::<Vec<_>>();
    assert_eq!(run(&["too-large", "small"]), ["too-large: no space", "small: done"]);
    let full = run(&["cache", "too-large-cache", "directory", "loud"]);
    // What a step writes is recorded on the program's own disk.
    let wanted = ["cache: done", "too-large-cache: no space", "directory: no space", "loud: done"];
    assert_eq!(full, wanted);
    // Space is made: everything works, and nothing of what failed is taken for done.
    for volume in engine.docker(&["volume", "ls", "--quiet"]).lines() {
        engine.docker(&["volume", "rm", volume]);
    }
    let works = run(&["directory", "loud", "loud-length", "small"]);
    assert_eq!(works, ["directory: done", "loud: done", "loud-length: 12582912", "small: done"]);
}
