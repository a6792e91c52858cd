//! Containers published to a real registry, and exported to files; taken back by others than made them.

use std::path::Path;
use std::process::{Command, Output};

use bowline::{Container, Error, Exec, Expect, Secret, Session};
use bowline_tests::{docker, fetch, inspector, nonce, server};

use super::events::Record;
use super::registry::{Registry, refuses};

/// What a pulled image says of itself when it is run.
const LOOK: &str = r#"
    ls /d /d/old; cat /d/old/new; ls /etc/group 2>/dev/null || echo gone
    [ $(stat -c %i /one) = $(stat -c %i /two) ] && readlink /three
    stat -c '%F %a %u:%g' /suid /fifo; wc -c </big; cat /deep/*/*/*/*
    echo "$GREETING $(pwd) $(id -u):$(id -g) ${TOKEN:-none} $#"
"#;

const SEEN: &str = "/d:\nkept\nold\n\n/d/old:\nnew\nnew\ngone\none\nregular file 4755 12:34\nfifo 644 0:0\n3000000\n\
                    far\nhello /srv 1000:1000 none 0\n";

/// A container with everything that a layer can say, of several steps.
fn with_everything(secret: &Secret) -> Container {
    let first = r"
        mkdir -p /d/old; echo old >/d/old/old; echo kept >/d/kept; echo mistake >/d/gone
        echo one >/one; ln /one /two; ln -s one /three; mkfifo -m 644 /fifo
        echo suid >/suid; chown 12:34 /suid; chmod 4755 /suid; head -c 3000000 /dev/urandom >/big
        name=$(printf '%0120d' 0); mkdir -p /deep/$name/$name/$name; echo far >/deep/$name/$name/$name/$name
    ";
    let second =
        "rm -r /d/old /d/gone /etc/group; mkdir /d/old; echo new >/d/old/new; cat /run/token >/dev/null";
    Container::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .env("TOKEN", secret)
        .mount("/run/token", secret)
        .shell(first)
        .shell(second)
        .env("GREETING", "hello")
        .workdir("/srv")
        .user("1000:1000")
        .label("com.example.team", "storage")
        .entrypoint(["sh", "-c", LOOK])
}

/// What is to be seen of it. Where the engine forgets that a new directory has nothing of an older one of its name, what a
/// step leaves there is what is published.
async fn seen(app: &Container) -> String {
    let old = app.clone().env("TOKEN", "").exec(Exec::new(["test", "-e", "/d/old/old"]).expect(Expect::Any));
    if inspector().may_forget_removals() && old.exit_code().await.unwrap() == 0 {
        return SEEN.replace("/d/old:\nnew\n", "/d/old:\nnew\nold\n");
    }
    SEEN.to_owned()
}

/// Runs an image with the docker command, which pulls it.
fn run_with_docker(image: &str) -> String {
    docker(&["run", "--rm", image])
}

/// Runs an image's command with the native engine, in a store of its own.
fn run_natively(image: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    let command = command.arg("serve-image").env("IMAGE", image).env("BOWLINE_ENGINE", "native");
    let output =
        command.env("BOWLINE_HOME", home.path()).env("DOCKER_HOST", "unix:///nowhere").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is below a directory, unpacked where it is compressed, has a text so many times.
fn count(directory: &Path, text: &str) -> usize {
    let script =
        r#"find "$0" -type f -exec zcat -f {} + | grep --text --fixed-strings --count -e "$1" || true"#;
    let output = Command::new("sh").args(["-c", script]).arg(directory).arg(text).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

fn place(registry: &Registry) -> String {
    format!("{}/team/app-{}:1.2", registry.address, nonce())
}

/// What it is told of while it takes its time, with totals where an engine knows them.
#[bowline::test]
async fn observers_are_told_of_a_pull_and_of_a_push() {
    let registry = Registry::open();
    let (session, to) = (Session::new(), place(&registry));
    let record = Record::of(&session);
    let pulled = Container::from_image(&registry.image).env("NONCE", nonce()).exec(["true"]).named("app");
    session.scope(pulled.publish(&to)).await.unwrap();
    session.close().await.unwrap();
    let shown = record.shown(&[(&*to, "PUBLISHED"), (&*registry.image, "IMAGE")]);
    let spans = |of: &str| -> String { shown.lines().skip_while(|line| *line != of).take(4).collect() };
    assert!(spans("image IMAGE").contains("  opened  pulling"), "{shown}");
    assert!(spans("image PUBLISHED").contains("  opened  pushing"), "{shown}");
}

#[bowline::test]
async fn what_is_published_is_taken_back_whole() {
    let registry = Registry::open();
    let token = format!("token-{}", nonce());
    let secret = Secret::value("token", token.clone());
    let app = with_everything(&secret);
    let seen = seen(&app).await;
    let to = place(&registry);
    let published = app.publish(&to).await.unwrap();
    let (repository, digest) = published.split_once("@sha256:").expect("by digest");
    assert_eq!((repository, digest.len()), (to.strip_suffix(":1.2").unwrap(), 64));
    assert_eq!(registry.pulled(), [""; 0], "the engine has no name for it");
    assert_eq!(run_with_docker(&published), seen);
    assert_eq!(run_with_docker(&to), seen, "the tag means it");
    assert_eq!(run_natively(&published), seen);
    let inspected = docker(&["image", "inspect", &published]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let config = &inspected[0]["Config"];
    assert_eq!(config["Labels"]["com.example.team"], "storage");
    assert_eq!((config["User"].as_str(), config["WorkingDir"].as_str()), (Some("1000:1000"), Some("/srv")));
    assert!(config["Cmd"].is_null(), "an entry point of its own takes the image's command away");
    let env = config["Env"].to_string();
    assert!(env.contains("GREETING=hello") && env.contains("PATH=") && !env.contains("TOKEN"), "{env}");
    assert!(inspected[0]["RootFS"]["Layers"].as_array().unwrap().len() >= 3, "a layer for each step");
    assert_eq!(count(&registry.data(), "mistake"), 1, "layers are searched");
    assert_eq!(count(&registry.data(), &token), 0);
}

#[bowline::test]
async fn what_is_exported_is_read_by_docker_and_by_pipelines() {
    let directory = tempfile::tempdir().unwrap();
    let app = with_everything(&Secret::value("token", "a token"));
    let seen = seen(&app).await;
    let file = directory.path().join("made/for/it/app.tar");
    app.export_image(&file).await.unwrap();
    let entries = std::fs::read_dir(file.parent().unwrap()).unwrap().count();
    assert_eq!(entries, 1, "nothing lies beside it");
    let loaded = docker(&["load", "--quiet", "--input", file.to_str().unwrap()]);
    let (_, id) = loaded.trim().split_once("ID: ").expect("it has no name");
    assert_eq!(run_with_docker(id), seen);
    let _ = docker(&["rmi", id]);
    let reference = format!("docker-archive:{}", file.display());
    assert_eq!(run_natively(&reference), seen);
    let look = Container::from_image(&reference).env("NONCE", nonce()).exec(["sh", "-c", LOOK]);
    assert_eq!(look.stdout().await.unwrap(), seen);
    inspector().forget_loaded();
    assert_eq!(inspector().exported(), [""; 0], "the engine has no name for it");
    if inspector().exports_layouts() {
        assert_eq!(run_natively(&format!("oci:{}", file.display())), seen, "it is a layout, too");
        let again = directory.path().join("again.tar");
        app.export_image(&again).await.unwrap();
        assert!(std::fs::read(&file).unwrap() == std::fs::read(&again).unwrap(), "byte for byte");
    }
    // What cannot be written.
    let blocked = app.export_image(file.join("below/a/file.tar")).await.unwrap_err();
    assert!(matches!(blocked, Error::Io { .. }), "{blocked:?}");
}

#[bowline::test]
async fn publishing_again_sends_nothing() {
    let registry = Registry::open();
    let app = Container::from_image("busybox:1.35").env("NONCE", nonce()).shell("echo made >/made");
    let to = place(&registry);
    let first = app.publish(&to).await.unwrap();
    let uploads = registry.uploads();
    assert_eq!(app.publish(&to).await.unwrap(), first);
    // What shares layers sends its own, and its configuration.
    let more = app.shell("echo more >/more").publish(&to).await.unwrap();
    assert_ne!(more, first);
    if inspector().sends_only_what_is_missing() {
        assert_eq!(registry.uploads(), uploads + 2);
    }
}

#[bowline::test]
async fn publishing_starts_the_services_that_steps_need() {
    if !bowline_tests::has_time() {
        return;
    }
    let registry = Registry::open();
    let web = server("published");
    let app = Container::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .copy(
            "/seen",
            fetch("www", &web, "/env").exec(["sh", "-c", "echo from a client >/seen"]).file("/seen"),
        )
        .bind("www", &web)
        .shell("wget -q -O - http://www:8080/env >/fetched")
        .entrypoint(["cat", "/fetched", "/seen"]);
    let published = app.publish(place(&registry)).await.unwrap();
    assert_eq!(run_with_docker(&published), "publishedfrom a client\n");
}

#[bowline::test]
async fn an_image_without_a_step_is_published_too() {
    if !bowline_tests::has_time() {
        return;
    }
    let registry = Registry::open();
    let app = Container::from_image("redis:7").env("GREETING", "hello");
    let published = app.publish(place(&registry)).await.unwrap();
    let format = "{{.Config.ExposedPorts}} {{.Config.Env}} {{.Config.Entrypoint}} {{.Config.Cmd}}";
    let _ = docker(&["pull", "--quiet", &published]);
    let (ours, theirs) = (
        docker(&["image", "inspect", "--format", format, &published]),
        docker(&["image", "inspect", "--format", format, "redis:7"]),
    );
    assert_eq!(ours.replace(" GREETING=hello", ""), theirs);
    assert!(ours.contains("GREETING=hello"), "{ours}");
}

fn publish(registry: &Registry, to: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("publish").env("IMAGE", to).env("DOCKER_CONFIG", registry.config());
    command.env("BOWLINE_PROGRESS", "log").env_remove("DOCKER_AUTH_CONFIG").output().unwrap()
}

#[test]
fn whoever_may_not_push_is_told_so() {
    let registry = Registry::locked();
    let to = place(&registry);
    let refused = format!("not allowed to push `{to}`");
    refuses(&publish(&registry, &to), &[&refused, "no credentials were sent", "docker login"]);
    registry.write_config(&format!(r#"{{"auths": {{"{}": {{"auth": "YTpi"}}}}}}"#, registry.address));
    refuses(&publish(&registry, &to), &[&refused, "the credentials of `a`", "docker login"]);
    assert_eq!(registry.pulled(), [""; 0]);
    registry.log_in();
    let output = publish(&registry, &to);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("@sha256:"), "{stderr}");
    assert!(stderr.contains(&format!("• pushing {to}")), "{stderr}");
}

#[bowline::test]
async fn what_is_no_place_in_a_registry_is_refused() {
    let app = Container::from_image("busybox:1.35");
    let digest = format!("registry.test/app@sha256:{:064}", 0);
    for (to, says) in [
        ("Registry.test/App:1", "must be lowercase"),
        ("oci:./x", "help: `export_image` writes files"),
        (digest.as_str(), "help: `registry.test/app` with a tag"),
    ] {
        let error = app.publish(to).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains(says), "{error}");
    }
    let baseless = Container::empty().publish("registry.test/app:1").await.unwrap_err();
    assert!(baseless.to_string().contains("has no image"), "{baseless}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = app.publish(format!("{free}/app:1")).await.unwrap_err().to_string();
    assert!(
        unreachable.starts_with(&format!("push `{free}/app:1`: "))
            && unreachable.contains("onnection refused"),
        "{unreachable}"
    );
}

#[bowline::test]
async fn a_name_that_is_the_users_stays_the_users() {
    if bowline_tests::on_docker("it gives an image no name anywhere") {
        let registry = Registry::open();
        let to = place(&registry);
        let _ = docker(&["tag", "busybox:1.35", &to]);
        let id = |name: &str| docker(&["image", "inspect", "--format", "{{.Id}}", name]);
        let app = Container::from_image("busybox:1.35").env("NONCE", nonce()).shell("echo made >/made");
        let published = app.publish(&to).await.unwrap();
        assert_eq!(id(&to), id("busybox:1.35"));
        assert_eq!(registry.pulled().iter().filter(|name| name.contains('@')).count(), 0, "{published}");
    }
}

/// All names in the layers of an image's archive.
fn names_in_layers(archive: &Path) -> Vec<String> {
    let script = r#"
        directory=$(mktemp -d)
        tar -xf "$0" -C "$directory"
        find "$directory" -type f | while read -r file; do tar -tf "$file" 2>/dev/null || true; done
        rm -r "$directory"
    "#;
    let output = Command::new("sh").args(["-ec", script]).arg(archive).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[bowline::test]
async fn what_an_engine_puts_into_containers_is_in_no_file_system_and_no_image() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image.tar");
    let step = Container::from_image("busybox:1.35").env("NONCE", nonce()).exec(["true"]);
    let made = Container::from_container(&step).shell("echo mine >/sbin/mine; echo x >/x");
    let names: Vec<_> =
        step.directory("/").entries().await.unwrap().into_iter().map(|entry| entry.name).collect();
    assert!(
        names.iter().any(|name| name == "bin") && !names.iter().any(|name| name == ".dockerenv"),
        "{names:?}"
    );
    let init = step.file("/sbin/docker-init").contents().await.unwrap_err();
    assert!(matches!(init, Error::NoSuchPath { .. }), "{init}");

    made.export_image(&file).await.unwrap();
    let names = names_in_layers(&file);
    assert!(names.iter().any(|name| name.ends_with("bin/mine")), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with("docker-init")), "{names:?}");
    let image = Container::from_image(format!("docker-archive:{}", file.display())).env("NONCE", nonce());
    let seen = image.shell("cat /sbin/mine /x; ls / | grep -c bin").stdout().await.unwrap();
    assert!(seen.starts_with("mine\nx\n"), "{seen}");
}
