//! What is mounted and copied, seen from inside real containers, and what of it stays.

use bowline::{CacheVolume, Container, Secret, Session, pipeline};
use bowline_tests::{busybox, docker, inspector, nonce};

#[bowline::test]
async fn what_is_copied_stays() {
    let nonce = nonce();
    let p = pipeline! {
        container build {
            image "busybox:1.35";
            shell format!("mkdir -p /out/sub; echo {nonce} > /out/sub/a; echo b > /out/b; chmod 700 /out/b");
            export "/out/" as out;
            export "/out/b" as b;
        }
        container c {
            image "busybox:1.35";
            copy (build.directory("/out")) to "/in/here";
            copy (build.file("/out/b")) to "/in/renamed";
            copy (build.file("/out/b")) to "/in/sub/";
            exec ["find", "/in", "-type", "f", "-perm", "700"];
        }
        container later { from c; exec ["cat", "/in/here/sub/a", "/in/renamed"]; }
    };
    let mut found: Vec<_> = p.c.stdout().await.unwrap().lines().map(str::to_owned).collect();
    found.sort();
    assert_eq!(found, ["/in/here/b", "/in/renamed", "/in/sub/b"]);
    assert_eq!(p.later.stdout().await.unwrap(), format!("{nonce}\nb\n"));
}

#[bowline::test]
async fn what_is_mounted_read_only_cannot_be_written_to_and_does_not_stay() {
    let nonce = nonce();
    let cache = CacheVolume::new(format!("readonly-{nonce}"));
    let fill = busybox().mount("/cache", &cache).shell("echo cached > /cache/x");
    fill.sync().await.unwrap();
    let p = pipeline! {
        container build {
            image "busybox:1.35";
            shell format!("mkdir /out; echo {nonce} > /out/a; echo b > /b");
        }
        container c {
            image "busybox:1.35";
            mount (build.directory("/out")) at "/out" readonly;
            mount (build.file("/b")) at "/etc/b" readonly;
            mount (&cache) at "/cache" readonly;
            shell "cat /out/a /etc/b /cache/x";
            shell "for path in /out/a /out/new /etc/b /cache/x; do { echo x > $path; } 2>&1; done; true";
        }
        container later { from c; shell "ls /out; cat /etc/b"; }
    };
    let refused = p.c.stdout().await.unwrap();
    assert_eq!(refused.matches("Read-only file system").count(), 4, "{refused}");
    let first =
        Container::from_container(&p.c).mount_readonly("/out", p.build.directory("/out")).shell("cat /out/a");
    assert_eq!(first.stdout().await.unwrap(), format!("{nonce}\n"));
    assert_eq!(p.later.stdout().await.unwrap(), "");
    let kept = busybox().mount("/cache", &cache).exec(["cat", "/cache/x"]);
    assert_eq!(kept.stdout().await.unwrap(), "cached\n");
}

#[bowline::test]
async fn a_secret_is_a_file_that_only_its_user_reads() {
    let nonce = nonce();
    let contents = format!("s3cret-{nonce}");
    let token = Secret::value("token", format!("{contents}\n"));
    let p = pipeline! {
        secret token = token.clone();
        container of_root {
            image "debian:12";
            env NONCE = &nonce;
            mount token at "/run/secrets/token";
            shell "stat -c '%a %u %s' /run/secrets/token; stat -f -c %T /run/secrets/token; cat /run/secrets/token";
        }
        container of_another {
            image "debian:12";
            env NONCE = &nonce;
            user "nobody";
            mount token at "/etc/token";
            shell "stat -c '%a %U' /etc/token; cat /etc/token | tr a-z A-Z | wc -c; { echo x > /etc/token; } 2>&1 | wc -l";
        }
    };
    let size = contents.len() + 1;
    assert_eq!(p.of_root.stdout().await.unwrap(), format!("400 0 {size}\ntmpfs\n***"));
    assert_eq!(p.of_another.stdout().await.unwrap(), format!("400 nobody\n{size}\n1\n"));
}

