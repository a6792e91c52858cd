//! Files and directories of this machine, seen from inside real containers.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use bowline::prelude::*;
use bowline::{Directory, Session};
use bowline_tests::{created_since, nonce};

pub(crate) fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    root
}

/// Counts what it sees, so that an earlier result can be told from a new one.
fn look(source: impl Into<Directory>, nonce: &str) -> Container {
    Container::from_image("busybox:1.35")
        .env("NONCE", nonce)
        .mount("/src", source.into())
        .shell("cd /src; find . -type f | sort | xargs cat; stat -c %a,%u run; date +%N")
}

/// A step that copies a part of a directory is not run again for what lies beside it.
#[bowline::test]
async fn what_lies_beside_a_copied_path_does_not_matter() {
    let nonce = nonce();
    let root = directory(&[("src/a", &nonce), ("notes", "one")]);
    let ran = || async {
        let source = bowline::host(root.path()).directory();
        let look = Container::from_image("busybox:1.35")
            .copy("/a", source.file("src/a"))
            .mount_readonly("/src", source.directory("src"))
            .shell("cat /a /src/a; date +%N");
        let session = Session::new();
        let said = session.scope(look.stdout()).await.unwrap();
        session.close().await.unwrap();
        said
    };
    let first = ran().await;
    assert!(first.starts_with(&format!("{nonce}{nonce}")), "{first}");
    fs::write(root.path().join("notes"), "two").unwrap();
    assert_eq!(ran().await, first);
    fs::write(root.path().join("src/a"), format!("{nonce}!")).unwrap();
    let second = ran().await;
    assert!(second.starts_with(&format!("{nonce}!{nonce}!")), "{second}");
}

#[bowline::test]
async fn a_directory_is_what_it_was_when_it_was_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let nonce = nonce();
    let root = directory(&[
        ("a", &nonce),
        ("sub/b", "bee"),
        ("run", "#!"),
        ("target/x", "built"),
        (".gitignore", "target"),
    ]);
    fs::set_permissions(root.path().join("run"), fs::Permissions::from_mode(0o711)).unwrap();
    std::os::unix::fs::symlink("sub/b", root.path().join("link")).unwrap();
    let path = root.path();
    let p = pipeline! {
        dir source = host(path).exclude([".gitignore"]);
        file one = host_file(path.join("sub/b"));
        container c {
            image "busybox:1.35";
            mount source at "/src";
            mount one at "/etc/one";
            mount source at "/readonly" readonly;
            copy source to "/copied";
            shell "cd /src; find . | sort; cat a link /etc/one /readonly/link /copied/link; stat -c %a,%u run a";
        }
    };
    let said = p.c.stdout().await.unwrap();
    assert_eq!(said, format!(".\n./a\n./link\n./run\n./sub\n./sub/b\n{nonce}beebeebeebee755,0\n644,0\n"));
    // It can be read like any other.
    let names: Vec<_> = p.source.entries().await.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["a", "link", "run", "sub"]);
    assert_eq!(p.one.contents().await.unwrap(), "bee");
    // Read once a session.
    fs::write(path.join("a"), "later").unwrap();
    let again = Container::from_image("busybox:1.35").mount("/src", &p.source).exec(["cat", "/src/a"]);
    assert_eq!(again.stdout().await.unwrap(), nonce);
}

#[bowline::test]
async fn only_what_counts_makes_another_result() {
    let nonce = nonce();
    let root = directory(&[("a", "1"), ("run", ""), ("ignored.log", "1"), (".gitignore", "*.log")]);
    let run = async |what: &str| {
        let session = Session::new();
        let began = SystemTime::now();
        let said = session.scope(look(host(root.path()), &nonce).stdout()).await.expect(what);
        let created = created_since(&session, began);
        session.close().await.unwrap();
        (said, created)
    };
    let (first, created) = run("first").await;
    assert!(created.is_none_or(|created| created > 0));
    fs::write(root.path().join("ignored.log"), "2").unwrap();
    let later = fs::File::options().write(true).open(root.path().join("a")).unwrap();
    later.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let (again, created) = run("nothing that counts has changed").await;
    assert_eq!(again, first);
    assert!(created.is_none_or(|created| created == 0), "{created:?}");
    fs::write(root.path().join("a"), "2").unwrap();
    let (second, _) = run("changed").await;
    assert_ne!(second, first);
    fs::write(root.path().join("a"), "1").unwrap();
    let (again, created) = run("changed back").await;
    assert_eq!(again, first);
    assert!(created.is_none_or(|created| created == 0), "{created:?}");
}

#[bowline::test]
async fn nothing_is_read_before_it_is_needed() {
    let p = pipeline! {
        dir source = host("/no/such/directory");
        container c { image "busybox:1.35"; mount source at "/src"; exec ["true"]; }
    };
    let plan = p.plan().to_string();
    assert!(plan.contains("mount host /no/such/directory at /src"), "{plan}");
    assert_eq!(p.c.digest().unwrap(), p.c.digest().unwrap());
    let error = p.c.sync().await.unwrap_err().to_string();
    assert!(error.contains("/no/such/directory"), "{error}");
}

/// What this process has in memory at most so far, in kB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn fill(root: &Path, files: usize, size: usize) {
    for number in 0..files {
        fs::write(root.join(number.to_string()), vec![u8::try_from(number % 251).unwrap(); size]).unwrap();
    }
}

#[bowline::test]
async fn a_large_directory_is_streamed() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("nonce"), nonce()).unwrap();
    fill(root.path(), 6, 20 << 20);
    let before = peak();
    let c = Container::from_image("busybox:1.35").mount("/src", host(root.path())).shell("du -sm /src");
    assert!(c.stdout().await.unwrap().starts_with("12"));
    let grown = peak() - before;
    assert!(grown < 50 << 10, "120 MB took {grown} kB");
}

#[bowline::test]
async fn many_files_are_sent() {
    if !bowline_tests::has_time() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("nonce"), nonce()).unwrap();
    fill(root.path(), 10_000, 10);
    let c = Container::from_image("busybox:1.35").copy("/src", host(root.path())).shell("ls /src | wc -l");
    assert_eq!(c.stdout().await.unwrap(), "10001\n");
}
