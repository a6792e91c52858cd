//! Making room on the disk of an engine: what nobody uses goes, and what is in use stays.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use bowline::{CacheVolume, Container, Prune};
use bowline_tests::{eventually, nonce};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Everything that other tests made is younger, as the engine knows it.
const OLDER: [&str; 2] = ["--unused-for", "1200h"];

fn pipeline(mode: &str, home: &std::path::Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    let output = command.arg(mode).env("BOWLINE_HOME", home).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The program with a command line, where nothing was used before.
fn commands(args: &[&str], home: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
    let output = command.args(args).env("BOWLINE_HOME", home).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Lets everything that is noted of uses look sixty days old.
fn age(home: &Path) {
    let marks = ["steps", "used", "docker"].iter().flat_map(|kind| files(&home.join(kind)));
    for mark in marks.filter(|mark| !mark.parent().unwrap().ends_with("sessions")) {
        File::open(mark).unwrap().set_modified(SystemTime::now() - 60 * DAY).unwrap();
    }
}

#[test]
fn what_nobody_used_for_long_goes_and_is_made_again() {
    let (home, nonce) = (tempfile::tempdir().unwrap(), nonce());
    let home = home.path();
    let build = ["run", "build", "--output", "-q", "--nonce", &nonce];
    let results =
        |more: &[&str]| commands(&[&["prune", "--kind", "results"], &OLDER[..], more].concat(), home);
    commands(&build, home);
    // Its files are needed, so that with Docker too they are kept.
    let out = home.join("saved");
    commands(&["export", "build.app", out.to_str().unwrap(), "--nonce", &nonce], home);
    assert!(results(&[]).starts_with("removed nothing, "), "it was used a moment ago");
    // The engine may still remove the container that the files were read from.
    eventually("it would go", Duration::from_secs(20), || {
        age(home);
        results(&["--dry-run"]).starts_with("would remove 1 result (")
    });
    let before = files(home).len();
    results(&["--dry-run"]);
    assert_eq!(files(home).len(), before);
    let said = results(&[]);
    assert!(said.starts_with("removed 1 result ("), "{said}");
    assert!(results(&[]).starts_with("removed nothing, "), "it is gone");
    assert_eq!(commands(&["run", "build", "-q", "--nonce", &nonce], home), "");
}

#[test]
fn a_cache_that_a_service_holds_stays_however_old_it_looks() {
    let (home, key) = (tempfile::tempdir().unwrap(), nonce());
    let caches = || commands(&[&["prune", "--kind", "caches"], &OLDER[..]].concat(), home.path());
    let mut holder = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    holder.arg("hold-cache").env("BOWLINE_HOME", home.path()).env("KEY", &key);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    age(home.path());
    assert!(caches().starts_with("removed nothing, "), "it is in use");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    // The service ends with its program, or a little later.
    eventually("the cache goes", Duration::from_secs(20), || {
        age(home.path());
        caches().starts_with("removed 1 cache (")
    });
}

#[test]
fn what_is_on_the_disk_is_said_by_kind() {
    let (home, key) = (tempfile::tempdir().unwrap(), nonce());
    let pipeline = Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .arg("once")
        .env("BOWLINE_HOME", home.path())
        .env("KEY", &key)
        .output()
        .unwrap();
    assert!(pipeline.status.success(), "{pipeline:?}");
    let usage: serde_json::Value =
        serde_json::from_str(&commands(&["usage", "--json"], home.path())).unwrap();
    let of = |kind: &str| {
        let kinds = usage["kinds"].as_array().unwrap();
        kinds.iter().find(|found| found["kind"] == kind).unwrap().clone()
    };
    for kind in ["results", "caches"] {
        assert!(of(kind)["entries"].as_u64() >= Some(1) && of(kind)["bytes"].as_u64() >= Some(1), "{usage}");
    }
    let said = commands(&["usage"], home.path());
    let engine = usage["engine"].as_str().unwrap();
    assert!(said.starts_with(engine) && said.contains("\nimages ") && said.contains("\ncaches "), "{said}");
    age(home.path());
    commands(&[&["prune", "--kind", "caches", "--kind", "results"], &OLDER[..]].concat(), home.path());
}

#[test]
fn an_engine_is_kept_small_after_a_run_and_nobody_waits_for_that() {
    let (home, nonce) = (tempfile::tempdir().unwrap(), nonce());
    let outcome = home.path().join("kept-small");
    // Others' results are in the daemon too.
    let size = if bowline_tests::inspector().name() == "native" { "0" } else { "1000TiB" };
    let build = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
        command.args(["run", "build", "-q", "--nonce", &nonce]).env("BOWLINE_HOME", home.path());
        let output = command.env("BOWLINE_KEEP", size).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    build();
    let said = || fs::read_to_string(&outcome).unwrap_or_default();
    eventually("it says what it did", Duration::from_secs(60), || said().contains("removed "));
    if size == "0" {
        assert!(said().starts_with("removed ") && !said().starts_with("removed nothing"), "{}", said());
    } else {
        assert!(said().starts_with("removed nothing, 0 MB in all; "), "{}", said());
    }
    // Not at the end of every run.
    let then = fs::metadata(&outcome).unwrap().modified().unwrap();
    build();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(fs::metadata(&outcome).unwrap().modified().unwrap(), then);
}

/// In a store of its own, as whoever prunes takes from everybody.
#[test]
fn what_is_pruned_is_made_again() {
    if !bowline_tests::on_native("what a daemon keeps is its own to remove") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert_eq!(pipeline("ping", home), "PONG\n");
    let layers = || std::fs::read_dir(home.join("l")).unwrap().count();
    let before = layers();
    assert!(before > 0);
    // What was used a moment ago may be in use: clocks of file systems are behind by a little.
    std::thread::sleep(Duration::from_millis(500));
    let said = pipeline("prune", home);
    assert!(said.starts_with("removed ") && said.ends_with("; 0 MB are left\n"), "{said}");
    assert_eq!(layers(), 0);
    assert_eq!(pipeline("ping", home), "PONG\n");
    assert_eq!(layers(), before);
}

#[bowline::test]
async fn what_runs_keeps_what_it_uses() {
    if !bowline_tests::on_native("what a daemon keeps is its own to remove") {
        return;
    }
    let cache = CacheVolume::new(format!("kept-{}", nonce()));
    let base = Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/cache", &cache);
    let made = base.shell("echo kept | tee /made /cache/made");
    made.sync().await.unwrap();
    let pruned = bowline::prune(Prune::all().unused_for(Duration::from_secs(1 << 30))).await.unwrap();
    assert_eq!(pruned.entries, 0, "{pruned}");
    // Of this session, and of those of all the other tests that run beside it, nothing may go.
    let pruned = bowline::prune(Prune::all()).await.unwrap();
    assert!(pruned.left > 0, "{pruned}");
    assert_eq!(made.shell("cat /made /cache/made").stdout().await.unwrap(), "kept\nkept\n");
}
