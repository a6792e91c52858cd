//! The entries of a directory that are taken, and their digest.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use super::*;
use crate::value::IgnoreFiles;

mod known;

/// A directory with these files; each one's contents are its name.
fn directory(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    root
}

fn all(root: &Path) -> LocalSource {
    source(root, &[], &[])
}

fn source(root: &Path, include: &[&str], exclude: &[&str]) -> LocalSource {
    let list = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    let kind = LocalKind::Directory {
        include: list(include),
        exclude: list(exclude),
        ignore_files: IgnoreFiles::Honoured,
    };
    LocalSource { path: root.to_owned(), kind }
}

fn names(source: &LocalSource) -> Vec<String> {
    names_in(&Tree::read(source).unwrap())
}

fn names_in(tree: &Tree) -> Vec<String> {
    let mut names = Vec::new();
    tree.visit(|name, _| {
        names.push(name.display().to_string());
        Ok(())
    })
    .unwrap();
    names
}

fn digest_of(root: &Path) -> Digest {
    Tree::read(&all(root)).unwrap().digest
}

#[test]
fn times_and_owners_do_not_count() {
    let root = directory(&["a", "sub/b"]);
    let before = digest_of(root.path());
    let file = File::options().write(true).open(root.path().join("a")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(1000 * 60 * 60)).unwrap();
    fs::set_permissions(root.path().join("sub"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(root.path().join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(digest_of(root.path()), before);
    // The directory's own path does not count either.
    assert_eq!(digest_of(directory(&["sub/b", "a"]).path()), before);
}

#[test]
fn contents_names_links_and_the_executable_bit_count() {
    let changes: [&dyn Fn(&Path); 7] = [
        &|root| fs::write(root.join("a"), "other").unwrap(),
        &|root| fs::rename(root.join("a"), root.join("b")).unwrap(),
        &|root| fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o755)).unwrap(),
        &|root| fs::write(root.join("new"), "").unwrap(),
        &|root| fs::create_dir(root.join("empty")).unwrap(),
        &|root| symlink("a", root.join("link")).unwrap(),
        &|root| symlink("b", root.join("link")).unwrap(),
    ];
    let mut seen = vec![digest_of(directory(&["a", "sub/x"]).path())];
    for change in changes {
        let root = directory(&["a", "sub/x"]);
        change(root.path());
        seen.push(digest_of(root.path()));
    }
    let different: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len());
}

#[test]
fn ignore_files_say_what_is_left_out() {
    let root = directory(&[
        "keep",
        "target/x",
        "sub/a.log",
        "sub/keep",
        "sub/own",
        ".git/HEAD",
        "docs/a.md",
        "docs/b.md",
    ]);
    fs::write(root.path().join(".gitignore"), "/target\n*.log\n").unwrap();
    fs::write(root.path().join("sub/.gitignore"), "own\n").unwrap();
    fs::write(root.path().join(".dockerignore"), "docs\n!docs/b.md\n").unwrap();
    assert_eq!(
        names(&all(root.path())),
        [".dockerignore", ".gitignore", "docs", "docs/b.md", "keep", "sub", "sub/.gitignore", "sub/keep"]
    );
    let kind = LocalKind::Directory {
        include: Vec::new(),
        exclude: Vec::new(),
        ignore_files: IgnoreFiles::Disregarded,
    };
    let everything = names(&LocalSource { path: root.path().to_owned(), kind });
    for name in ["target/x", "sub/a.log", ".git/HEAD", "docs/a.md"] {
        assert!(everything.iter().any(|other| other == name), "{name}: {everything:?}");
    }
    // A rule further up that ignores the directory does not apply to its contents.
    assert_eq!(names(&all(&root.path().join("target"))), ["x"]);
}

#[test]
fn patterns_choose() {
    let root = directory(&["a.rs", "b.txt", "sub/c.rs", "sub/d.txt", "sub/deep/e.rs", "other/f.txt"]);
    assert_eq!(
        names(&source(root.path(), &["**/*.rs"], &["sub/deep"])),
        ["a.rs", "sub", "sub/c.rs"],
        "directories come with what is in them alone"
    );
    assert_eq!(
        names(&source(root.path(), &["sub"], &["**/*.txt"])),
        ["sub", "sub/c.rs", "sub/deep", "sub/deep/e.rs"]
    );
    assert_eq!(names(&source(root.path(), &[], &["*", "!b.txt"])), ["b.txt"]);
}

#[test]
fn links_stay_and_lead_nowhere() {
    let root = directory(&["a"]);
    symlink("/etc", root.path().join("out")).unwrap();
    symlink(".", root.path().join("circle")).unwrap();
    symlink("missing", root.path().join("dangling")).unwrap();
    assert_eq!(names(&all(root.path())), ["a", "circle", "dangling", "out"]);
}

#[test]
fn sockets_are_left_out_and_named() {
    let root = directory(&["a"]);
    let _listener = UnixListener::bind(root.path().join("s")).unwrap();
    let tree = Tree::read(&all(root.path())).unwrap();
    assert_eq!(
        (names_in(&tree), tree.left_out().collect::<Vec<_>>()),
        (vec!["a".to_owned()], vec![&PathBuf::from("s")])
    );
}

