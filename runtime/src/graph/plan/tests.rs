//! Plans as users pin them, and what identities are made of.

use super::*;
use crate::value::{CacheVolume, Secret, Stop};

fn example() -> Plan {
    let data = CacheVolume::new("data");
    let db = Service::from_image("postgres:15")
        .env("POSTGRES_HOST_AUTH_METHOD", "trust")
        .mount("/var/lib/postgresql/data", &data)
        .expose(Port::tcp(5432).named("sql"))
        .ready(Ready::exec(["pg_isready", "-U", "postgres"]).within("2m"))
        .stop_with(Stop::signal("INT").within("30s"))
        .named("db");
    let api = Service::from_image("acme/api:2")
        .bind("db", &db)
        .expose(8080)
        .expose(Port::udp(53).unprobed())
        .linger("0s")
        .instance(2)
        .named("api");
    let migrate = Container::from_image("postgres:15")
        .bind("db", &db)
        .exec(["psql", "-f", "/it's.sql"])
        .named("migrate");
    let tests = Container::from_image("python:3.11")
        .after(&migrate)
        .bind("db", &db)
        .bind("api", &api)
        .env("TOKEN", &Secret::env("API_TOKEN"))
        .with_file("/t.py", "print(1)")
        .mount("/schema", migrate.file("/schema.sql"))
        .workdir("/src")
        .exec(["python", "/t.py"])
        .user("1000")
        .exec(["true"])
        .named("tests");
    Plan::builder().container("tests", &tests).container("migrate", &migrate).service("api", &api).build()
}

#[test]
fn as_text() {
    insta::assert_snapshot!(example());
}

#[test]
fn as_json() {
    insta::assert_json_snapshot!(example());
}

#[test]
fn what_is_copied_and_mounted_is_shown() {
    let build = Container::from_image("debian:12").shell("make").named("build");
    let test = Container::from_image("python:3.11")
        .platform("linux/arm64")
        .label("com.example.team", "storage")
        .copy("/app", build.directory("/out"))
        .copy("/app/", build.file("/etc/build.conf"))
        .mount_readonly("/data", build.directory("/data"))
        .mount_readonly("/cache", CacheVolume::new("pip"))
        .mount("/run/secrets/token", Secret::value("token", "hush"))
        .exec(["pytest"])
        .named("test");
    insta::assert_snapshot!(test.plan());
}

#[test]
fn mistakes_are_part_of_it() {
    let db = Service::from_image("Postgres:15").named("db");
    let client = Container::from_image("busybox:1.35")
        .bind("my_db", &db)
        .exec(["true"])
        .mount("data", CacheVolume::new("x"));
    insta::assert_snapshot!(client.named("client").plan());
}

#[test]
fn order_and_sharing_do_not_matter_to_identities() {
    let a = Container::from_image("busybox").env("A", "1").env("B", "2").exec(["true"]);
    let b =
        Container::from_image("docker.io/library/busybox:latest").env("B", "2").env("A", "1").exec(["true"]);
    assert_eq!(a.digest().unwrap(), b.digest().unwrap());
    assert_eq!(Plan::builder().container("a", &a).container("b", &b).build().steps.len(), 1);
    let other = Container::from_image("busybox").env("A", "1").env("B", "3").exec(["true"]);
    assert_ne!(a.digest().unwrap(), other.digest().unwrap());
    assert_ne!(a.clone().exec(["true"]).digest().unwrap(), a.digest().unwrap());
    let secret = |contents: &str| {
        Container::from_image("busybox").env("T", &Secret::value("t", contents)).exec(["true"])
    };
    assert_eq!(secret("one").digest().unwrap(), secret("two").digest().unwrap());
}

#[test]
fn what_is_mounted_and_copied_is_part_of_an_identity() {
    let base = || Container::from_image("busybox:1.35");
    let source = base().shell("date > /a; date > /b");
    let digest = |container: Container| container.exec(["true"]).digest().unwrap();
    let secret = |name, contents, path: &str| digest(base().mount(path, Secret::value(name, contents)));
    assert_eq!(secret("t", "one", "/t"), secret("t", "two", "/t"), "no contents");
    let all = [
        digest(base()),
        secret("t", "one", "/t"),
        secret("u", "one", "/t"),
        secret("t", "one", "/u"),
        digest(base().mount("/x", CacheVolume::new("x"))),
        digest(base().mount_readonly("/x", CacheVolume::new("x"))),
        digest(base().copy("/x", source.file("/a"))),
        digest(base().copy("/x", source.file("/b"))),
        digest(base().copy("/x", source.directory("/a"))),
        digest(base().copy("/x/", source.file("/a"))),
        digest(base().mount_readonly("/x", source.file("/a"))),
        digest(base().platform("linux/amd64")),
        digest(base().platform("linux/arm64")),
    ];
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    assert_eq!(digest(base().copy("/x/", source.file("/a"))), digest(base().copy("/x/a", source.file("/a"))));
    assert_eq!(digest(base().label("com.example.team", "x")), digest(base()), "labels change nothing");
}

