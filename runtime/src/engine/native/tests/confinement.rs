//! Confinement: what a container must not see, and what an image must not do.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::*;
use crate::engine::Sink;
use crate::lock::lock;

#[tokio::test(flavor = "multi_thread")]
async fn a_container_sees_nothing_of_the_machine() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let own = file.path().display();
    let address = SocketAddr::from_abstract_name(b"bowline-native-test").unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    // The init, and the process that looks.
    let looks = "ps > /list; grep -c -v 'PID\\|ps$\\|sh -c' /list
        cat /proc/net/unix | grep -c bowline-native-test
        ls OWN /work 2>/dev/null | wc -l
        echo x > /proc/sys/kernel/core_pattern 2>/dev/null || echo refused
        echo b > /proc/sysrq-trigger 2>/dev/null || echo refused
        mkdir /there; mount -t tmpfs x /there 2>/dev/null || echo refused
        mknod /x b 8 0 2>/dev/null || echo refused
        hostname other 2>/dev/null || echo refused
        head -c 1 /proc/kcore | wc -c
        grep CapEff /proc/self/status
        grep Seccomp: /proc/self/status
        unshare -U true 2>/dev/null || echo refused
        su nobody -s /bin/sh -c 'unshare -U true' 2>/dev/null || echo refused
        ls /proc/self/fd | wc -l
        cat /proc/1/environ 2>/dev/null | wc -c
        readlink /proc/1/exe || echo refused";
    let looks = looks.replace("OWN", &own.to_string());
    let (_, output) = run(&*engine, script(&base, &looks)).await;
    let rights = format!("CapEff:\t{:016x}", 0xa004_25fb_u64 & !(1 << 27) & !(1 << 29));
    let wanted = format!(
        "1\n0\n0\nrefused\nrefused\nrefused\nrefused\nrefused\n0\n{rights}\nSeccomp:\t2\nrefused\nrefused\n4\n0\nrefused\n"
    );
    // The 4 are opened by `ls` itself: three streams and the directory.
    assert_eq!(text(&output.stdout), wanted, "{}", text(&output.stderr));
    engine.close().await.unwrap();
}

