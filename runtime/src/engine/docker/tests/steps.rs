//! Steps: what they give, what they leave.

use super::*;

const BUSYBOX: &str = "busybox:1.35";

#[tokio::test(flavor = "multi_thread")]
async fn a_step_gives_output_and_exit_code() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let (_, output) = engine.run(engine.script(&base, "echo out; echo err >&2; exit 3").await).await;
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
    let (finished, output) = engine.run(engine.script(&base, "echo kept > /file; cat /file").await).await;
    let snapshot = finished.keep(key, output.clone()).await.unwrap();
    engine.close().await.unwrap();

    let engine = engine!();
    let kept = engine.lookup(&key).await.unwrap().unwrap();
    assert_eq!(kept.snapshot, snapshot);
    assert_eq!(kept.output, output);
    let (_, output) = engine.run(engine.script(&kept.snapshot, "cat /file").await).await;
    assert_eq!(output.stdout, b"kept\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_step_reaches_its_service() {
    let engine = engine!();
    let image = engine.image("redis:7").await;
    let host = "0123456789abcdefghijklmnop";
    let running = engine.start(service(&image.snapshot, host, &["redis-server"]), nothing()).await.unwrap();
    let mut client = engine
        .script(&image.snapshot, &format!("until redis-cli -h store ping; do :; done; redis-cli -h {host} ping"))
        .await;
    client.links = vec![link(host, "store")];
    let (_, output) = engine.run(client).await;
    assert!(output.stdout.ends_with(b"PONG\nPONG\n"), "{}", String::from_utf8_lossy(&output.stdout));
    running.remove().await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}
