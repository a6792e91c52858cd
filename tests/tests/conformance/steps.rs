//! Steps run exactly once, are cached for good when they succeed, and give their output byte for byte.

use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use bowline::{CacheVolume, Container, EntryKind, Error, Exec, Expect, Session};
use bowline_tests::{busybox, containers, created_since, eventually, inspector, nonce};

#[bowline::test]
async fn streams_are_kept_apart_byte_for_byte() {
    let step = busybox().shell(r"printf 'a\000\377b\n\nc'; printf 'x\r\ny' >&2");
    step.sync().await.unwrap();
    let output = step.output().await.unwrap();
    assert_eq!(output.stdout, b"a\0\xffb\n\nc");
    assert_eq!(output.stderr, b"x\r\ny");
    assert_eq!(output.exit_code, 0);
    // And the same from the cache, in another session.
    let second = Session::new();
    assert_eq!(second.scope(step.output()).await.unwrap(), output);
    second.close().await.unwrap();
}

#[bowline::test]
async fn big_output_arrives_whole_and_from_the_cache() {
    let step = busybox().shell("yes 0123456789abcde | head -c 3000000; yes err | head -c 100000 >&2");
    let output = step.output().await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (3_000_000, 100_000));
    assert!(output.stdout.chunks(16).all(|line| line == b"0123456789abcde\n"));
    step.sync().await.unwrap();
    let second = Session::new();
    assert_eq!(second.scope(step.output()).await.unwrap(), output);
    second.close().await.unwrap();
}

#[bowline::test]
async fn large_output_is_read_and_saved_without_being_held() {
    let script = "yes 0123456789abcde | head -c 5000000; yes err | head -c 2000000 >&2";
    let step = busybox().exec(Exec::shell(script).stdout_to("/out"));
    let directory = tempfile::tempdir().unwrap();
    let second = Session::new();
    for session in [Session::current(), second.clone()] {
        let mut reader = session.scope(step.stdout_reader()).await.unwrap();
        assert_eq!(reader.len(), 5_000_000);
        let mut start = [0; 20];
        reader.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"0123456789abcde\n0123");
        assert_eq!(std::io::copy(&mut reader, &mut std::io::sink()).unwrap(), 5_000_000 - 20);
        let saved = directory.path().join("below/err");
        session.scope(step.save_stderr_to(&saved)).await.unwrap();
        assert!(std::fs::read(&saved).unwrap() == "err\n".repeat(500_000).into_bytes());
        step.sync().await.unwrap();
    }
    second.close().await.unwrap();
    assert_eq!(step.file("/out").stat().await.unwrap().size, 5_000_000);
    let sum = Container::from_container(&step).exec(["md5sum", "/out"]).stdout().await.unwrap();
    let expected = step.shell("yes 0123456789abcde | head -c 5000000 | md5sum").stdout().await.unwrap();
    assert_eq!(sum.split(' ').next(), expected.split(' ').next());
}

#[test]
fn where_large_output_cannot_be_held_the_place_is_named() {
    let missing = "/there/is/no/such/place";
    let output = Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .arg("stream")
        .envs([("COMMAND", "cat /dev/zero"), ("NONCE", &nonce()), ("TMPDIR", missing)])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(missing) && error.contains("TMPDIR"), "{error}");
}

#[bowline::test]
async fn the_exit_code_is_given_whatever_was_expected() {
    let fails = busybox().shell("echo why >&2; exit 3");
    assert_eq!(fails.exit_code().await.unwrap(), 3);
    assert!(matches!(fails.sync().await, Err(Error::StepFailed(_))));
    assert_eq!(busybox().exec(Exec::new(["true"]).expect(Expect::Failure)).exit_code().await.unwrap(), 0);
    // Of the last step, and of one that ended by itself.
    assert!(
        matches!(fails.exec(["true"]).exit_code().await, Err(Error::StepFailed(error)) if error.exit.code == 3)
    );
    // Also to whoever joins the run of an equal one, that is defined in other words.
    let both = |step: &Container| step.clone().exec(["sh", "-c", "sleep 0.2; exit 5"]);
    let base = busybox();
    let (plain, named) = (both(&base), both(&base.clone().platform(bowline_tests::platform())));
    let codes = futures_util::future::try_join(plain.exit_code(), named.exit_code()).await;
    assert_eq!(codes.unwrap(), (5, 5));
    let slow = busybox().exec(Exec::new(["sleep", "60"]).timeout("100ms"));
    assert!(matches!(slow.exit_code().await, Err(Error::StepFailed(_))));
    let output = busybox().shell("printf 'a\\377'; echo b >&2").output().await.unwrap();
    assert_eq!(
        (&*output.stdout_text(), &*output.stderr_text(), output.success()),
        ("a\u{fffd}", "b\n", true)
    );
}

