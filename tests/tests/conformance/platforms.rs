//! Images of other platforms than the engine's own.

use std::time::SystemTime;

use bowline::{Container, Result, Session};
use bowline_tests::{docker, inspector, nonce};

use crate::registry::Registry;

/// An image that says it is of another architecture, and whose program really is not of this one.
fn foreign_image(nonce: &str) -> String {
    let name = format!("bowline-tests/foreign-{nonce}:1");
    let dir = tempfile::tempdir().unwrap();
    // An ELF header for machine 0xf3 (RISC-V, 64 bits), and nothing behind it.
    let mut program =
        vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xf3, 0, 1, 0, 0, 0];
    program.resize(64, 0);
    std::fs::write(dir.path().join("program"), program).unwrap();
    let script = include_str!("../../src/programs/foreign-image.sh");
    let output = std::process::Command::new("sh")
        .args(["-c", script, "sh", &name])
        .current_dir(&dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    name
}

fn forget(image: &str) {
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", image]);
    let _ = docker(&["image", "rm", "--force", id.trim()]);
}

/// The error of a program that only another machine runs: so it was that machine's image.
#[track_caller]
fn was_foreign(ran: Result<()>) {
    let error = ran.unwrap_err().to_string();
    assert!(error.contains("exec format error") && error.contains("qemu-user-static"), "{error}");
}

#[bowline::test]
async fn an_image_is_taken_for_its_own_platform_only() {
    let image = foreign_image(&nonce());
    let foreign = |platform| Container::from_image(&image).platform(platform).exec(["/program"]);
    was_foreign(foreign("linux/riscv64").sync().await);
    let error = foreign("linux/s390x").sync().await.unwrap_err().to_string();
    assert!(error.contains("is there for linux/riscv64, and not for linux/s390x: "), "{error}");
    // Nor is it taken for one of the engine's own.
    let error = Container::from_image(&image).exec(["/program"]).sync().await.unwrap_err().to_string();
    assert!(error.contains("is there for linux/riscv64, and not for linux/"), "{error}");
    assert!(error.contains("help: `platform \"linux/riscv64\";` takes the one that is there"), "{error}");
    forget(&image);
}

#[bowline::test]
async fn a_platform_is_part_of_the_identity() {
    let busybox = || Container::from_image("busybox:1.35");
    let digest = |container: Container| container.exec(["true"]).digest().unwrap();
    assert_ne!(digest(busybox()), digest(busybox().platform("linux/amd64")));
    assert_ne!(digest(busybox().platform("linux/arm64")), digest(busybox().platform("linux/amd64")));
}

#[bowline::test]
async fn two_platforms_of_one_image_are_pulled_side_by_side() {
    let local = foreign_image(&nonce());
    let registry = Registry::start("busybox:1.35", &["--image", &format!("{local}=foreign:1")]);
    let (native, foreign) = (registry.image.clone(), format!("{}/foreign:1", registry.address));
    let both = format!("{}/both:1", registry.address);
    let _ = docker(&["manifest", "create", "--insecure", &both, &native, &foreign]);
    let _ = docker(&["manifest", "push", "--insecure", "--purge", &both]);
    forget(&local);

    let (prepared, began) = (registry.sent().len(), SystemTime::now());
    for _ in 0..2 {
        let session = Session::new();
        let nonce = nonce();
        let of = |platform: Option<&str>| {
            let image = Container::from_image(&both).env("NONCE", &nonce);
            match platform {
                Some(platform) => image.platform(platform).exec(["/program"]),
                None => image.exec(["true"]),
            }
        };
        let (native, foreign) = (of(None), of(Some("linux/riscv64")));
        let both = async { tokio::join!(native.sync(), foreign.sync()) };
        let (native, foreign) = session.scope(both).await;
        native.unwrap();
        was_foreign(foreign);
        session.close().await.unwrap();
    }
    // Two configurations, and the layer of the one where no other test has brought it; the other's is busybox's.
    let sent = registry.sent().split_off(prepared);
    assert!(sent.len() <= 3, "the second session finds both: {sent:?}");
    assert!(registry.pulls(began).is_none_or(|pulls| pulls == 2), "the second session finds both");
    if !inspector().names_images() {
        return;
    }
    let architecture = |image: &str| docker(&["image", "inspect", "--format", "{{.Architecture}}", image]);
    // Whichever came first.
    let own = [architecture("busybox:1.35")];
    let meant = docker(&["image", "ls", "--quiet", &both]);
    assert!(
        meant.lines().map(architecture).eq(own),
        "the reference means the engine's own platform: {meant}"
    );
    let aside = docker(&["image", "ls", "--quiet", "bowline/platform"]);
    for id in aside.lines().filter(|id| architecture(id).trim() == "riscv64") {
        let _ = docker(&["image", "rm", "--force", id]);
    }
}
