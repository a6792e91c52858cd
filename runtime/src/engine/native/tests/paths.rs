//! Paths of images, which never lead outside.

use std::os::unix::fs::FileTypeExt as _;

use tar::EntryType::{Directory, Fifo, Regular, Symlink};

use super::confinement::{archive, unpacked};
use super::*;
use crate::model::Existing;

/// An image with one more layer, and the scratch directory that holds the layer.
async fn with_layer(engine: &Native, entries: &[(&str, tar::EntryType, &str, &[u8])]) -> (Snapshot, Scratch) {
    let base = busybox(engine).await;
    let (answer, scratch) = unpacked(engine, archive(entries), None).await;
    assert_eq!(answer, Answer::Done);
    (Snapshot(format!("{},{}", base.0, scratch.changes.upper.display())), scratch)
}

fn mount(path: &str, source: MountSource) -> Mount {
    Mount { path: path.to_owned(), source, access: Access::ReadWrite }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_makes_and_opens_nothing_on_the_machine() {
    let engine = engine!();
    let outside = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("{}/{name}", outside.path().display());
    let up = format!("../../../../../../../..{}", at("up"));
    let pipe = at("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap();
    let (hosts, key) = (at("hosts"), at("key"));
    let entries = [
        ("etc/hosts", Symlink, hosts.as_str(), b"".as_slice()),
        ("etc/hostname", Symlink, up.as_str(), b""),
        ("etc/resolv.conf", Symlink, pipe.as_str(), b""),
        ("key", Symlink, key.as_str(), b""),
        ("there", Symlink, at("there").leak(), b""),
    ];
    let (base, _scratch) = with_layer(&engine, &entries).await;
    let mut step =
        script(&base, "cat /etc/hostname /key; grep -c localhost /etc/hosts; wc -l </etc/resolv.conf");
    step.filesystem.mounts = vec![
        mount("/key", MountSource::Secret(Arc::from(b"secret\n".as_slice()))),
        mount("/there/below", MountSource::Secret(Arc::from(b"".as_slice()))),
    ];
    let (_, output) = run(&*engine, step).await;
    let seen = text(&output.stdout);
    assert!(seen.starts_with("bowline\nsecret\n"), "{seen}{}", text(&output.stderr));
    let left: Vec<_> =
        std::fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["pipe"]);
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    engine.close().await.unwrap();
}

/// As with Docker: images of systems with systemd-resolved have such a link.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_own_files_are_dangling_links_starts() {
    let engine = engine!();
    let entries = [
        ("etc/resolv.conf", Symlink, "../run/systemd/resolve/stub-resolv.conf", b"".as_slice()),
        ("etc/hosts", Symlink, "/nowhere/hosts", b""),
        // Opening it for writing would wait for a reader.
        ("etc/hostname", Fifo, "", b""),
    ];
    let (base, _scratch) = with_layer(&engine, &entries).await;
    let look = "cat /etc/hostname; grep -c '^127.0.0.1' /nowhere/hosts; test -f /run/systemd/resolve/stub-resolv.conf && echo resolver; readlink /etc/resolv.conf";
    let (_, output) = run(&*engine, script(&base, look)).await;
    let wanted = "bowline\n1\nresolver\n../run/systemd/resolve/stub-resolv.conf\n";
    assert_eq!(text(&output.stdout), wanted, "{}", text(&output.stderr));
    engine.close().await.unwrap();
}

/// The process that fills it has privileges that a container does not have.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_cache_is_filled_from_the_image_alone() {
    let engine = engine!();
    let entries = [
        ("kernel", Symlink, "/proc/sys/net/core", b"".as_slice()),
        ("devices", Symlink, "/dev", b""),
        ("own", Directory, "", b""),
        ("own/file", Regular, "", b"kept\n"),
        ("own/pipe", Fifo, "", b""),
        ("linked", Symlink, "../../own", b""),
    ];
    let (base, _scratch) = with_layer(&engine, &entries).await;
    let cache = |path: &str| {
        let mut step = script(&base, &format!("find {path}/ -type f | wc -l; cat {path}/file 2>/dev/null"));
        step.filesystem.mounts = vec![mount(path, MountSource::Cache(key().to_string().into()))];
        step
    };
    for (path, wanted) in [("/kernel", "0\n"), ("/devices", "0\n"), ("/linked", "1\nkept\n")] {
        let (_, output) = run(&*engine, cache(path)).await;
        assert_eq!(text(&output.stdout), wanted, "{path}: {}", text(&output.stderr));
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_a_file_nor_a_directory_is_not_opened_to_be_copied() {
    let engine = engine!();
    let entries = [("pipe", Fifo, "", b"".as_slice()), ("link", Symlink, "pipe", b"")];
    let (base, _scratch) = with_layer(&engine, &entries).await;
    for from in ["/pipe", "/link"] {
        let mut step = script(&base, "true");
        step.process = None;
        let snapshot = base.clone();
        step.filesystem.placements = vec![Placement::Copy {
            snapshot,
            from: from.to_owned(),
            to: "/copy".to_owned(),
            existing: Existing::Stays,
        }];
        let copy = async { engine.prepare(step).await?.run(nothing()).await };
        let copied = tokio::time::timeout(Duration::from_secs(10), copy).await.expect("it does not wait");
        let error = copied.err().expect("it is an error").to_string();
        assert!(error.contains(from) && error.contains("neither a file nor a directory"), "{error}");
    }
    engine.close().await.unwrap();
}