#[bowline::test]
async fn equal_steps_share_one_run() {
    let session = Session::current();
    let step = busybox().shell("head -c 16 /dev/urandom | md5sum; sleep 1");
    let again = step.clone();
    let since = SystemTime::now();
    let (a, b, c) = tokio::join!(step.stdout(), again.stdout(), step.file("/etc/hostname").sync());
    assert_eq!(a.unwrap(), b.unwrap());
    drop(c);
    assert_eq!(step.stdout().await.unwrap().len(), 36);
    // One for the run; reading the file may take another that never starts.
    let made = created_since(&session, since);
    assert!(made.is_none_or(|made| made <= 2), "{made:?} containers for one step");
}

#[bowline::test]
async fn success_is_cached_for_good_and_starts_nothing() {
    let step = busybox().shell("head -c 16 /dev/urandom | md5sum | tee /sum");
    let first = step.stdout().await.unwrap();
    assert_eq!(step.file("/sum").contents().await.unwrap(), first);
    let second = Session::new();
    let since = SystemTime::now();
    assert_eq!(second.scope(step.stdout()).await.unwrap(), first);
    assert!(created_since(&second, since).is_none_or(|created| created == 0));
    assert_eq!(second.scope(step.file("/sum").contents()).await.unwrap(), first);
    second.close().await.unwrap();
}

#[bowline::test]
async fn failure_is_never_cached() {
    let count = CacheVolume::new(format!("test-{}", nonce()));
    let step =
        busybox().mount("/count", &count).shell("echo x >> /count/runs; test $(wc -l < /count/runs) = 2");
    assert!(matches!(step.sync().await, Err(Error::StepFailed(_))));
    step.sync().await.unwrap();
    let runs = busybox().mount("/count", &count).exec(["cat", "/count/runs"]);
    assert_eq!(runs.stdout().await.unwrap(), "x\nx\n");
}

#[bowline::test]
async fn one_caller_giving_up_changes_nothing_and_the_last_one_stops_the_process() {
    let session = Session::new();
    let step = busybox().shell("sleep 3; echo done").named("long");
    let spawn = || {
        let (session, step) = (session.clone(), step.clone());
        tokio::spawn(async move { session.scope(step.stdout()).await })
    };
    let (first, second) = (spawn(), spawn());
    let running = session.clone();
    tokio::task::spawn_blocking(move || {
        eventually("the step runs", Duration::from_secs(30), || !containers(&running).is_empty())
    })
    .await
    .unwrap();
    first.abort();
    assert_eq!(second.await.unwrap().unwrap(), "done\n");

    let step = busybox().exec(["sleep", "600"]).named("longer");
    let only = tokio::spawn({
        let (session, step) = (session.clone(), step.clone());
        async move { session.scope(step.stdout()).await }
    });
    let running = session.clone();
    tokio::task::spawn_blocking(move || {
        let runs = || bowline_tests::running(&running) > 0;
        eventually("the step runs", Duration::from_secs(30), runs);
        only.abort();
        eventually("its process is gone", Duration::from_secs(10), || !runs());
    })
    .await
    .unwrap();
    session.close().await.unwrap();
}

#[bowline::test]
async fn a_chain_of_150_steps() {
    if !bowline_tests::has_time() {
        return;
    }
    let mut chain = busybox();
    for step in 0..150 {
        chain = chain.exec(["sh", "-c", &format!("echo {step} >> /steps")]);
    }
    let steps = chain.file("/steps").contents().await.unwrap();
    assert_eq!(steps.lines().count(), 150);
    assert_eq!(steps.lines().last(), Some("149"));
}

#[bowline::test]
async fn configuration_holds_from_where_it_stands() {
    let step = busybox()
        .exec(["sh", "-c", "echo $A:$PWD"])
        .env("A", "1")
        .workdir("/tmp")
        .workdir("sub")
        .user("1000:1000")
        .exec(["sh", "-c", "echo $A:$PWD:$(id -u):$(id -g)"]);
    assert_eq!(step.stdout().await.unwrap(), "1:/tmp/sub:1000:1000\n");
    let other = Container::from_container(&step).exec(["sh", "-c", "echo $A:$PWD:$(id -u)"]);
    assert_eq!(other.stdout().await.unwrap(), "1:/tmp/sub:1000\n");
}

