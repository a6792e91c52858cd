//! Files: placed, copied, looked at, read.

use super::*;
use crate::model::{EntryKind, Existing};
use tar::EntryType::{Directory, Fifo, Regular, Symlink};

impl Docker {
    /// All entries of an archive of a path, by name, with their contents.
    async fn entries(
        &self,
        snapshot: &Snapshot,
        path: &str,
    ) -> Result<Vec<(String, tar::EntryType, Vec<u8>)>> {
        let (send, mut pieces) = mpsc::channel(4);
        let collect = async {
            let mut archive = Vec::new();
            while let Some(piece) = pieces.recv().await {
                archive.extend(piece);
            }
            archive
        };
        let (read, archive) = tokio::join!(SnapshotReader::read(self, snapshot, path, send), collect);
        read?;
        let mut found = Vec::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut contents = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut contents).unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            found.push((name, entry.header().entry_type(), contents));
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    pub(super) async fn contents(&self, snapshot: &Snapshot, path: &str) -> Vec<u8> {
        self.entries(snapshot, path).await.unwrap().remove(0).2
    }
}

fn file(path: &str, contents: &str) -> Placement {
    Placement::File { path: path.to_owned(), contents: contents.as_bytes().into() }
}

fn copy(snapshot: &Snapshot, from: &str, to: &str) -> Placement {
    Placement::Copy {
        snapshot: snapshot.clone(),
        from: from.to_owned(),
        to: to.to_owned(),
        existing: Existing::Stays,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_placed_and_copied_between_snapshots() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let long = format!("/made/{}/file", "long-name-".repeat(18));
    let make = format!(
        "umask 0; mkdir -p /out/sub /made/{}; echo one > /out/one; echo two > /out/sub/two; chmod 640 /out/one; \
         chown 5:6 /out/one; ln -s one /out/link; ln /out/one /out/hard; chmod 2770 /out/sub; echo long > {long}; ln -s out /alias",
        "long-name-".repeat(18)
    );
    let (finished, output) = engine.run(script(&base, &make)).await;
    assert_eq!(output.exit_code, 0, "{output:?}");
    let kept = testing::keep(finished, key(), output.into()).await;

    let mut placing = script(
        &base,
        "cd /app && cat one sub/two hard link /etc/deep/er/conf /etc/own /x/renamed; stat -c '%a %u:%g %n' one sub /etc/deep /etc /app /x; \
         [ one -ef hard ] && echo same; readlink link; cat /long/*/file; ls -ld /var/run | cut -c1",
    );
    placing.filesystem.placements = vec![
        copy(&kept, "/out/", "/app"),
        copy(&kept, "/alias/one", "/x/renamed"),
        copy(&kept, "/made/", "/long/"),
        file("/etc/deep/er/conf", "conf\n"),
        file("/etc/own", "own\n"),
    ];
    let (_, output) = engine.run(placing).await;
    let expected = "one\ntwo\none\none\nconf\nown\none\n640 5:6 one\n2770 0:0 sub\n755 0:0 /etc/deep\n755 0:0 /etc\n777 0:0 /app\n755 0:0 /x\nsame\none\nlong\n";
    assert!(text(&output.stdout).starts_with(expected), "{}{}", text(&output.stdout), text(&output.stderr));
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_may_place_files_alone() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let placing = StepSpec {
        name: "files".to_owned(),
        filesystem: Filesystem { placements: vec![file("/a/b", "c")], ..filesystem(&base) },
        process: None,
        ..step(&base, &[])
    };
    let (finished, output) = engine.run(placing).await;
    assert_eq!(output, StepOutput::default());
    let snapshot = testing::keep(finished, key(), output.into()).await;
    assert_eq!(engine.contents(&snapshot, "/a/b").await, b"c");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_copies_are_told() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    for (from, to, message) in [
        ("/nowhere", "/x", "there is no `/nowhere`"),
        ("/etc", "/x", "`/etc` is a directory, not a file"),
        ("/etc/passwd/", "/x", "`/etc/passwd/` is not a directory"),
    ] {
        let mut placing = script(&base, "true");
        placing.filesystem.placements = vec![copy(&base, from, to)];
        let error = engine.prepare(placing).await.err().unwrap();
        assert!(matches!(error, Error::NoSuchPath { .. }), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    let mut over = script(&base, "true");
    over.filesystem.placements = vec![file("/etc", "gone")];
    let error = engine.prepare(over).await.err().unwrap().to_string();
    assert!(error.contains("directory"), "{error}");
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_the_way_stays_a_link() {
    let engine = engine!();
    let base = engine.image("debian:12").await.snapshot;
    let mut placing = script(&base, "cat /run/app/pid; readlink /var/run /lib");
    placing.filesystem.placements = vec![file("/var/run/app/pid", "7\n"), file("/lib/app/x", "y")];
    let (_, output) = engine.run(placing).await;
    assert_eq!(text(&output.stdout), "7\n/run\nusr/lib\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_looked_at_and_read() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let make = "mkdir -p /d/e; echo file > /d/file; chmod 4755 /d/file; ln -s file /d/link; ln -s /d/e/ /l; ln -s /d/gone /d/dangling; ln -s /c2 /c1; ln -s /c1 /c2; mkfifo /d/fifo; echo in > /d/e/f";
    let (finished, output) = engine.run(script(&base, make)).await;
    let kept = testing::keep(finished, key(), output.into()).await;

    let stat = engine.stat(&kept, "/d/link").await.unwrap().unwrap();
    assert_eq!((stat.kind, stat.size, stat.mode), (EntryKind::File, 5, 0o4755));
    assert_eq!(engine.stat(&kept, "/l/").await.unwrap().unwrap().kind, EntryKind::Directory);
    assert_eq!(engine.stat(&kept, "/").await.unwrap().unwrap().kind, EntryKind::Directory);
    assert_eq!(engine.stat(&kept, "/d/fifo").await.unwrap().unwrap().kind, EntryKind::Other);
    for gone in ["/d/gone", "/d/dangling", "/d/file/below"] {
        assert_eq!(engine.stat(&kept, gone).await.unwrap(), None, "{gone}");
    }

    assert!(engine.stat(&kept, "/c1").await.unwrap_err().to_string().contains("circle"));

    assert_eq!(engine.contents(&kept, "/d/link").await, b"file\n");
    let entries = engine.entries(&kept, "/d").await.unwrap();
    let names: Vec<_> = entries.iter().map(|(name, kind, _)| (name.trim_end_matches('/'), *kind)).collect();
    let expected = [
        (".", Directory),
        ("dangling", Symlink),
        ("e", Directory),
        ("e/f", Regular),
        ("fifo", Fifo),
        ("file", Regular),
        ("link", Symlink),
    ];
    assert_eq!(names, expected);
    assert!(matches!(engine.entries(&kept, "/d/gone").await, Err(Error::NoSuchPath { .. })));
    let through = engine.entries(&kept, "/l").await.unwrap();
    assert_eq!(through.last().unwrap().0, "f");

    // A reader that goes away ends the transfer with an error, not with a hang.
    let (send, receive) = mpsc::channel(1);
    drop(receive);
    assert!(SnapshotReader::read(&*engine, &kept, "/", send).await.is_err());
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn big_things_are_copied_out_of_one_container_one_after_another() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let make = "mkdir -p /out/sub; head -c 24000000 /dev/zero > /out/big; cp /out/big /out/sub; echo x > /x";
    let (finished, output) = engine.run(script(&base, make)).await;
    let kept = testing::keep(finished, key(), output.into()).await;
    let (finished, _) = engine.run(script(&base, make)).await;
    let held = finished.hold().await.unwrap();
    for from in [&kept, &held] {
        let mut placing = script(&base, "cat /x; wc -c < /a/big; wc -c < /b/big; wc -c < /b/sub/big");
        placing.filesystem.placements = vec![
            copy(from, "/out/big", "/a/big"),
            copy(from, "/out/", "/b"),
            copy(from, "/out/sub/", "/b/sub"),
            copy(from, "/x", "/x"),
        ];
        let (_, output) = engine.run(placing).await;
        assert_eq!(text(&output.stdout), "x\n24000000\n24000000\n24000000\n");
    }
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_whoever_is_slow_to_read() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let (finished, output) =
        engine.run(script(&base, "head -c 24000000 /dev/zero > /big; echo small > /small")).await;
    let kept = testing::keep(finished, key(), output.into()).await;
    // Two readers that have begun, and read no more.
    let mut slow = Vec::new();
    for _ in 0..2 {
        let (send, mut pieces) = mpsc::channel(1);
        let (engine, kept) = (Arc::clone(&engine), kept.clone());
        let reading = tokio::spawn(async move { SnapshotReader::read(&*engine, &kept, "/big", send).await });
        assert!(pieces.recv().await.is_some());
        slow.push((reading, pieces));
    }
    let others = async {
        assert_eq!(engine.stat(&kept, "/big").await.unwrap().unwrap().size, 24_000_000);
        assert_eq!(engine.contents(&kept, "/small").await, b"small\n");
        let mut placing = script(&kept, "cat /copied");
        placing.filesystem.placements = vec![copy(&kept, "/small", "/copied")];
        assert_eq!(text(&engine.run(placing).await.1.stdout), "small\n");
    };
    // The engine answers nothing about a container while it is being read from.
    tokio::time::timeout(std::time::Duration::from_secs(25), others).await.expect("nobody waits");
    for (reading, mut pieces) in slow {
        let mut size = 0;
        while let Some(piece) = pieces.recv().await {
            size += piece.len();
        }
        assert!(size > 20_000_000 && reading.await.unwrap().is_ok(), "{size}");
    }
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_puts_into_containers_is_in_no_file_system() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    // An image of our programs alone: the engine makes everything that it needs in the image's containers.
    let helper = super::super::helper::ready(&engine.shared.client, "linux/amd64").await.unwrap();
    let alone = Snapshot(helper);
    let names = async |snapshot: &Snapshot, path: &str| -> Vec<String> {
        let entries = engine.entries(snapshot, path).await.unwrap();
        entries.into_iter().map(|(name, ..)| name.trim_end_matches('/').to_owned()).collect()
    };
    assert_eq!(names(&alone, "/").await, [".", "kill", "probe", "relay"]);
    for path in ["/.dockerenv", "/proc", "/etc/hosts", "/dev/pts", "/dev/console"] {
        assert_eq!(engine.stat(&alone, path).await.unwrap(), None, "{path}");
    }
    let mut placing = script(&base, "find /in | sort");
    placing.filesystem.placements = vec![copy(&alone, "/", "/in")];
    assert_eq!(text(&engine.run(placing).await.1.stdout), "/in\n/in/kill\n/in/probe\n/in/relay\n");

    // A step that does nothing leaves the file system as it was.
    let (finished, output) = engine.run(script(&base, "true")).await;
    let kept = testing::keep(finished, key(), output.into()).await;
    let (finished, _) = engine.run(script(&base, "true")).await;
    let held = finished.hold().await.unwrap();
    let own = names(&base, "/").await;
    for snapshot in [&base, &kept, &held] {
        assert_eq!(names(snapshot, "/").await, own);
        assert_eq!(engine.stat(snapshot, "/.dockerenv").await.unwrap(), None);
        assert_eq!(engine.stat(snapshot, "/sbin/docker-init").await.unwrap(), None);
    }
    assert!(!own.iter().any(|name| name == ".dockerenv" || name.ends_with("docker-init")), "{own:?}");
    // A file that only has such a name is visible.
    let make = "mkdir -p /srv/proc /srv/etc; echo mine > /srv/.dockerenv; echo mine > /srv/etc/hosts";
    let (finished, output) = engine.run(script(&base, make)).await;
    let kept = testing::keep(finished, key(), output.into()).await;
    assert_eq!(names(&kept, "/srv").await, [".", ".dockerenv", "etc", "etc/hosts", "proc"]);
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_should_be_small_is_read_only_if_it_is() {
    let engine = engine!();
    let base = engine.image(BUSYBOX).await.snapshot;
    let make =
        "head -c 2000000 /dev/zero > /big; ln -s / /all; ln -s big /link; mkfifo /fifo; echo few > /few";
    let (finished, output) = engine.run(script(&base, make)).await;
    let kept = testing::keep(finished, key(), output.into()).await;
    let small = async |path: &str| super::super::read::small_file(&engine.shared, &kept, path).await;
    for path in ["/big", "/link"] {
        let error = small(path).await.unwrap_err().to_string();
        assert!(error.contains(path) && error.contains("longer than 1 MiB"), "{error}");
    }
    for path in ["/all", "/fifo", "/none"] {
        assert_eq!(small(path).await.unwrap(), "", "{path}");
    }
    assert_eq!(small("/few").await.unwrap(), "few\n");
    engine.close().await.unwrap();
}
