use crate::{CacheVolume, Container, Exec, Plan, Secret, Service};

fn base() -> Container {
    Container::from_image("busybox:1.35")
}

fn source() -> Container {
    base().shell("mkdir /d; date > /d/f").named("source")
}

fn planned(container: Container) -> Result<Plan, String> {
    container.exec(["true"]).named("c").plan().check().map_err(|error| error.to_string())
}

fn mistake(container: Container) -> String {
    planned(container).expect_err("a mistake")
}

#[test]
fn a_path_is_mounted_once_however_it_is_written() {
    let dir = || source().directory("/d");
    for second in ["/p", "/p/", "//p", "/./p/."] {
        for container in [
            base().mount("/p", dir()).mount(second, dir()),
            base().mount("/p", dir()).mount_readonly(second, dir()),
            base().mount_readonly("/p", dir()).mount(second, CacheVolume::new("x")),
            base().mount("/p", dir()).tmpfs(second),
            base().tmpfs("/p").mount(second, dir()),
            base().tmpfs("/p").tmpfs(second),
            base().tmpfs("/p").socket(second, "/run/x.sock"),
            base().mount("/p", Secret::value("s", "s")).exec(["true"]).mount(second, source().file("/d/f")),
        ] {
            let text = mistake(container);
            assert!(text.contains("two mounts at `/p`") && text.contains("help: "), "{second}: {text}");
        }
    }
    let twice = Service::from_image("redis:7").tmpfs("/p").mount("/p", dir());
    assert!(twice.plan().check().unwrap_err().to_string().contains("two mounts at `/p`"));
}

#[test]
fn a_mount_that_would_hide_another_before_anything_sees_it_is_a_mistake() {
    let dir = || source().directory("/d");
    let cache = || CacheVolume::new("x");
    for container in [
        base().mount("/p/q", cache()).mount("/p", dir()),
        base().mount("/p/q", dir()).mount("/p", dir()),
        base().mount("/p/q", dir()).mount_readonly("/p", dir()),
        base().tmpfs("/p/q").tmpfs("/p"),
    ] {
        let text = mistake(container);
        assert!(text.contains("the mount at `/p` hides the one at `/p/q`"), "{text}");
        assert!(text.ends_with("help: write the mount at `/p` first"), "{text}");
    }
    // Once a step has seen it, it is hidden from there on.
    let later = base().mount("/p/q", cache()).exec(["ls"]).mount_readonly("/p", dir());
    let plan = planned(later).unwrap();
    let last = plan.steps.last().unwrap();
    let mounts: Vec<_> = last.details.iter().filter(|line| line.starts_with("mount")).collect();
    assert!(matches!(mounts.as_slice(), [only] if only.ends_with("at /p readonly")), "{plan}");
}

#[test]
fn what_would_be_put_where_nobody_sees_it_is_a_mistake() {
    let dir = || source().directory("/d");
    let file = || source().file("/d/f");
    let covered = [
        base().mount_readonly("/p", dir()),
        base().mount("/p", CacheVolume::new("x")),
        base().tmpfs("/p"),
        base().mount("/p", Secret::value("s", "s")),
        base().socket("/p", "/run/x.sock"),
    ];
    for container in covered {
        for put in [
            container.clone().with_file("/p/a", ""),
            container.clone().copy("/p/", file()),
            container.clone().copy("/p/a/b", dir()),
            container.clone().copy("/p", dir()),
            container.clone().mount("/p/a", dir()),
            container.clone().exec(Exec::new(["true"]).stdout_to("/p/out")),
            container.clone().exec(Exec::new(["true"]).stderr_to("/p")),
        ] {
            let text = mistake(put);
            assert!(text.contains("would be lost") && text.contains("help: choose a path outside"), "{text}");
        }
        // A placement beside a mount, or before it, is no mistake.
        planned(container.with_file("/pa", "").mount("/q", dir()).with_file("/q/a", "")).unwrap();
    }
    planned(base().with_file("/p/a", "").copy("/p/b", dir()).tmpfs("/p")).unwrap();
    let over = mistake(base().tmpfs("/p/q").with_file("/p", ""));
    assert!(over.contains("`/p` is to be a file, and a `tmpfs` is mounted at `/p/q`"), "{over}");
    let below = mistake(base().mount("/f", file()).tmpfs("/f/x"));
    assert!(below.contains("`/f/x` lies below `/f`, which is a file"), "{below}");
    let cache = mistake(base().mount_readonly("/p", CacheVolume::new("x")).tmpfs("/p/q"));
    assert!(cache.contains("the cache `x` is mounted read-only"), "{cache}");
}

