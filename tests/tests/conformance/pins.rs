//! Images that are locked: a tag means what it meant, whatever the registry says today.

use std::path::Path;
use std::process::{Command, Output};

use bowline::prelude::*;
use bowline_tests::nonce;

use crate::registry::Registry;

/// A project with a lock file, of a registry whose tag moves.
struct Project {
    directory: tempfile::TempDir,
    image: String,
}

impl Project {
    /// Nothing but the lock file remembers what the tag meant: neither the engine nor a store.
    fn run(&self, mode: &str, args: &[&str]) -> Output {
        let home = tempfile::tempdir().unwrap();
        let _ = Command::new("docker").args(["rmi", "--force", &self.image]).output();
        let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
        command.args(args).args(["--nonce", &nonce(), "--image", &self.image]);
        command.current_dir(self.directory.path().join("below")).env("BOWLINE_HOME", home.path());
        command.env("BOWLINE_IMAGES", mode).env_remove("BOWLINE_PROGRESS").output().unwrap()
    }

    #[track_caller]
    fn refuses(&self, mode: &str, says: &[&str]) {
        let output = self.run(mode, &["run", "versioned", "-q"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{mode}");
        for part in says {
            assert!(said.contains(part), "{part:?} is not in:\n{said}");
        }
    }

    #[track_caller]
    fn shows(&self, mode: &str, version: &str) {
        let output = self.run(mode, &["run", "versioned", "-o", "-q"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), version, "{mode}: {said}");
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("bowline.lock")).unwrap()
    }
}

async fn publish(version: &str, to: &str) -> String {
    let app = Container::from_image("busybox:1.35").with_file("/version", version);
    app.publish(to).await.unwrap()
}

#[bowline::test]
async fn a_tag_that_moves_means_what_was_locked() {
    let registry = Registry::open();
    let to = format!("{}/team/app-{}:1.2", registry.address, nonce());
    let first = publish("one", &to).await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("below")).unwrap();
    let project = Project { directory, image: to.clone() };
    // It belongs beside the lock file of the crates.
    std::fs::write(project.directory.path().join("Cargo.lock"), "").unwrap();
    let output = project.run("", &["lock"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("locked 3 images in ") && said.ends_with("/bowline.lock\n"), "{output:?}");
    let locked: serde_json::Value = serde_json::from_str(&project.file()).unwrap();
    let digest = first.split_once('@').unwrap().1;
    assert_eq!(locked["images"][&*to]["digest"], digest, "{locked}");
    let own = &locked["images"]["docker.io/library/busybox:1.35"];
    assert!(
        own["identity"].as_str().is_some_and(|id| id.starts_with("sha256:")),
        "no registry has it: {locked}"
    );

    let second = publish("two", &to).await;
    assert_ne!(first, second);
    project.shows("live", "two");
    project.shows("", "two");
    project.shows("pinned", "one");
    project.shows("frozen", "one");
    project.run("", &["lock"]);
    project.shows("frozen", "two");
}

#[bowline::test]
async fn what_is_not_locked_is_an_error_where_it_is_frozen() {
    let registry = Registry::open();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("below")).unwrap();
    let project = Project { directory, image: registry.image.clone() };
    project.refuses("frozen", &["there is no bowline.lock in ", "or above it", "help: "]);
    project.refuses("fixed", &["BOWLINE_IMAGES=fixed means nothing", "`live`, `pinned` or `frozen`"]);
    let file = project.directory.path().join("bowline.lock");
    let write = |images: &str| {
        std::fs::write(&file, format!(r#"{{"version": 1, "images": {{{images}}}}}"#)).unwrap();
    };
    write("");
    let says = format!("image `{}` is not in {}", registry.image, shown(&file));
    project.refuses("frozen", &[&says, "commands.rs:", "help: "]);
    assert_eq!(registry.pulled(), [""; 0], "it was not even asked for");
    // An image that no registry had is compared.
    let other = format!("sha256:{:064}", 1);
    write(&format!(r#""{}": {{"identity": "{other}"}}"#, registry.image));
    let says = [&*format!("image `{}` is sha256:", registry.image), &format!("says that it is {other}")];
    project.refuses("pinned", &[&says[..], &["commands.rs:", "help: "]].concat());
    std::fs::write(&file, "images = []").unwrap();
    project.refuses("pinned", &["bowline.lock: expected value", "help: "]);
}

/// As the program sees it.
fn shown(path: &Path) -> String {
    path.canonicalize().unwrap().display().to_string()
}