#[test]
fn hostile_names_survive() {
    use std::os::unix::ffi::OsStrExt as _;
    let root = directory(&[]);
    let long = "x".repeat(200);
    let names = [&b"\xff\xfe"[..], b"new\nline", b"-rf", b" ", long.as_bytes()];
    for name in names {
        fs::write(root.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::create_dir_all(root.path().join(&long).with_extension("d").join(&long)).unwrap();
    let tree = Tree::read(&all(root.path())).unwrap();
    let mut archive = Vec::new();
    tree.write(&mut archive).unwrap();
    let mut archive = tar::Archive::new(archive.as_slice());
    let found: Vec<_> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned()).collect();
    for name in names {
        assert!(found.iter().any(|other| *other == [b"host/", name].concat()), "{name:?}");
    }
}

#[test]
fn what_changes_on_its_way_is_an_error() {
    let root = directory(&["a", "b"]);
    let tree = Tree::read(&all(root.path())).unwrap();
    fs::write(root.path().join("b"), "B").unwrap();
    let error = tree.write(io::sink()).unwrap_err().to_string();
    assert!(error.contains("b` was changed while it was read"), "{error}");
    fs::write(root.path().join("b"), "").unwrap();
    assert!(tree.write(io::sink()).is_err(), "it is shorter now");
}

#[test]
fn mistakes_name_the_path_and_the_fix() {
    let root = directory(&["a"]);
    let message = |source: &LocalSource| Tree::read(source).unwrap_err().to_string();
    let missing = message(&all(&root.path().join("missing")));
    assert!(missing.contains("missing: no such directory\n\nhelp: "), "{missing}");
    let file = message(&all(&root.path().join("a")));
    assert!(file.contains("is not a directory") && file.contains("host_file"), "{file}");
    let directory = message(&LocalSource { path: root.path().to_owned(), kind: LocalKind::File });
    assert!(directory.contains("is a directory, not a file"), "{directory}");
    fs::write(root.path().join(".dockerignore"), "../x\n").unwrap();
    let pattern = message(&all(root.path()));
    assert!(pattern.contains(".dockerignore") && pattern.contains("leads out"), "{pattern}");
}

#[test]
fn names_that_would_delete_others_are_refused() {
    let root = directory(&["a", "sub/.wh.a"]);
    let read = |exclude: &[&str]| Tree::read(&source(root.path(), &[], exclude));
    let error = read(&[]).unwrap_err().to_string();
    assert!(error.contains("sub/.wh.a`: no image can have a name that starts with `.wh.`"), "{error}");
    assert!(error.contains("help: ") && error.contains(".exclude("), "{error}");
    for exclude in ["**/.wh.*", "sub"] {
        assert!(read(&[exclude]).is_ok(), "{exclude}");
    }
    fs::create_dir_all(root.path().join(".wh.d")).unwrap();
    assert!(read(&["sub"]).unwrap_err().to_string().contains("/.wh.d`"));
    let file = LocalSource { path: root.path().join("sub/.wh.a"), kind: LocalKind::File };
    assert!(Tree::read(&file).unwrap_err().to_string().contains(".wh.a`"));
}

#[test]
fn a_pipe_is_no_file_and_no_list_of_patterns() {
    let root = directory(&["a"]);
    let make = |name: &str| {
        let path = root.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    let source = LocalSource { path: make("pipe"), kind: LocalKind::File };
    let (tell, told) = std::sync::mpsc::channel();
    let all = all(root.path());
    make(".dockerignore");
    std::thread::spawn(move || {
        for source in [source, all] {
            tell.send(Tree::read(&source).unwrap_err().to_string()).unwrap();
        }
    });
    let hear = || told.recv_timeout(Duration::from_secs(10)).expect("it hangs");
    assert!(hear().contains("no regular file"));
    assert!(hear().contains("a pipe, not a regular file"));
}

#[test]
fn of_a_part_only_the_part_counts() {
    let root = directory(&["src/a", "src/deep/b", "other", "hostel/a"]);
    symlink("src", root.path().join("link")).unwrap();
    let parts = [
        "/host/src/",
        "/host/src/a",
        "/host/src/deep/b",
        "/host/link/a",
        "/host/link",
        "/host/none",
        "/host",
    ];
    let digests = || {
        let tree = Tree::read(&all(root.path())).unwrap();
        parts.map(|part| tree.digest(part))
    };
    let changed = |before: &[Digest], change: &dyn Fn(&Path)| -> Vec<&str> {
        change(root.path());
        let pairs = parts.iter().zip(before.iter().zip(digests()));
        pairs.filter(|(_, (before, after))| **before != *after).map(|(part, _)| *part).collect()
    };
    // If the part cannot be determined, the whole counts.
    let whole = ["/host/link/a", "/host/link", "/host/none", "/host"];
    assert_eq!(changed(&digests(), &|root| fs::write(root.join("other"), "x").unwrap()), whole);
    let with = |parts: &[&'static str]| [parts, &whole[..]].concat();
    assert_eq!(
        changed(&digests(), &|root| fs::write(root.join("src/a"), "x").unwrap()),
        with(&["/host/src/", "/host/src/a"])
    );
    let executable = |root: &Path| {
        fs::set_permissions(root.join("src/deep/b"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    assert_eq!(changed(&digests(), &executable), with(&["/host/src/", "/host/src/deep/b"]));
    let tree = Tree::read(&all(root.path())).unwrap();
    assert_eq!(tree.digest("/hostel/a"), tree.digest, "that is no path of it");
}
