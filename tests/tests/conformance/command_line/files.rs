//! What leaves a pipeline: files, archives, published images; and room on the disk.

use std::process::Command;

use bowline_tests::{inspector, nonce, on_native};

use super::super::registry::Registry;
use super::{ci, ci_of, stderr, stdout};

#[test]
fn what_a_container_exports_is_written_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let (nonce, at) = (nonce(), |name: &str| directory.path().join(name));
    let export = |source: &str, to: &str| {
        let output = ci_of(&nonce, &["export", source, at(to).to_str().unwrap()]);
        assert!(output.status.success(), "{source}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    };
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
    for (source, to) in [("app", "1"), ("build.app", "2"), ("build:/out/app", "3"), ("out:app", "4")] {
        export(source, to);
        assert_eq!(read(to), "an app\n", "{source}");
    }
    for (source, to) in [("out", "5"), ("build:/out", "6"), ("build.out", "7")] {
        export(source, to);
        assert_eq!(
            (read(&format!("{to}/app")), read(&format!("{to}/sub/file"))),
            ("an app\n".into(), "below\n".into())
        );
    }
    export("out:sub", "8");
    assert_eq!(read("8/file"), "below\n");
    // A container alone is an image's archive.
    export("build", "image.tar");
    let list = Command::new("tar").arg("-tf").arg(at("image.tar")).output().unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).lines().any(|name| name == "manifest.json"), "{list:?}");
    inspector().forget_loaded();
}

#[test]
fn what_cannot_be_exported_is_said_before_anything_runs() {
    for (source, says) in [
        ("ap", "no item is named `ap`\n\nhelp: an export with a similar name exists: `app`\n"),
        ("redis", "the service `redis` has no such files: "),
        ("app:sub", "the file `build.app` has no such files: "),
    ] {
        let output = ci(&["export", source, "/dev/null/x"]);
        assert_eq!(output.status.code(), Some(4), "{source}: {}", stderr(&output));
        assert!(stderr(&output).starts_with(&format!("error: {says}")), "{}", stderr(&output));
    }
    let output = ci(&["export", "build:/out/nothing", "/dev/null/x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("error: build: `/out/nothing`: no such file or directory\n"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_is_published_is_named_by_its_digest() {
    let registry = Registry::open();
    let to = format!("{}/team/app-{}:1", registry.address, nonce());
    let output = ci(&["publish", "build", &to]);
    assert!(output.status.success(), "{}", stderr(&output));
    let published = stdout(&output);
    let (repository, digest) = published.trim_end().split_once("@sha256:").expect("by digest");
    assert_eq!((repository, digest.len()), (to.strip_suffix(":1").unwrap(), 64));
    assert_eq!(bowline_tests::docker(&["run", "--rm", published.trim_end()]), "an app\n");
}

#[test]
fn what_is_pruned_is_said_in_numbers() {
    if !on_native("what a daemon keeps is its own to remove") {
        return;
    }
    // In a store of its own, as whoever prunes takes from everybody.
    let home = tempfile::tempdir().unwrap();
    let at_home = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
        let output = command.args(args).env("BOWLINE_HOME", home.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let nonce = nonce();
    at_home(&["run", "build", "-q", "--nonce", &nonce]);
    let said = at_home(&["prune", "--unused-for", "1h"]);
    assert!(said.starts_with("removed nothing") || said.starts_with("removed 0 "), "{said}");
    // What was used a moment ago may be in use: clocks of file systems are behind by a little.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let said = at_home(&["prune"]);
    assert!(said.starts_with("removed ") && said.ends_with("; 0 MB are left\n"), "{said}");
}