#[bowline::test]
async fn nothing_keeps_a_secret() {
    let nonce = nonce();
    let contents = format!("s3cret-{nonce}");
    let mounted = |contents: &str| {
        busybox()
            .env("NONCE", &nonce)
            .mount("/run/secrets/token", Secret::value("token", contents))
            .shell(format!("wc -c < /run/secrets/token; date +%N; echo visible-{nonce} > /visible"))
    };
    let step = mounted(&contents);
    let before = step.stdout().await.unwrap();
    let plan = step.plan().to_string();
    assert!(plan.contains("mount secret token at /run/secrets/token") && !plan.contains(&contents), "{plan}");
    // Its contents are no part of the identity, and its name is.
    assert_eq!(mounted("another").stdout().await.unwrap(), before);
    // What the step left is a placeholder; what a failed one left, too.
    let left = Container::from_container(&step).exec(["wc", "-c", "/run/secrets/token"]);
    assert_eq!(left.stdout().await.unwrap(), "0 /run/secrets/token\n");
    let failed = busybox().mount("/t", Secret::value("token", &contents)).shell("cat /t >&2; exit 1");
    let failure = failed.sync().await.unwrap_err();
    let shown = format!("{failure} {failure:?}");
    assert!(shown.contains("***") && !shown.contains(&contents), "{shown}");
    let held = failure.container().unwrap();
    let refused = held.file("/t").contents().await.unwrap_err().to_string();
    assert!(refused.contains("the secret `token` is mounted at `/t`"), "{refused}");
    // Nor has anything of the engine's that can be asked for.
    assert_eq!(inspector().holding(&Session::current().id(), &contents), [""; 0]);
    assert!(inspector().kept(&before, &format!("visible-{nonce}")) > 0, "what it did write is found");
    assert_eq!(inspector().kept(&before, &contents), 0);
}

#[bowline::test]
async fn a_service_reads_its_secret_and_nobody_else_does() {
    let session = Session::current();
    let nonce = nonce();
    let contents = format!("swordfish-{nonce}");
    let p = pipeline! {
        secret password = bowline::secret::value("password", &contents);
        service redis {
            image "redis:7";
            env NONCE = nonce;
            mount password at "/run/secrets/redis";
            run ["sh", "-c", "echo requirepass $(cat /run/secrets/redis) | exec redis-server -"];
            expose 6379;
        }
        container client {
            image "redis:7";
            bind redis;
            env REDISCLI_AUTH = &password;
            exec ["redis-cli", "-h", "redis", "ping"];
        }
    };
    p.redis.start().await.unwrap();
    assert_eq!(inspector().holding(&session.id(), &contents), [""; 0]);
    assert_eq!(p.client.stdout().await.unwrap(), "PONG\n");
}

#[bowline::test]
async fn labels_are_on_the_container_and_in_no_identity() {
    let session = Session::current();
    let nonce = nonce();
    let p = pipeline! {
        service web {
            image "busybox:1.35";
            env NONCE = nonce;
            label "com.example.team" = "storage";
            label build = 5;
            run ["sleep", "600"];
            expose 80 unprobed;
        }
    };
    p.web.start().await.unwrap();
    assert_eq!(p.web.clone().label("more", "x").hostname(), p.web.hostname());
    if !bowline_tests::on_docker("labels are shown to an engine's users, and it has none") {
        return;
    }
    let name = bowline_tests::containers(&session).into_iter().find(|name| name.ends_with(&p.web.hostname()));
    let format = "{{index .Config.Labels \"com.example.team\"}} {{.Config.Labels.build}}";
    assert_eq!(docker(&["inspect", "--format", format, &name.unwrap()]).trim(), "storage 5");
}

