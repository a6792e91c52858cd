//! Layers packed into archives, and unpacked again.

use crate::engine::testing;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::*;

/// Deeper than the limit of open files, and than the longest path.
const DEPTH: usize = 1500;

/// A layer's archive in a scratch directory, and the shim's answer about it.
async fn packed(engine: &Native, layer: &Path) -> (Scratch, PathBuf, Answer) {
    let scratch = engine.shared.store.scratch().unwrap();
    let path = scratch.file("layer.tar.gz");
    let file = std::fs::File::create(&path).unwrap();
    let request = Request::Files(Files::Pack { layer: layer.to_owned() });
    let answer = engine.shared.shim.ask_once(&request, &[file.as_fd()]).await.unwrap();
    (scratch, path, answer)
}

/// Everything in a directory of the store with all its metadata; of `.` only the mode.
fn listing(engine: &Native, directory: &Path) -> String {
    let script = r"
        stat -c '%a' .
        find . -mindepth 1 -printf '%P|%y|%m|%U:%G|%n|%T@|%l\n' | sed 's/\.[0-9]*|\([^|]*\)$/|\1/; s/|c|.*/|c/' | LC_ALL=C sort
        find . -type c -exec stat -c '%n %t,%T' {} + | sort
        find . -type f -exec sha256sum {} + | sort
        getfattr -R -h -d -m - -e hex . 2>/dev/null | grep -v overlay.origin || true";
    let path = engine.shared.store.root().join(directory);
    let output = std::process::Command::new("sh").args(["-ec", script]).current_dir(path).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_packed_is_unpacked_as_it_was() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let writes = r#"
        mkdir -p /d/sub /gone; echo x >/d/file; echo y >/d/sub/below
        rm /etc/group; rm -r /etc/network 2>/dev/null; rm -r /var; mkdir /var; echo new >/var/new
        ln /d/file /d/again; ln -s /nowhere/at/all /d/link; mkfifo -m 640 /d/fifo; : >/d/empty
        chown 12:34 /d/file; chmod 6755 /d/file; chown -h 3000000:5 /d/link; chmod 1777 /d/sub
        name=$(printf '%0200d' 0); mkdir /d/$name; echo long >/d/$name/$name; ln -s /$name /d/$name/link
        ln /d/$name/$name /d/hard; printf 'odd' >"/d/a b\\$(printf '\377')"
        head -c 300000 /dev/zero >/d/big; touch -d @86400 /d/big /d/sub; chmod 711 /
    "#;
    let (finished, output) = run(&*engine, script(&base, writes)).await;
    assert_eq!(output.exit_code, 0, "{}", text(&output.stderr));
    let snapshot = testing::keep(finished, key(), output.into()).await;
    for layer in layers(&snapshot) {
        let (scratch, path, answer) = packed(&engine, &layer).await;
        let Answer::Packed(said) = answer else { panic!("{answer:?}") };
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(said.size, bytes.len() as u64);
        let again = packed(&engine, &layer).await;
        assert_eq!(std::fs::read(&again.1).unwrap(), bytes, "the same, whenever it is packed");
        let into = engine.shared.store.scratch().unwrap();
        let digest = said.unpacked.hash().to_string();
        let to = into.changes.upper.clone();
        let request =
            Request::Files(Files::Unpack { into: to.clone(), size: said.size, digest: Some(digest) });
        let file = std::fs::File::open(&path).unwrap();
        assert_eq!(engine.shared.shim.ask_once(&request, &[file.as_fd()]).await.unwrap(), Answer::Done);
        assert_eq!(listing(&engine, &to), listing(&engine, &layer));
        drop((scratch, again));
    }
    let last = listing(&engine, &layers(&snapshot).pop().unwrap());
    for part in
        ["711\n", "d/file|f|6755|12:34|2|", "./etc/group 0,0", "var|d|755", "d/big|f|644|0:0|1|86400|"]
    {
        assert!(last.contains(part), "{part} is not in\n{last}");
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_tree_is_packed_as_what_it_is() {
    let engine = engine!();
    let scratch = engine.shared.store.scratch().unwrap();
    let layer = scratch.changes.upper.clone();
    let root = engine.shared.store.root().join(&layer);
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, &root, directory, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        rustix::fs::mkdirat(&at, "deep", Mode::from_raw_mode(0o755)).unwrap();
        at = openat(&at, "deep", directory, Mode::empty()).unwrap();
    }
    openat(&at, "end", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("outside")).unwrap();
    let (_kept, path, answer) = packed(&engine, &layer).await;
    assert!(matches!(answer, Answer::Packed(_)), "{answer:?}");
    let archive = flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap());
    let mut archive = tar::Archive::new(archive);
    let names: Vec<Vec<u8>> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned()).collect();
    assert_eq!(names.len(), DEPTH + 3);
    assert!(names.iter().any(|name| name.len() == DEPTH * 5 + 3 && name.ends_with(b"/deep/end")));
    assert_eq!(names.last().unwrap(), b"outside");
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b".wh.passwd")), "").unwrap();
    let (_kept, _, answer) = packed(&engine, &layer).await;
    let Answer::Failed(why) = answer else { panic!("{answer:?}") };
    assert!(why.contains("`.wh.passwd`: no image can have a name that starts with `.wh.`"), "{why}");
    engine.close().await.unwrap();
}