#[bowline::test]
async fn secrets_reach_the_process_and_nothing_else() {
    let secret = bowline::Secret::value("token", "s3cr3t-value");
    let said = format!("same-{}\n", nonce());
    let script = format!("test ${{#TOKEN}} = 12 && echo {} | tee /result", said.trim());
    let step = busybox().env("TOKEN", &secret).shell(script);
    assert!(!step.plan().to_string().contains("s3cr3t"));
    assert_eq!(step.file("/result").contents().await.unwrap(), said);
    let key = step.exec(["true"]);
    key.sync().await.unwrap();
    assert!(inspector().kept(&said, said.trim()) > 0, "what it did write is found");
    assert_eq!(inspector().kept(&said, "s3cr3t-value"), 0);
}

#[bowline::test]
async fn files_and_directories_are_read_and_saved() {
    let step = busybox().with_file("/in/hello", "Hello!").shell(
        "mkdir -p /out/sub && cp /in/hello /out/sub/ && ln -s sub/hello /out/link && chmod 640 /out/sub/hello && ln -s /etc/passwd /out/outside",
    );
    let out = step.directory("/out");
    let entries: Vec<_> =
        out.entries().await.unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    let expected =
        [("link", EntryKind::Symlink), ("outside", EntryKind::Symlink), ("sub", EntryKind::Directory)];
    assert_eq!(entries, expected.map(|(name, kind)| (name.to_owned(), kind)));
    let hello = out.directory("sub").file("hello");
    assert_eq!(hello.contents().await.unwrap(), "Hello!");
    let stat = hello.stat().await.unwrap();
    assert_eq!((stat.kind, stat.size, stat.mode), (EntryKind::File, 6, 0o640));

    let target = std::env::temp_dir().join(format!("bowline-{}", nonce()));
    out.save_to(&target).await.unwrap();
    assert_eq!(std::fs::read_to_string(target.join("sub/hello")).unwrap(), "Hello!");
    assert_eq!(std::fs::read_link(target.join("link")).unwrap().to_str(), Some("sub/hello"));
    hello.save_to(target.join("new/copy")).await.unwrap();
    assert_eq!(std::fs::read_to_string(target.join("new/copy")).unwrap(), "Hello!");
    hello.save_to(&target).await.unwrap();
    assert!(target.join("hello").is_file());
    std::fs::remove_dir_all(&target).unwrap();
}

#[bowline::test]
async fn a_mounted_directory_is_a_private_copy() {
    let source = busybox().shell("mkdir /src && echo one > /src/file").named("source");
    let user = busybox()
        .mount("/copy", source.directory("/src"))
        .mount("/single", source.file("/src/file"))
        .shell("echo two >> /copy/file; echo three > /single")
        .shell("cat /copy/file /single");
    assert_eq!(user.stdout().await.unwrap(), "one\ntwo\nthree\n");
    assert_eq!(source.file("/src/file").contents().await.unwrap(), "one\n");
    let wrong = busybox().mount("/copy", source.directory("/src/file")).exec(["true"]);
    let error = wrong.sync().await.unwrap_err();
    assert!(error.to_string().contains("/src/file"), "{error}");
}

#[bowline::test]
async fn after_runs_only_once_the_other_has_succeeded() {
    let order = CacheVolume::new(format!("test-{}", nonce()));
    let first = busybox().mount("/order", &order).shell("sleep 1; echo first >> /order/log");
    let second =
        busybox().mount("/order", &order).after(&first).shell("echo second >> /order/log; cat /order/log");
    assert_eq!(second.stdout().await.unwrap(), "first\nsecond\n");
    let fails = busybox().exec(["false"]).named("fails");
    let never = busybox().mount("/order", &order).after(&fails).shell("echo never >> /order/log");
    let error = never.sync().await.unwrap_err();
    assert!(error.to_string().contains("`fails`"), "{error}");
}

#[bowline::test]
async fn independent_steps_run_at_once() {
    let steps: Vec<_> = (0..4).map(|_| busybox().exec(["sleep", "3"])).collect();
    let began = Instant::now();
    futures_util::future::try_join_all(steps.iter().map(Container::sync)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(11), "one after the other they would sleep for 12 s alone");
}