#[bowline::test]
async fn a_new_cache_has_first_what_the_image_has_there() {
    let cache = CacheVolume::new(format!("new-{}", nonce()));
    let base = busybox().env("NONCE", nonce()).shell(
        "mkdir -p /data/sub && echo first > /data/sub/x && ln -s sub/x /data/link && chown -R 7:8 /data && chmod 750 /data",
    );
    let look = "stat -c '%u %g %a' /data /data/sub/x; cat /data/link; echo second > /data/sub/x";
    let first = Container::from_container(&base).mount("/data", &cache).shell(look);
    assert_eq!(first.stdout().await.unwrap(), "7 8 750\n7 8 644\nfirst\n");
    // From then on it has what was put into it, wherever it is mounted.
    let later =
        busybox().env("NONCE", nonce()).mount("/etc", &cache).shell("cat /etc/sub/x; ls /etc/passwd || true");
    assert_eq!(later.stdout().await.unwrap(), "second\n");
}

/// What an image has at a path, and a tree and a file to be mounted there.
fn covering() -> (Container, Container) {
    let image = busybox().shell(
        "mkdir -p /app/old /app/sub; echo old > /app/old/x; echo old > /app/both; echo old > /conf; chmod 700 /app; \
         ln -s /app /link",
    );
    let source = busybox().shell(
        "mkdir -p /src/sub /src/none; echo new > /src/both; echo new > /src/sub/y; echo new > /f; chmod 1755 /src; \
         chown 7:8 /src; chmod 640 /f",
    );
    (image, source)
}

#[bowline::test]
async fn a_mount_replaces_what_is_at_the_path_and_goes_on_as_the_containers_own() {
    let (image, source) = covering();
    let look = "find /app | sort; cat /conf; stat -c '%a %u %g' /app /conf";
    let mounted = Container::from_container(&image)
        .mount("/app", source.directory("/src"))
        .mount("/conf", source.file("/f"));
    let seen = mounted.clone().shell(look).stdout().await.unwrap();
    assert_eq!(seen, "/app\n/app/both\n/app/none\n/app/sub\n/app/sub/y\nnew\n1755 7 8\n640 0 0\n");
    // Through a link, as any mount: what it leads to is replaced.
    let linked = Container::from_container(&image).mount("/link", source.directory("/src")).shell(look);
    assert_eq!(linked.stdout().await.unwrap(), seen.replace("new\n1755", "old\n1755").replace("640", "644"));
    // What is written there goes on with the container, whatever reads it.
    let written = mounted.shell("echo more > /app/more; rm -r /app/none");
    assert_eq!(written.file("/app/more").contents().await.unwrap(), "more\n");
    let entries = written.directory("/app").entries().await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["both", "more", "sub"]);
    let next = Container::from_container(&written).exec(["ls", "/app"]);
    assert_eq!(next.stdout().await.unwrap(), "both\nmore\nsub\n");
    // And never into the source.
    let source = Container::from_container(&source).exec(["ls", "/src"]);
    assert_eq!(source.stdout().await.unwrap(), "both\nnone\nsub\n");
}

#[bowline::test]
async fn mounts_and_files_are_put_there_in_the_order_they_are_written() {
    let (image, source) = covering();
    let base = || Container::from_container(&image);
    let before =
        base().with_file("/app/first", "1").mount("/app", source.directory("/src")).exec(["ls", "/app"]);
    assert_eq!(before.stdout().await.unwrap(), "both\nnone\nsub\n");
    let after = base()
        .mount("/app", source.directory("/src"))
        .with_file("/app/first", "1")
        .copy("/app/none", source.directory("/src/sub"))
        .shell("ls /app /app/none");
    assert_eq!(after.stdout().await.unwrap(), "/app:\nboth\nfirst\nnone\nsub\n\n/app/none:\ny\n");
    // Read-only or not, what is at the path is hidden; only read-only is it there again.
    let hidden = base().mount_readonly("/app", source.directory("/src")).exec(["ls", "/app"]);
    assert_eq!(hidden.stdout().await.unwrap(), "both\nnone\nsub\n");
    let again = Container::from_container(&hidden).exec(["ls", "/app"]);
    assert_eq!(again.stdout().await.unwrap(), "both\nold\nsub\n");
    let onto = base().mount("/app", source.file("/f")).exec(["true"]);
    let refused = onto.sync().await.unwrap_err().to_string();
    assert!(refused.contains("a file cannot be mounted at `/app`: a directory is there"), "{refused}");
}

