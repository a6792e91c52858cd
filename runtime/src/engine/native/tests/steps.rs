//! Steps: their results and the files they leave.

use super::*;
use crate::engine::testing;
use crate::model::{Existing, Limits};

#[tokio::test(flavor = "multi_thread")]
async fn a_step_gives_output_and_exit_code() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let (_, output) = run(&*engine, script(&base, "echo out; echo err >&2; exit 3")).await;
    assert_eq!(output, StepOutput { stdout: b"out\n".into(), stderr: b"err\n".into(), exit_code: 3 });
    let (_, output) = run(&*engine, script(&base, "kill -TERM $$")).await;
    assert_eq!(output.exit_code, 143);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_found_by_another_session() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let key = key();
    assert!(engine.lookup(&key).await.unwrap().is_none());
    let (finished, output) =
        run(&*engine, script(&base, "echo kept > /file; rm /etc/group; cat /file")).await;
    let snapshot = testing::keep(finished, key, output.clone().into()).await;
    engine.close().await.unwrap();

    let engine = engine!();
    let kept = engine.lookup(&key).await.unwrap().unwrap();
    assert_eq!((&testing::files(&kept).await, &heard(&kept.output).await), (&snapshot, &output));
    let (_, output) =
        run(&*engine, script(&testing::files(&kept).await, "cat /file; ls /etc/group || echo gone")).await;
    assert_eq!(text(&output.stdout), "kept\ngone\n");
    engine.close().await.unwrap();
}

