//! Images that are files: archives as `docker save` writes them, and OCI image layouts.

use std::path::Path;
use std::process::Command;

use bowline::{Container, Error};
use bowline_tests::{docker, nonce};

/// Writes an image that no engine has, in every form, below a directory (`programs/image-files.sh`); gives the name that it
/// had.
fn write(directory: &Path) -> String {
    let name = format!("bowline-tests/file-{}", nonce());
    let _ = docker(&[
        "run",
        "--name",
        &name.replace('/', "-"),
        "busybox:1.35",
        "sh",
        "-c",
        "echo $HOSTNAME >/mine",
    ]);
    let change = "--change=ENV GREETING=hello";
    let _ = docker(&["commit", change, &name.replace('/', "-"), &format!("{name}:1")]);
    let _ = docker(&["rm", &name.replace('/', "-")]);
    let script = include_str!("../../src/programs/image-files.sh");
    let output =
        Command::new("sh").args(["-c", script, "sh", &name]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    name
}

fn look(reference: &str) -> Container {
    Container::from_image(reference).env("NONCE", nonce()).shell("cat /mine; echo $GREETING; ls /bin/busybox")
}

#[bowline::test]
async fn images_are_read_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let (name, at) = (write(directory.path()), directory.path().display());
    let forms = [
        format!("docker-archive:{at}/image.tar"),
        format!("docker-archive:{at}/both.tar:{name}:1"),
        format!("oci:{at}/layout"),
        format!("oci:{at}/layout:v1"),
    ];
    for form in &forms {
        let output = look(form).stdout().await.unwrap();
        assert!(output.ends_with("\nhello\n/bin/busybox\n") && output.len() > 20, "{form}: {output}");
    }
    // The same contents are the same image, whatever form they came in: what was run of one need not be of another.
    let step = |form: &str| Container::from_image(form).exec(["cat", "/proc/sys/kernel/random/uuid"]);
    let first = step(&forms[0]).stdout().await.unwrap();
    for form in &forms {
        assert_eq!(step(form).stdout().await.unwrap(), first, "{form}");
    }
    bowline_tests::inspector().forget_loaded();
}

/// By the names that a registry would have for them.
#[test]
fn a_directory_stands_for_a_registry() {
    if !bowline_tests::on_native("what a Docker engine pulls from is its own") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let (store, repository) = (directory.path().join("store"), directory.path().join("images/acme/app"));
    std::fs::create_dir_all(&repository).unwrap();
    std::fs::rename(directory.path().join("image.tar"), repository.join("1.tar")).unwrap();
    std::fs::rename(directory.path().join("layout"), repository.join("latest")).unwrap();
    let run = |image: &str, images: &str| {
        Command::new(env!("CARGO_BIN_EXE_pipeline"))
            .arg("run-image")
            .env("IMAGE", image)
            .env("BOWLINE_HOME", &store)
            .env("DOCKER_HOST", "unix:///no/such.sock")
            .env("BOWLINE_REGISTRIES", format!("r.test={images},r.test=http://127.0.0.1:1"))
            .output()
            .unwrap()
    };
    let images = directory.path().join("images");
    let images = images.to_str().unwrap();
    for image in ["r.test/acme/app:1", "r.test/acme/app"] {
        let output = run(image, images);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ran first\nran second\n", "{image}: {stderr}");
    }
    // What was found is known from now on.
    assert!(run("r.test/acme/app:1", "/nowhere").status.success());
    assert!(!run("r.test/acme/app:2", images).status.success());
}

#[bowline::test]
async fn files_that_are_no_image_are_named() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let at = directory.path().display();
    std::fs::write(directory.path().join("text"), "no archive").unwrap();
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    let failing = [
        (format!("docker-archive:{at}/none.tar"), "No such file".to_owned()),
        (format!("docker-archive:{at}/text"), "not a tar archive".to_owned()),
        (format!("docker-archive:{at}/both.tar"), "help: add `:".to_owned()),
        (format!("docker-archive:{at}/both.tar:redis:7"), "there is no image `redis:7`, but: ".to_owned()),
        (format!("oci:{at}/empty"), "`index.json` is missing".to_owned()),
        (format!("oci:{at}/layout:v2"), "there is no image `v2`, but: v1".to_owned()),
    ];
    for (form, says) in failing {
        let error = look(&form).sync().await.unwrap_err();
        assert!(matches!(error, Error::ImageNotFound { .. }), "{error:?}");
        assert!(error.to_string().contains(&says), "{says:?} is not in: {error}");
    }
    let foreign = Container::from_image(format!("oci:{at}/layout")).platform("linux/s390x").exec(["true"]);
    let foreign = foreign.sync().await.unwrap_err();
    assert!(foreign.to_string().contains("linux/s390x"), "{foreign}");
    // Somebody has touched the manifest.
    let index = std::fs::read_to_string(directory.path().join("layout/index.json")).unwrap();
    let digest = index.split("sha256:").nth(1).unwrap()[..64].to_owned();
    let blob = directory.path().join("layout/blobs/sha256").join(digest);
    let text = std::fs::read_to_string(&blob).unwrap();
    std::fs::write(&blob, format!("{text} ")).unwrap();
    let error = look(&format!("oci:{at}/layout")).sync().await.unwrap_err().to_string();
    assert!(error.contains("is not what it is called"), "{error}");
}