#[test]
fn mounts_are_made_the_outer_before_the_inner() {
    let dir = || source().directory("/d");
    let plan = planned(
        base()
            .mount("/p", dir())
            .mount_readonly("/p/ro", dir())
            .mount_readonly("/p/ro/deeper", source().file("/d/f"))
            .mount("/cache", CacheVolume::new("x"))
            .tmpfs("/cache/tmp")
            .mount("/cache/tmp/token", Secret::value("s", "s"))
            .mount_readonly("/cache/src", dir()),
    )
    .unwrap();
    // What holds another mount is placed by a separate step before.
    let paths: Vec<_> = plan
        .steps
        .iter()
        .flat_map(|step| &step.details)
        .filter_map(|line| line.strip_prefix("tmpfs ").or_else(|| Some(line.split_once(" at ")?.1)))
        .collect();
    let wanted = [
        "/p",
        "/p/ro readonly",
        "/p/ro/deeper readonly",
        "/cache",
        "/cache/tmp",
        "/cache/tmp/token",
        "/cache/src readonly",
    ];
    assert_eq!(paths, wanted);
}

#[test]
fn order_is_a_part_of_what_it_is_where_it_matters() {
    let dir = || source().directory("/d");
    let digest = |container: Container| container.exec(["true"]).digest().unwrap();
    assert_ne!(
        digest(base().with_file("/p/a", "").mount("/p", dir())),
        digest(base().mount("/p", dir()).with_file("/p/a", "")),
    );
    assert_ne!(digest(base().copy("/p", dir())), digest(base().mount("/p", dir())));
    assert_ne!(digest(base().mount("/p", dir())), digest(base().mount_readonly("/p", dir())));
    assert_eq!(
        digest(base().tmpfs("/a").mount("/b", CacheVolume::new("x"))),
        digest(base().mount("/b/", CacheVolume::new("x")).tmpfs("/a")),
    );
    assert_ne!(digest(base().tmpfs("/a")), digest(base()));
    assert_ne!(digest(base().socket("/a", "/x")), digest(base().socket("/a", "/y")));
}

#[test]
fn memory_and_sockets_go_on_with_a_container_and_other_mounts_do_not() {
    let first = base().tmpfs("/t").mount("/c", CacheVolume::new("x")).exec(["true"]);
    let shown = |container: Container| container.exec(["id"]).plan().steps.last().unwrap().details.join("\n");
    let next = Container::from_container(&first);
    let details = shown(next.clone());
    assert!(details.contains("tmpfs /t") && !details.contains("cache"), "{details}");
    assert_eq!(shown(next.clone().tmpfs("/t/")), details, "the same once more is no other");
    let instead = shown(next.mount("/t", source().directory("/d")));
    assert!(!instead.contains("tmpfs") && instead.contains("at /t"), "{instead}");
}