/// An archive of nested directories, with a file in the innermost.
fn deep(depth: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut path = String::new();
    for _ in 0..depth {
        path.push_str("d/");
        header.set_entry_type(tar::EntryType::Directory);
        builder.append_data(&mut header, &path, std::io::empty()).unwrap();
    }
    header.set_entry_type(tar::EntryType::Regular);
    builder.append_data(&mut header, format!("{path}x"), std::io::empty()).unwrap();
    builder.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_layer_takes_no_longer_than_a_wide_one() {
    let engine = engine!();
    let start = Instant::now();
    let (answer, _scratch) = super::confinement::unpacked(&engine, deep(1900), None).await;
    assert_eq!(answer, Answer::Done);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let (answer, _scratch) = super::confinement::unpacked(&engine, deep(2100), None).await;
    assert!(matches!(&answer, Answer::Failed(why) if why.contains("4095 bytes")), "{answer:?}");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_layers_are_one_file_system() {
    const MOST: usize = 500;
    let engine = engine!();
    let base = busybox(&engine).await;
    let store = &engine.shared.store;
    // The lowest layer of every container lies below them all.
    let more = MOST - 1 - layers(&base).len();
    let add = |names: &mut Vec<String>, number: usize| {
        let scratch = store.scratch().unwrap();
        std::fs::write(store.root().join(&scratch.changes.upper).join(format!("x{number}")), "").unwrap();
        names.push(store.keep(&scratch, &key()).unwrap());
    };
    let mut names = super::super::store::names(&base);
    (0..more).for_each(|number| add(&mut names, number));
    let counts = "ls / | grep -c '^x[0-9]'; echo y >/made; cat /made";
    let (_, output) = run(&*engine, script(&snapshot_of(&names), counts)).await;
    assert_eq!(text(&output.stdout), format!("{more}\ny\n"), "{}", text(&output.stderr));
    // The shim goes on working, in its own directory.
    let (_, output) = run(&*engine, script(&base, "ls / | grep -c '^x[0-9]'")).await;
    assert_eq!(text(&output.stdout), "0\n");
    add(&mut names, more);
    let many = script(&snapshot_of(&names), "true");
    let Ok(prepared) = engine.prepare(many).await else { panic!("what runs nothing needs no layers") };
    let error = prepared.run(nothing()).await.err().expect("there is no such overlay");
    assert!(error.to_string().contains("none of more than 500"), "{error}");
    engine.close().await.unwrap();
}