#[test]
fn a_platform_is_of_the_image_and_stands_before_its_steps() {
    let mistake = |container: Container| container.named("c").plan().check().unwrap_err().to_string();
    let base = || Container::from_image("busybox:1.35");
    let late = mistake(base().exec(["true"]).platform("linux/arm64"));
    assert!(late.contains("a platform after a step changes nothing of it"), "{late}");
    let other = mistake(Container::from_container(&base()).platform("linux/arm64").exec(["true"]));
    assert!(other.contains("a container of another one has its platform"), "{other}");
    let two = mistake(base().platform("linux/arm64").platform("linux/amd64"));
    assert!(two.contains("two platforms: `linux/arm64` and `linux/amd64`"), "{two}");
    let unknown = mistake(base().platform("linux/aarch64"));
    assert!(unknown.ends_with("help: `linux/arm64`"), "{unknown}");
    let own = mistake(base().label("bowline.session", "x"));
    assert!(own.contains("label `bowline.session` is reserved"), "{own}");
}

#[test]
fn what_cannot_change_the_result_is_no_part_of_an_identity() {
    let plain = Service::from_image("redis:7").expose(6379);
    let tuned = plain
        .clone()
        .expose(Port::tcp(1).named("x").unprobed())
        .ready(Ready::log("up").within("5s"))
        .stop_with(Stop::signal("SIGINT"))
        .linger("1s")
        .limit_cpu(0.5)
        .limit_memory("64MiB")
        .limit_pids(256)
        .limit_nofile(65_536)
        .limit_core("1MiB")
        .shm("1MiB")
        .named("other");
    assert_eq!(plain.digest().unwrap(), tuned.digest().unwrap());
    assert_eq!(plain.hostname(), tuned.hostname());
    assert_ne!(plain.digest().unwrap(), plain.clone().instance("2").digest().unwrap());
    assert_ne!(plain.digest().unwrap(), plain.run(["redis-server"]).digest().unwrap());
}

#[test]
fn limits_and_settings_are_shown() {
    let limited = Container::from_image("debian:12")
        .limit_cpu(0.5)
        .limit_memory("64MiB")
        .limit_pids(256)
        .limit_nofile(65_536)
        .limit_core("0")
        .cap_drop("all")
        .cap_add("cap_chown")
        .sysctl("net.core.somaxconn", 5)
        .shm("1MiB")
        .shell("make");
    let plan = limited.plan().to_string();
    for limit in [
        "limit cpu 0.5",
        "limit memory 67108864 bytes",
        "limit pids 256",
        "limit nofile 65536",
        "limit core 0 bytes",
        "shm 1048576 bytes",
        "cap drop ALL",
        "cap add CHOWN",
        "sysctl net.core.somaxconn=5",
    ] {
        assert!(plan.contains(limit), "{limit}: {plan}");
    }
}

#[test]
fn a_host_name_that_was_asked_for_too_early_is_a_mistake() {
    let (web, define) = Service::declare("web");
    let early =
        Container::from_image("busybox:1.35").env("URL", web.endpoint_on(80).with_scheme("http").to_string());
    define.set(Service::from_image("nginx:1.22").expose(80));
    let error = early.bind("web", &web).exec(["true"]).plan().check().unwrap_err().to_string();
    assert!(error.contains("the host name of service `web` was asked for before it was defined"), "{error}");
}

#[test]
fn long_chains_need_no_deep_stack() {
    let mut chain = Container::from_image("busybox:1.35");
    for step in 0..5000 {
        chain = chain.exec(["echo", &step.to_string()]);
    }
    assert_eq!(chain.plan().steps.len(), 5000);
}

/// A directory that is removed after the test.
fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        std::fs::write(dir.path().join(name), contents).unwrap();
    }
    dir
}

#[test]
fn a_plan_with_files_changes_with_a_file_and_one_without_does_not() {
    let dir = written(&[("a", "1\n"), ("b", "2\n"), (".gitignore", "b\n")]);
    let read = || {
        let served = Service::from_image("nginx:1.22")
            .mount_readonly("/conf", crate::host_file(dir.path().join("a")))
            .expose(80);
        let source: crate::Directory = crate::host(dir.path()).into();
        let build = Container::from_image("debian:12").copy("/src", &source).mount("/again", &source);
        build.bind("www", &served).exec(["make"]).plan()
    };
    let before = read();
    let (text, with) = (before.to_string(), before.with_files().unwrap());
    assert_eq!(with.files.len(), 2, "{with}");
    let directory = with.files.iter().find(|files| files.path == dir.path().to_string_lossy()).unwrap();
    assert_eq!((directory.files, directory.bytes), (2, 4), "what is ignored is not taken: {with}");

    std::fs::write(dir.path().join("b"), "ignored\n").unwrap();
    assert_eq!(read().with_files().unwrap().to_string(), with.to_string());
    std::fs::write(dir.path().join("a"), "edited\n").unwrap();
    assert_eq!(read().to_string(), text);
    let edited = read().with_files().unwrap();
    assert!(edited.files.iter().zip(&with.files).all(|(after, before)| after.contents != before.contents));
    assert_ne!(edited.to_string(), with.to_string());

    let json = serde_json::to_value(&edited).unwrap();
    assert_eq!(json["files"][0]["contents"], edited.files[0].contents.to_string());
    assert!(serde_json::to_value(read()).unwrap().get("files").is_none());

    drop(dir);
    let error = edited.with_files().unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
