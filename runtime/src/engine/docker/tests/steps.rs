//! Steps: their results and the files they leave.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_gives_output_and_exit_code() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let (_, output) = engine.run(script(&base, "echo out; echo err >&2; exit 3")).await;
    assert_eq!(output, StepOutput { stdout: b"out\n".into(), stderr: b"err\n".into(), exit_code: 3 });
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_found_by_another_engine() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let key = key();
    assert!(engine.lookup(&key).await.unwrap().is_none());
    let (finished, output) = engine.run(script(&base, "echo kept > /file; cat /file")).await;
    let snapshot = testing::keep(finished, key, output.clone().into()).await;
    engine.close().await.unwrap();

    let engine = engine!();
    let kept = engine.lookup(&key).await.unwrap().unwrap();
    assert_eq!(testing::files(&kept).await, snapshot);
    assert_eq!(heard(&kept.output).await, output);
    let (_, output) = engine.run(script(&testing::files(&kept).await, "cat /file")).await;
    assert_eq!(output.stdout, b"kept\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn long_output_is_complete_and_kept() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    // Every byte value, 5 MB on each stream, at once.
    let bytes = r#"i=0; while [ $i -lt 256 ]; do printf "\\$(printf %03o $i)"; i=$((i+1)); done > /all
        i=0; while [ $i -lt 64 ]; do cat /all; i=$((i+1)); done > /block
        (i=0; while [ $i -lt 320 ]; do cat /block; i=$((i+1)); done) &
        (i=0; while [ $i -lt 320 ]; do cat /block; i=$((i+1)); done) >&2; wait"#;
    let (finished, output) = engine.run(script(&base, bytes)).await;
    let all: Vec<u8> = (0..=255).collect();
    let expected = all.repeat(64 * 320);
    assert_eq!(output.stdout.len(), expected.len());
    assert!(output.stdout == expected && output.stderr == expected);

    let key = key();
    testing::keep(finished, key, output.clone().into()).await;
    assert_eq!(heard(&engine.lookup(&key).await.unwrap().unwrap().output).await, output);

    // Without its other half it counts as absent.
    engine.shared.cleaner.settle(0).await;
    engine.shared.cleaner.remove_image(&format!("bowline/output:{key}")).await;
    assert!(engine.lookup(&key).await.unwrap().is_none());
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_from_the_image() {
    let engine = engine!();
    let image = engine.image("postgres:15").await;
    assert!(image.config.env.iter().any(|(name, _)| name == "PGDATA"));
    assert_eq!(image.config.entrypoint, ["docker-entrypoint.sh"]);
    assert_eq!(image.config.stop_signal.as_deref(), Some("SIGINT"));
    let mut shown = script(&image.snapshot, "env; pwd; id -u; grep /var/lib/postgresql /proc/mounts; true");
    let process = shown.process.as_mut().unwrap();
    process.env.push(("EMPTY".to_owned(), String::new()));
    process.secret_env.push(("SECRET".to_owned(), "hush".to_owned()));
    process.workdir = "/new/place".to_owned();
    process.user = "postgres".to_owned();
    let (_, output) = engine.run(shown).await;
    let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    let uid = lines.pop().unwrap();
    let workdir = lines.pop().unwrap();
    assert_eq!((workdir.as_str(), uid.as_str()), ("/new/place", "999"));
    lines.retain(|line| {
        !["HOME=", "PATH=", "HOSTNAME=", "PWD=", "SHLVL=", "OLDPWD=", "_="]
            .iter()
            .any(|own| line.starts_with(own))
    });
    lines.sort();
    assert_eq!(lines, ["EMPTY=", "SECRET=hush"]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_has_no_trace_of_the_process() {
    let engine = engine!();
    let base = engine.image("redis:7").await.snapshot;
    let mut secret = script(&base, "echo data > /data/file");
    secret.process.as_mut().unwrap().secret_env.push(("TOKEN".to_owned(), "hush-hush".to_owned()));
    let mut plain = script(&base, "true");
    plain.process.as_mut().unwrap().env.push(("COLOUR".to_owned(), "green-ish".to_owned()));
    for (step, trace) in [(secret, "hush-hush"), (plain, "green-ish")] {
        let is_secret = trace == "hush-hush";
        let (finished, output) = engine.run(step).await;
        let snapshot = testing::keep(finished, key(), output.into()).await;
        let shown =
            std::process::Command::new("docker").args(["image", "inspect", &snapshot.0]).output().unwrap();
        let mut shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        if !is_secret {
            // The container's own configuration stands beside the image's, and does not matter.
            shown[0]["ContainerConfig"] = serde_json::Value::Null;
        }
        let shown = shown.to_string();
        assert!(!shown.contains(trace) && !shown.contains("docker-entrypoint"), "{shown}");
        let (_, output) = engine.run(script(&snapshot, "env; cat /data/file")).await;
        assert!(!text(&output.stdout).contains("COLOUR") && !text(&output.stdout).contains("TOKEN"));
        // `/data` is a VOLUME of this image, and yet part of what a step leaves.
        assert_eq!(text(&output.stdout).contains("data\n"), is_secret);
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_command_is_named() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    for command in ["no-such-command", "/no/such/command"] {
        let prepared = engine.prepare(step(&base, &[command])).await.unwrap();
        let error = prepared.run(nothing()).await.err().unwrap().to_string();
        assert!(error.contains(&format!("there is no command `{command}`")), "{error}");
    }
    // A shell's own 127 is no error of ours.
    let (_, output) = engine.run(script(&base, "no-such-command")).await;
    assert_eq!(output.exit_code, 127);
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn init_reaps_and_passes_signals() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    // The inner shell's child is reparented to process 1, which must reap it.
    let orphan = "sh -c 'sleep 0.2 & exit'; sleep 0.6; grep -l '^State:.Z' /proc/[0-9]*/status; true";
    let (_, output) = engine.run(script(&base, orphan)).await;
    assert_eq!(text(&output.stdout), "");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_running_out_is_told() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let (finished, _) = engine.run(script(&base, "kill -9 $$")).await;
    assert_eq!(finished.exit(), crate::model::Exit { code: 137, out_of_memory: false });
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_are_flattened_before_they_are_too_long() {
    let Ok(connection) = connect().await else { return drop(engine!()) };
    let engine = Docker::open_with(&connection, SessionId::random(), None, 5).await.unwrap();
    let mut base = engine.image(BUSYBOX).await.snapshot;
    for number in 0..12 {
        let grow = format!("echo {number} >> /list; mkdir /dir{number}; chown 7:8 /dir{number}");
        let (finished, output) = engine.run(script(&base, &grow)).await;
        base = testing::keep(finished, key(), output.into()).await;
        let layers = facts::facts(&engine.shared, &base.0).await.unwrap().layers.len();
        assert!(layers <= 5, "{layers} layers");
    }
    let (_, output) = engine.run(script(&base, "wc -l < /list; stat -c %u:%g /dir0 /dir11")).await;
    assert_eq!(text(&output.stdout), "12\n7:8\n7:8\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_is_held_for_a_look_and_as_a_base() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let (finished, output) = engine.run(script(&base, "echo report > /report; exit 1")).await;
    assert_eq!(output.exit_code, 1);
    let held = finished.hold().await.unwrap();
    assert_eq!(engine.contents(&held, "/report").await, b"report\n");
    let (_, output) = engine.run(script(&held, "cat /report")).await;
    assert_eq!(output.stdout, b"report\n");
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
    let filter = format!("label={}={}", labels::HELD, engine.shared.session);
    let images = std::process::Command::new("docker").args(["images", "-q", "-f", &filter]).output().unwrap();
    assert!(images.stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_volumes_outlive_their_session() {
    let cache = key().to_string();
    for expected in ["", "first\n"] {
        let engine = engine!();
        let base = engine.image(BUSYBOX).await.snapshot;
        let mut cached = script(&base, "cat /cache/file 2>/dev/null; echo first > /cache/file");
        cached.filesystem.mounts = vec![crate::engine::Mount {
            path: "/cache".to_owned(),
            source: crate::engine::MountSource::Cache(cache.clone().into()),
            access: crate::model::Access::ReadWrite,
        }];
        let (finished, output) = engine.run(cached).await;
        assert_eq!(text(&output.stdout), expected);
        let snapshot = testing::keep(finished, key(), output.into()).await;
        // The contents of the volume are not in the file system.
        assert!(engine.stat(&snapshot, "/cache/file").await.unwrap().is_none());
        engine.close().await.unwrap();
    }
    let engine = engine!();
    engine
        .shared
        .client
        .remove_volume(
            &names::cache_volume(&cache.as_str().into()),
            None::<bollard::query_parameters::RemoveVolumeOptions>,
        )
        .await
        .unwrap();
}