#[test]
fn the_kernels_and_the_engines_own_paths_are_nobody_elses() {
    let dir = || source().directory("/d");
    for path in ["/proc", "/proc/x", "/sys/fs", "/dev/", "/"] {
        for container in [
            base().mount(path, dir()),
            base().mount_readonly(path, dir()),
            base().mount(path, CacheVolume::new("x")),
            base().tmpfs(path),
            base().socket(path, "/run/x"),
            base().copy(path, dir()),
            base().with_file(path, ""),
            base().exec(Exec::new(["true"]).stdout_to(path)),
        ] {
            mistake(container);
        }
    }
    for path in ["/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/dev/null"] {
        for container in [
            base().with_file(path, ""),
            base().copy(path, source().file("/d/f")),
            base().mount(path, source().file("/d/f")),
            base().exec(Exec::new(["true"]).stderr_to(path)),
        ] {
            let text = mistake(container);
            assert!(text.contains("never seen") && text.contains("help: "), "{text}");
        }
        planned(base().mount_readonly(path, source().file("/d/f"))).unwrap();
    }
    let named = base().shell("echo > /hosts").file("/hosts");
    assert!(mistake(base().copy("/etc/", named)).contains("`/etc/hosts` is the engine's own"));
}

#[test]
fn what_no_kernel_takes_is_a_mistake_before_anything_runs() {
    let long = "a".repeat(131_072);
    let cases = [
        base().exec(["a\0b"]),
        base().exec(["sh", "-c", "a\0b"]),
        base().shell("a\0b"),
        base().exec([""]),
        base().exec(["true", &long]),
        base().shell(&long),
        base().exec(Exec::new(["cat"]).stdin(b"a\0b").stdout_to("/a\0b")),
        base().env("A", "a\0b"),
        base().env("A=B", "x"),
        base().env("A", &long),
        base().label("a", "b\0"),
        base().workdir("/a\0b"),
        base().workdir(""),
        base().user(":"),
        base().user(""),
        base().user("4294967295"),
        base().entrypoint(["a\0"]),
        base().with_hostname("a".repeat(64)),
        base().tmpfs("/a\0b"),
        base().socket("/a", "/b\0"),
        base().with_file("/a\0", ""),
        base().with_file(format!("/{}", "a".repeat(300)), ""),
        base().mount("/c", CacheVolume::new("")),
        base().mount("/c", CacheVolume::new("a\0b")),
        base().copy("/x", source().file("/d\0")),
        base().copy("/x", source().file("d")),
        base().mount_readonly("/x", source().directory("/d/../e")),
    ];
    for (index, container) in cases.into_iter().enumerate() {
        let text = mistake(container);
        assert!(text.len() < 500, "{index}: it is not repeated in full: {} bytes", text.len());
    }
    let service = |service: Service| service.plan().check().unwrap_err();
    service(Service::from_image("redis:7").run(["redis-server", "\0"]));
    service(Service::from_image("redis:7").ready(crate::Ready::exec([""])));
    planned(base().exec(Exec::new(["cat"]).stdin(b"a\0b"))).unwrap();
}

#[test]
fn what_holds_a_mount_is_placed_before_anything_is_mounted() {
    let dir = || source().directory("/d");
    let cache = || CacheVolume::new("x");
    let steps = |container: Container| {
        let plan = planned(container).unwrap();
        plan.steps
            .iter()
            .filter(|step| step.name == "c")
            .map(|step| step.details.join("\n"))
            .collect::<Vec<_>>()
    };
    for container in [
        base().mount("/p", dir()).mount("/p/c", cache()),
        base().copy("/p", dir()).mount("/p/c", cache()),
        base().mount("/p/c", cache()).copy("/p", dir()),
        base().with_file("/p/a", "").mount("/p", dir()).tmpfs("/t"),
    ] {
        let steps = steps(container);
        assert_eq!(steps.len(), 2, "{steps:#?}");
        assert!(!steps[0].contains("cache") && !steps[0].contains("tmpfs") && !steps[0].contains("exec"));
        assert!(steps[1].contains("exec true") && !steps[1].contains(":/d/"), "{steps:#?}");
    }
    for container in [base().mount("/p", dir()).tmpfs("/t"), base().with_file("/p/a", "").mount("/p", dir())]
    {
        assert_eq!(steps(container).len(), 1);
    }
}