/// An archive with these entries: name, kind, link target, contents.
pub(super) fn archive(entries: &[(&str, tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, link, contents) in entries {
        let mut header = tar::Header::new_gnu();
        // Sets names that the library refuses to write.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) async fn unpacked(engine: &Native, archive: Vec<u8>, digest: Option<String>) -> (Answer, Scratch) {
    let scratch = engine.shared.store.scratch().unwrap();
    let path = scratch.file("layer.tar");
    std::fs::write(&path, &archive).unwrap();
    let file = std::fs::File::open(path).unwrap();
    let into = scratch.changes.upper.clone();
    let request = Request::Files(Files::Unpack { into, size: archive.len() as u64, digest });
    (engine.shared.shim.ask_once(&request, &[file.as_fd()]).await.unwrap(), scratch)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_layer_writes_nowhere_else() {
    use tar::EntryType::{Block, Char, Directory, Link, Regular, Symlink};
    let engine = engine!();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("victim");
    std::fs::write(&target, "safe").unwrap();
    let victim = target.display().to_string();
    let up = format!("../../../../../../../../..{victim}");
    let directory = outside.path().display().to_string();
    for (name, entries) in [
        ("absolute", vec![(victim.as_str(), Regular, "", b"bad".as_slice())]),
        ("up", vec![(up.as_str(), Regular, "", b"bad")]),
        ("symlink", vec![("l", Symlink, directory.as_str(), b""), ("l/victim", Regular, "", b"bad")]),
        (
            "symlink up",
            vec![("l", Symlink, "../../../../../../../../../tmp", b""), ("l/x", Regular, "", b"bad")],
        ),
        ("hard link", vec![("h", Link, victim.as_str(), b""), ("h", Regular, "", b"bad")]),
        ("whiteout", vec![("l", Symlink, directory.as_str(), b""), ("l/.wh.victim", Regular, "", b"")]),
        ("opaque", vec![("l", Symlink, directory.as_str(), b""), ("l/.wh..wh..opq", Regular, "", b"")]),
        ("whiteout up", vec![(".wh...", Regular, "", b""), (".wh.", Regular, "", b"")]),
        ("device", vec![("disk", Block, "", b""), ("memory", Char, "", b""), ("dev", Directory, "", b"")]),
    ] {
        let (answer, scratch) = unpacked(&engine, archive(&entries), None).await;
        let upper = engine.shared.store.root().join(&scratch.changes.upper);
        assert!(matches!(answer, Answer::Done | Answer::Failed(_)), "{name}: {answer:?}");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "safe", "{name}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1, "{name}");
        assert!(!Path::new("/tmp/x").exists(), "{name}");
        assert!(!upper.join("disk").exists() && !upper.join("memory").exists(), "{name}");
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_is_what_its_digest_says() {
    let engine = engine!();
    let archive = archive(&[("a", tar::EntryType::Regular, "", b"x")]);
    let digest = crate::Digest(crate::sha256::Sha256::digest(&archive)).to_string();
    let (answer, scratch) = unpacked(&engine, archive.clone(), Some(digest)).await;
    assert_eq!(answer, Answer::Done);
    let upper = engine.shared.store.root().join(&scratch.changes.upper);
    assert_eq!(std::fs::read_to_string(upper.join("a")).unwrap(), "x");
    let (answer, _scratch) = unpacked(&engine, archive, Some("0".repeat(64))).await;
    assert!(
        matches!(&answer, Answer::Failed(text) if text.contains("not what its image says")),
        "{answer:?}"
    );
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whiteouts_hide_what_is_below() {
    use tar::EntryType::{Directory, Regular};
    let engine = engine!();
    let lower = [
        ("d", Directory, "", b"".as_slice()),
        ("d/a", Regular, "", b"1"),
        ("e", Directory, "", b""),
        ("e/b", Regular, "", b"2"),
        ("f", Regular, "", b"3"),
        ("g", Directory, "", b""),
        ("g/old", Regular, "", b"5"),
        ("h", Directory, "", b""),
        ("h/old", Regular, "", b"6"),
        ("i", Regular, "", b"7"),
    ];
    let upper = [
        (".wh.f", Regular, "", b"".as_slice()),
        ("d", Directory, "", b""),
        ("d/.wh..wh..opq", Regular, "", b""),
        ("d/new", Regular, "", b"4"),
        // Some tools write the whiteout of a replaced entry beside the new one, before or after it.
        (".wh.g", Regular, "", b""),
        ("g/new", Regular, "", b"8"),
        ("h", Directory, "", b""),
        ("h/new", Regular, "", b"9"),
        (".wh.h", Regular, "", b""),
        (".wh.i", Regular, "", b""),
        ("i", Directory, "", b""),
        ("i/new", Regular, "", b"10"),
    ];
    let mut layers = Vec::new();
    let mut scratches = Vec::new();
    for entries in [lower.as_slice(), &upper] {
        let (answer, scratch) = unpacked(&engine, archive(entries), None).await;
        assert_eq!(answer, Answer::Done);
        layers.push(scratch.changes.upper.display().to_string());
        scratches.push(scratch);
    }
    let both = Snapshot(layers.join(","));
    let mut seen = Vec::new();
    for path in ["/d/a", "/d/new", "/e/b", "/f", "/g/old", "/g/new", "/h/old", "/h/new", "/i", "/i/new"] {
        seen.push(engine.stat(&both, path).await.unwrap().is_some());
    }
    assert_eq!(seen, [false, true, true, false, false, true, false, true, true, true]);
    engine.close().await.unwrap();
}

/// Such a process would find the pipeline's own program, while a probe has not yet executed the container's.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_never_sees_the_program_of_the_pipeline() {
    let engine = engine!();
    let base = image(&*engine, "python:3.11").await.snapshot;
    let look = "import os\nwhile True:\n for pid in filter(str.isdigit, os.listdir('/proc')):\n  try: exe = os.readlink(f'/proc/{pid}/exe')\n  except OSError: continue\n  if not exe.startswith('/usr/bin/'): raise SystemExit(exe)\n";
    let service = engine.start(service(&base, HOST, &["python3", "-c", look]), nothing()).await.unwrap();
    for _ in 0..100 {
        let args = ["/usr/bin/true".to_owned()];
        assert_eq!(service.exec(&args).await.unwrap().exit_code, 0);
    }
    let ended = tokio::time::timeout(Duration::from_millis(100), service.wait()).await;
    assert!(ended.is_err(), "it saw something, and ended");
    service.remove().await.unwrap();
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privileged_have_all_rights() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let mut step = script(
        &base,
        "mkdir /there; mount -t tmpfs x /there && echo mounted; grep 'CapEff\\|Seccomp:' /proc/self/status",
    );
    step.process.as_mut().unwrap().security.privileged = true;
    let (_, output) = run(&*engine, step).await;
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find(|line| line.starts_with("CapEff")).unwrap();
    assert_eq!(text(&output.stdout), format!("mounted\n{own}\nSeccomp:\t0\n"), "{}", text(&output.stderr));
    engine.close().await.unwrap();
}

/// A layer of a few bytes that unpacks to more than any machine has: an entry with a name of 4 GB of zeros.
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_goes_off_in_a_process_of_its_own() {
    use std::io::Write as _;
    let engine = engine!();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_size(4 << 30);
    header.set_cksum();
    let pack = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let mut bomb = pack(header.as_bytes());
    bomb.extend(pack(&vec![0; 1 << 20]).repeat(4096));
    assert!(bomb.len() < 20 << 20);
    let error = unpacked_or_not(&engine, &bomb).await;
    assert!(error.contains("memory") || error.contains("the shim ended"), "{error}");
    // The shim is not affected.
    let (answer, _scratch) =
        unpacked(&engine, archive(&[("a", tar::EntryType::Regular, "", b"x")]), None).await;
    assert_eq!(answer, Answer::Done);
    engine.close().await.unwrap();
}

async fn unpacked_or_not(engine: &Native, archive: &[u8]) -> String {
    let scratch = engine.shared.store.scratch().unwrap();
    let path = scratch.file("layer.tar");
    std::fs::write(&path, archive).unwrap();
    let file = std::fs::File::open(path).unwrap();
    let into = scratch.changes.upper.clone();
    let request = Request::Files(Files::Unpack { into, size: archive.len() as u64, digest: None });
    match engine.shared.shim.ask_once(&request, &[file.as_fd()]).await {
        Ok(Answer::Failed(text)) => text,
        Ok(other) => panic!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layers_attributes_are_kept_but_for_those_of_overlays() {
    let engine = engine!();
    let mut builder = tar::Builder::new(Vec::new());
    // The capability to bind small ports, effective (capabilities(7), "file capabilities", version 2).
    let capability: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let attributes: [(&str, &[u8]); 4] = [
        ("SCHILY.xattr.security.capability", &capability),
        ("SCHILY.xattr.user.mine", b"kept"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
    ];
    builder.append_pax_extensions(attributes).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("program").unwrap();
    header.set_mode(0o755);
    header.set_uid(1);
    header.set_gid(1);
    header.set_size(1);
    header.set_cksum();
    builder.append(&header, &b"x"[..]).unwrap();
    let (answer, scratch) = unpacked(&engine, builder.into_inner().unwrap(), None).await;
    assert_eq!(answer, Answer::Done);
    let program = engine.shared.store.root().join(&scratch.changes.upper).join("program");
    let found = |name: &str| {
        let mut value = vec![0_u8; 64];
        let length = rustix::fs::getxattr(&program, name, value.as_mut_slice()).ok()?;
        value.truncate(length);
        Some(value)
    };
    assert_eq!(found("security.capability").unwrap(), capability);
    assert_eq!(found("user.mine").unwrap(), b"kept");
    assert_eq!((found("trusted.overlay.redirect"), found("user.overlay.opaque")), (None, None));
    engine.close().await.unwrap();
}

/// Neither a step that is bound to a service, nor one that is bound to none.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_does_not_reach_another() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let web = "echo page >/index.html; httpd -p 80 -h /; exec sleep 600";
    let served = engine.start(service(&base, HOST, &["sh", "-c", web]), nothing()).await.unwrap();
    served.wait_ports(&[Port::tcp(80)], &ProbeProgress::default()).await.unwrap();
    for links in [vec![], vec![link(HOST, "own")]] {
        let (told, up) = tokio::sync::oneshot::channel();
        let told = Mutex::new(Some(told));
        let sink: Sink =
            Arc::new(move |_, own: &[u8]| drop(lock(&told).take().map(|told| told.send(text(own)))));
        let mut listens = script(&base, "echo page >/index.html; httpd -p 80 -h /; hostname -i; sleep 600");
        listens.links.clone_from(&links);
        let other = engine.prepare(listens).await.unwrap();
        let other = tokio::spawn(other.run(sink));
        let address = up.await.unwrap();
        let look = format!("nc -w 1 {} 80 </dev/null && echo reached || echo none", address.trim());
        let mut looks = script(&base, &look);
        looks.links = links;
        let (_, output) = run(&*engine, looks).await;
        assert_eq!(text(&output.stdout), "none\n", "{}", text(&output.stderr));
        other.abort();
    }
    let mut bound = script(&base, "wget -qO- http://own/");
    bound.links = vec![link(HOST, "own")];
    assert_eq!(text(&run(&*engine, bound).await.1.stdout), "page\n");
    served.remove().await.unwrap();
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_not_reach_the_services_of_another() {
    let (one, other) = (engine!(), engine!());
    let base = busybox(&one).await;
    let script_of = "echo page > /index.html; exec httpd -f -p 80 -h /";
    let web = one.start(service(&base, HOST, &["sh", "-c", script_of]), nothing()).await.unwrap();
    web.wait_ports(&[Port::tcp(80)], &ProbeProgress::default()).await.unwrap();
    let look = "for host in 10.205.0.2 10.205.0.3 10.204.0.2
        do nc -w 1 $host 80 </dev/null 2>/dev/null && echo reached || echo none; done";
    let mut bound = script(&base, look);
    bound.links = vec![link(HOST, "own")];
    assert_eq!(text(&run(&*one, bound).await.1.stdout).matches("reached").count(), 1, "it is there");
    let (_, output) = run(&*other, script(&base, look)).await;
    assert_eq!(text(&output.stdout), "none\nnone\nnone\n");
    // Nor does a step in the services' network of its own session, where a service runs.
    let own = other.start(service(&base, HOST, &["sleep", "60"]), nothing()).await.unwrap();
    let mut linked = script(&base, look);
    linked.links = vec![link(HOST, "own")];
    let (_, output) = run(&*other, linked).await;
    assert_eq!(text(&output.stdout), "none\nnone\nnone\n");
    own.remove().await.unwrap();
    web.remove().await.unwrap();
    one.close().await.unwrap();
    other.close().await.unwrap();
}