/// A mount leaves an empty mount point, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_of_what_is_mounted() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let mut step = script(&base, "cat /run/secrets/token /cache/x; echo > /cache/x; cat /etc/hostname");
    let (finished, output) = run(&*engine, step.clone()).await;
    assert_eq!(text(&output.stdout), "bowline\n");
    assert_eq!(
        testing::keep(finished, key(), output.into()).await,
        base,
        "a step that writes nothing adds no layer"
    );
    let secret = MountSource::Secret(b"hunter2\n".as_slice().into());
    let cache = MountSource::Cache(SessionId::random().to_string().into());
    step.filesystem.mounts = vec![
        Mount { path: "/run/secrets/token".into(), source: secret, access: Access::ReadOnly },
        Mount { path: "/cache".into(), source: cache, access: Access::ReadWrite },
    ];
    let (finished, output) = run(&*engine, step).await;
    assert_eq!(text(&output.stdout), "hunter2\nbowline\n");
    let snapshot = testing::keep(finished, key(), output.into()).await;
    let layer = engine.shared.store.root().join(layers(&snapshot).pop().unwrap());
    let mut find = std::process::Command::new("find");
    let left = find.args([".", "-printf", "%p %s\\n"]).current_dir(layer).output().unwrap();
    let mut left: Vec<String> = text(&left.stdout).lines().map(str::to_owned).collect();
    left.retain(|line| !line.starts_with(". "));
    left.sort();
    let kinds: Vec<&str> = left.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["./cache", "./run", "./run/secrets", "./run/secrets/token"]);
    assert_eq!(left.last().unwrap(), "./run/secrets/token 0");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_is_kept_and_can_be_read_only() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let cache = SessionId::random().to_string();
    let mount =
        |access| Mount { path: "/cache".into(), source: MountSource::Cache(cache.clone().into()), access };
    let mut writes = script(&base, "echo seen > /cache/x");
    writes.filesystem.mounts = vec![mount(Access::ReadWrite)];
    run(&*engine, writes).await;
    let mut reads = script(&base, "cat /cache/x; echo > /cache/y || echo refused");
    reads.filesystem.mounts = vec![mount(Access::ReadOnly)];
    let (_, output) = run(&*engine, reads).await;
    assert_eq!(text(&output.stdout), "seen\nrefused\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_placed_copied_mounted_and_read() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let (made, output) =
        run(&*engine, script(&base, "mkdir -p /out/sub; echo a > /out/sub/a; ln -s sub/a /out/link")).await;
    let made = testing::keep(made, key(), output.into()).await;
    let mut step = script(
        &base,
        "cat /etc/motd /copy/link /copy/sub/a /seen/sub/a; echo lost > /seen/new; stat -c %a /etc/motd",
    );
    step.filesystem.placements = vec![
        Placement::File { path: "/etc/motd".into(), contents: b"hello\n".as_slice().into() },
        Placement::Copy {
            snapshot: made.clone(),
            from: "/out/".into(),
            to: "/copy".into(),
            existing: Existing::Stays,
        },
    ];
    let source = MountSource::Snapshot { snapshot: made.clone(), from: "/out/".into() };
    step.filesystem.mounts = vec![Mount { path: "/seen".into(), source, access: Access::ReadWrite }];
    let (finished, output) = run(&*engine, step).await;
    assert_eq!((text(&output.stderr).as_str(), text(&output.stdout).as_str()), ("", "hello\na\na\na\n644\n"));
    let snapshot = testing::keep(finished, key(), output.into()).await;
    let found = engine.stat(&snapshot, "/copy/link").await.unwrap().unwrap();
    assert_eq!((found.kind, found.size), (EntryKind::File, 2));
    assert!(engine.stat(&snapshot, "/seen/new").await.unwrap().is_none());
    assert!(engine.stat(&made, "/out/sub/a/x").await.unwrap().is_none());
    let (sink, mut pieces) = mpsc::channel(4);
    let reading = async { engine.read(&snapshot, "/copy", sink).await.unwrap() };
    let collecting = async {
        let mut archive = Vec::new();
        while let Some(piece) = pieces.recv().await {
            archive.extend(piece);
        }
        archive
    };
    let ((), archive) = tokio::join!(reading, collecting);
    let mut names: Vec<String> = tar::Archive::new(archive.as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    names.sort();
    assert_eq!(names.join(" "), "./ link sub sub/a");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_limits_and_users() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let mut reads = step(&base, &["wc", "-c"]);
    reads.stdin = Some(vec![b'x'; 1 << 20].into());
    let (_, output) = run(&*engine, reads).await;
    assert_eq!(text(&output.stdout).trim(), "1048576");
    let (_, output) = run(&*engine, step(&base, &["wc", "-c"])).await;
    assert_eq!(text(&output.stdout).trim(), "0");

    let mut slow = script(&base, "echo begun; sleep 60 & wait");
    slow.limit = Some(Duration::from_millis(300));
    let start = Instant::now();
    let (finished, output) = run(&*engine, slow).await;
    assert!(finished.timed_out() && start.elapsed() < Duration::from_secs(5));
    assert_eq!((output.exit_code, text(&output.stdout).as_str()), (137, "begun\n"));

    let mut other = script(&base, "id -u; id -g; touch /x 2>/dev/null || echo refused; echo $HOME; pwd");
    let process = other.process.as_mut().unwrap();
    process.user = "65534:7".into();
    process.workdir = "/new/place".into();
    let (_, output) = run(&*engine, other).await;
    assert_eq!(text(&output.stdout), "65534\n7\nrefused\n/home\n/new/place\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_is_named() {
    let engine = engine!();
    let base = busybox(&engine).await;
    for (command, wanted) in
        [("no-such-program", "there is no command `no-such-program`"), ("/etc", "`/etc` cannot be run")]
    {
        let prepared = engine.prepare(step(&base, &[command])).await.unwrap();
        let error = prepared.run(nothing()).await.err().unwrap().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn to_drop_a_step_is_to_end_it() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let mark = SessionId::random().to_string();
    let prepared = engine.prepare(step(&base, &["sh", "-c", "sleep 61; true", &mark])).await.unwrap();
    let running = tokio::spawn(prepared.run(nothing()));
    assert!(soon(|| processes_with(&mark) > 0));
    running.abort();
    assert!(soon(|| processes_with(&mark) == 0));
    engine.close().await.unwrap();
}

/// An overlay has at most 500 layers.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_500_steps() {
    let engine = engine!();
    let mut at = busybox(&engine).await;
    let (first, _) = run(
        &*engine,
        script(&at, "mkdir -p /d/e /gone /back; echo 1 > /gone/x; echo 1 > /back/x; chown 7:7 /d/e"),
    )
    .await;
    at = testing::keep(first, key(), Recording::default()).await;
    for number in 0..500 {
        // Every kind of change, somewhere in the middle.
        let change = match number {
            90 => "rm -r /gone /back /etc/group; mkdir /back; ln -s x /link; mkfifo /pipe",
            100 => "rm /link; mkdir /link; echo y > /link/y; chmod 700 /d/e",
            _ => "true",
        };
        let text = format!("{change}; echo {number} >> /numbers; echo {number} > /d/e/{number}");
        let (finished, output) = run(&*engine, script(&at, &text)).await;
        at = testing::keep(finished, key(), output.into()).await;
    }
    let looks =
        "wc -l < /numbers; ls /d/e | wc -l; cat /d/e/499; ls -A /back; ls /gone /etc/group 2>&1 | wc -l
        cat /link/y; stat -c '%u %a' /d/e; test -p /pipe && echo pipe; test -x /bin/busybox && echo whole";
    let (_, output) = run(&*engine, script(&at, looks)).await;
    assert_eq!(text(&output.stdout), "500\n500\n499\n2\ny\n7 700\npipe\nwhole\n", "{output:?}");
    assert!(at.0.split(',').count() < 128);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_can_be_read_inside() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let limited = |text: &str| {
        let mut step = script(&base, text);
        let process = step.process.as_mut().unwrap();
        process.limits =
            Limits { cpu: Some(0.5), memory: Some(32 << 20), pids: Some(64), ..Limits::default() };
        step
    };
    // Control groups of either version.
    let look = "cd /sys/fs/cgroup
        cat memory/memory.limit_in_bytes memory.max 2>/dev/null
        cat pids/pids.max pids.max 2>/dev/null
        { cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us || cat cpu.max; } 2>/dev/null | xargs
        echo 0 2>/dev/null > memory/memory.limit_in_bytes || echo refused
        mkdir memory/more more 2>/dev/null || echo refused
        cut -d: -f3 /proc/self/cgroup | sort -u | head -n 1";
    let (_, output) = run(&*engine, limited(look)).await;
    assert_eq!(text(&output.stdout), "33554432\n64\n50000 100000\nrefused\nrefused\n/\n", "{output:?}");

    let hungry = "head -c 100000000 /dev/zero | tail -c 100000000 | wc -c; exit 9";
    let (finished, output) = run(&*engine, limited(hungry)).await;
    assert_eq!(finished.exit(), Exit { code: 9, out_of_memory: true }, "{output:?}");
    let (finished, _) = run(&*engine, limited("exit 9")).await;
    assert_eq!(finished.exit(), Exit { code: 9, out_of_memory: false });
    // The machine's own groups are unchanged.
    engine.close().await.unwrap();
    let session = engine.shared.store.session();
    assert!(soon(|| !groups_of_machine().any(|group| group.ends_with(&session))));
}

fn groups_of_machine() -> impl Iterator<Item = PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok);
    let all = hierarchies.map(|entry| entry.path().join("bowline"));
    let all = all.chain([PathBuf::from("/sys/fs/cgroup/bowline")]);
    all.flat_map(|all| std::fs::read_dir(all).into_iter().flatten().filter_map(Result::ok))
        .map(|entry| entry.path())
}
