//! Making room in the store of the native engine.

use std::process::Command;
use std::time::Duration;

use bowline::{CacheVolume, Container, Prune};
use bowline_tests::nonce;

fn pipeline(mode: &str, home: &std::path::Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    let output = command.arg(mode).env("BOWLINE_HOME", home).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
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