#[bowline::test]
async fn a_mount_in_a_mount_is_seen_whatever_either_is() {
    let (image, source) = covering();
    let cache = CacheVolume::new(format!("nested-{}", nonce()));
    let dir = || source.directory("/src");
    let nested = Container::from_container(&image)
        // Read-only in what may be written to, in read-only, in memory and in a cache; where nothing is to mount on, too.
        .mount("/app", dir())
        .mount_readonly("/app/ro", dir())
        .mount_readonly("/app/ro/deep/er", dir())
        .mount_readonly("/app/ro/sub/file", source.file("/f"))
        .mount("/app/ro/token", Secret::value("token", "hunter2"))
        .tmpfs("/app/ro/tmp")
        .mount("/app/ro/tmp/cache", &cache)
        .mount_readonly("/app/ro/tmp/cache/src", dir())
        .shell(
            "cd /app/ro; cat both deep/er/both sub/file tmp/cache/src/both; wc -c < token; \
             echo x > tmp/x; echo kept > tmp/cache/x; echo own > /app/own; \
             for path in new deep/er/new sub/file tmp/cache/src/new; do { echo x > $path; } 2>&1; done; true",
        );
    let said = nested.stdout().await.unwrap();
    assert!(said.starts_with("new\nnew\nnew\nnew\n7\n"), "{said}");
    assert_eq!(said.matches("Read-only file system").count(), 4, "{said}");
    assert_eq!(nested.file("/app/own").contents().await.unwrap(), "own\n");
    let kept = busybox().mount("/c", &cache).exec(["cat", "/c/x"]);
    assert_eq!(kept.stdout().await.unwrap(), "kept\n");
}

#[bowline::test]
async fn what_is_mounted_is_read_nowhere_and_the_error_says_why() {
    let cache = CacheVolume::new(format!("read-{}", nonce()));
    let source = busybox().shell("mkdir /d; echo d > /d/f");
    let c = busybox()
        .mount("/cache", &cache)
        .mount_readonly("/ro", source.directory("/d"))
        .mount("/token", Secret::value("token", "t"))
        .tmpfs("/tmp/fast")
        .shell("echo x | tee /cache/x /tmp/fast/x /tmp/kept; exit 3");
    for (path, what) in [
        ("/cache/x", "the cache `read-"),
        ("/cache/", "the cache `read-"),
        ("/ro/f", "a read-only directory"),
        ("/token", "the secret `token`"),
        ("/tmp//fast/x", "a `tmpfs`"),
    ] {
        let (file, directory) = (c.file(path), c.directory(path));
        for refused in [
            file.bytes().await.unwrap_err(),
            file.size().await.unwrap_err(),
            directory.entries().await.unwrap_err(),
            directory.save_to("/nowhere").await.unwrap_err(),
            busybox().copy("/x", file.clone()).exec(["true"]).sync().await.unwrap_err(),
            busybox().mount("/x", directory.clone()).exec(["true"]).sync().await.unwrap_err(),
        ] {
            let text = refused.to_string();
            assert!(matches!(refused, bowline::Error::Invalid { .. }), "{text}");
            assert!(text.contains(what) && text.contains("help: "), "{path}: {text}");
        }
    }
    // The same of what a failed step left, which has all else.
    let failure = c.sync().await.unwrap_err();
    let held = failure.container().unwrap();
    assert_eq!(held.file("/tmp/kept").contents().await.unwrap(), "x\n");
    assert!(held.file("/cache/x").contents().await.unwrap_err().to_string().contains("the cache `read-"));
}

#[bowline::test]
async fn what_a_failed_step_left_belongs_to_its_session() {
    let failure = busybox().shell("echo x > /left; exit 1").sync().await.unwrap_err();
    let held = failure.container().unwrap().clone();
    assert_eq!(held.file("/left").contents().await.unwrap(), "x\n");
    let other = Session::new();
    let file = held.file("/left");
    let refused = other.scope(async move { file.contents().await }).await.unwrap_err().to_string();
    assert!(refused.contains("as long as the session in which it failed"), "{refused}");
    other.close().await.unwrap();
}
