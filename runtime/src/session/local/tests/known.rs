//! What is remembered of files: nothing that has changed is taken for what it was, and nothing else is read again.

use std::collections::BTreeSet;
use std::thread::sleep;

use proptest::prelude::*;

use super::*;

/// Longer than a tick of the file systems that tests run on.
const TICK: Duration = Duration::from_millis(20);

/// A directory with a place to remember it.
struct Remembered {
    root: tempfile::TempDir,
    home: tempfile::TempDir,
    source: LocalSource,
}

impl Remembered {
    fn of(root: tempfile::TempDir) -> Self {
        Self { source: all(root.path()), home: tempfile::tempdir().unwrap(), root }
    }

    fn place(&self) -> Place {
        let place = Place::in_directory(self.home.path(), &self.source).unwrap();
        Place { at_least: 0, tick: TICK, ..place }
    }

    fn read(&self) -> Tree {
        Tree::read_in(&self.source, None, Some(&self.place())).unwrap()
    }

    /// Reads until every file is settled.
    fn settle(&self) -> Tree {
        sleep(TICK * 2);
        self.read();
        let tree = self.read();
        assert_eq!(tree.read, 0, "all is known");
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

/// The digest that a full read gives.
fn truth(source: &LocalSource) -> Digest {
    Tree::read_in(source, None, None).unwrap().digest
}

fn times(path: &Path) -> (SystemTime, SystemTime) {
    let known = fs::metadata(path).unwrap();
    (known.accessed().unwrap(), known.modified().unwrap())
}

fn set_times(path: &Path, (accessed, modified): (SystemTime, SystemTime)) {
    let times = fs::FileTimes::new().set_accessed(accessed).set_modified(modified);
    File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

#[test]
fn every_change_is_seen() {
    type Change<'a> = (&'a str, &'a dyn Fn(&Path));
    let changes: &[Change<'_>] = &[
        ("written", &|root| fs::write(root.join("a"), "A").unwrap()),
        ("written and touched back", &|root| {
            let before = times(&root.join("a"));
            fs::write(root.join("a"), "A").unwrap();
            set_times(&root.join("a"), before);
        }),
        ("replaced by renaming, and touched back", &|root| {
            let before = times(&root.join("a"));
            fs::write(root.join("new"), "A").unwrap();
            set_times(&root.join("new"), before);
            fs::rename(root.join("new"), root.join("a")).unwrap();
        }),
        ("swapped", &|root| {
            fs::rename(root.join("a"), root.join("x")).unwrap();
            fs::rename(root.join("b"), root.join("a")).unwrap();
            fs::rename(root.join("x"), root.join("b")).unwrap();
        }),
        ("executable", &|root| {
            fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        }),
        ("a link to elsewhere", &|root| {
            fs::remove_file(root.join("link")).unwrap();
            symlink("b", root.join("link")).unwrap();
        }),
        ("a link instead of a directory", &|root| {
            fs::rename(root.join("sub"), root.join("other")).unwrap();
            symlink("other", root.join("sub")).unwrap();
        }),
        ("another directory of the same name", &|root| {
            fs::rename(root.join("sub"), root.join("other")).unwrap();
            fs::create_dir(root.join("sub")).unwrap();
            fs::write(root.join("sub/c"), "C").unwrap();
        }),
        ("a file instead of a directory", &|root| {
            fs::remove_dir_all(root.join("sub")).unwrap();
            fs::write(root.join("sub"), "").unwrap();
        }),
        ("longer", &|root| fs::write(root.join("sub/c"), "sub/c!").unwrap()),
        ("new", &|root| fs::write(root.join("sub/d"), "").unwrap()),
        ("gone", &|root| fs::remove_file(root.join("b")).unwrap()),
        ("left out", &|root| fs::write(root.join(".gitignore"), "b").unwrap()),
    ];
    for (what, change) in changes {
        // Of one length, and changed to the same.
        let remembered = Remembered::of(directory(&["a", "b", "sub/c"]));
        symlink("a", remembered.path("link")).unwrap();
        let before = remembered.settle().digest;
        change(remembered.root.path());
        let after = remembered.read();
        assert_ne!(after.digest, before, "{what}");
        assert_eq!(after.digest, truth(&remembered.source), "{what}");
    }
}

#[test]
fn what_was_not_changed_is_not_read() {
    let remembered = Remembered::of(directory(&["a", "b", "sub/c", "sub/deep/d"]));
    let before = remembered.settle().digest;
    fs::write(remembered.path("sub/c"), "C").unwrap();
    assert_eq!(remembered.read().read, 1);
    fs::rename(remembered.path("sub/deep"), remembered.path("sub/other")).unwrap();
    let moved = remembered.read();
    assert_ne!(moved.digest, before);
    assert!(moved.read <= 2, "what is elsewhere is read there");
    // Another selection of the same directory is another source.
    let other = source(remembered.root.path(), &[], &["b"]);
    let place = Place { at_least: 0, ..Place::in_directory(remembered.home.path(), &other).unwrap() };
    assert_eq!(Tree::read_in(&other, None, Some(&place)).unwrap().read, 3);
}

#[test]
fn what_was_changed_within_a_tick_is_read_again() {
    let remembered = Remembered::of(directory(&["a", "b"]));
    // As far as clocks can tell these are one moment, and the file looks alike after every write.
    let place = Place { tick: Duration::from_secs(3600), ..remembered.place() };
    let read = || Tree::read_in(&remembered.source, None, Some(&place)).unwrap();
    assert_eq!(read().read, 2);
    assert_eq!(read().read, 2, "nothing is certain yet");
    for contents in ["1", "2", "3"] {
        fs::write(remembered.path("a"), contents).unwrap();
        assert_eq!(read().digest, truth(&remembered.source));
    }
}

#[test]
fn what_is_damaged_or_not_ours_counts_as_not_there() {
    let remembered = Remembered::of(directory(&["a", "b", "sub/c"]));
    let digests = |tree: Tree| ["/host", "/host/a", "/host/b", "/host/sub/c"].map(|part| tree.digest(part));
    let before = digests(remembered.settle());
    let file = fs::read_dir(remembered.home.path()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, &damaged).unwrap();
        assert_eq!(digests(remembered.read()), before, "byte {at}");
        fs::write(&file, &whole[..at]).unwrap();
        assert_eq!(digests(remembered.read()), before, "cut at {at}");
    }
    assert_eq!(remembered.read().read, 0, "it was replaced");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(remembered.read().read, 3, "anybody might have written it");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(remembered.read().read, 3, "nothing can be written there");
    assert_eq!(digests(remembered.read()), before);
}

#[test]
fn a_single_file_is_remembered_too() {
    let root = directory(&["a"]);
    let source = LocalSource { path: root.path().join("a"), kind: LocalKind::File };
    let remembered = Remembered { source, home: tempfile::tempdir().unwrap(), root };
    let before = remembered.settle().digest;
    fs::write(remembered.path("b"), "B").unwrap();
    fs::remove_file(remembered.path("a")).unwrap();
    symlink("b", remembered.path("a")).unwrap();
    assert_ne!(remembered.read().digest, before);
}

#[test]
fn little_is_not_remembered_and_what_is_old_goes() {
    let root = directory(&["a"]);
    let home = tempfile::tempdir().unwrap();
    let count = || fs::read_dir(home.path()).unwrap().count();
    let source = all(root.path());
    let place = Place::in_directory(home.path(), &source).unwrap();
    Tree::read_in(&source, None, Some(&place)).unwrap();
    assert_eq!(count(), 0);
    fs::write(root.path().join("large"), vec![1; 5 << 20]).unwrap();
    let old = home.path().join("old");
    fs::write(&old, "").unwrap();
    set_times(&old, (SystemTime::now(), SystemTime::now() - Duration::from_secs(31 * 24 * 60 * 60)));
    Tree::read_in(&source, None, Some(&place)).unwrap();
    assert_eq!(count(), 1);
    assert!(!old.exists());
}

/// A change of a random tree.
#[derive(Debug, Clone)]
enum Edit {
    Write(String, u8),
    Executable(String, bool),
    Link(String, String),
    Remove(String),
    Rename(String, String),
    TouchBack(String, u8),
    Wait,
}

fn a_path() -> impl Strategy<Value = String> {
    "[ab](/[ab]){0,2}"
}

fn an_edit() -> impl Strategy<Value = Edit> {
    let text = || prop_oneof![Just(1u8), Just(2)];
    prop_oneof![
        4 => (a_path(), text()).prop_map(|(path, text)| Edit::Write(path, text)),
        1 => (a_path(), any::<bool>()).prop_map(|(path, is)| Edit::Executable(path, is)),
        1 => (a_path(), "[ab]").prop_map(|(path, to)| Edit::Link(path, to)),
        1 => a_path().prop_map(Edit::Remove),
        2 => (a_path(), a_path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        2 => (a_path(), text()).prop_map(|(path, text)| Edit::TouchBack(path, text)),
        2 => Just(Edit::Wait),
    ]
}

/// What cannot be done in a tree is not done.
fn apply(root: &Path, edit: &Edit) {
    let write = |path: &str, text: u8| {
        let path = root.join(path);
        let is_link = fs::symlink_metadata(&path).is_ok_and(|known| known.is_symlink());
        if !is_link && fs::create_dir_all(path.parent().unwrap()).is_ok() {
            let _ = fs::write(path, [text]);
        }
    };
    match edit {
        Edit::Write(path, text) => write(path, *text),
        Edit::Executable(path, is_executable) => {
            let mode = if *is_executable { 0o755 } else { 0o644 };
            let path = root.join(path);
            if path.is_file() {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        Edit::Link(path, to) => drop(symlink(to, root.join(path))),
        Edit::Remove(path) => {
            let path = root.join(path);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        Edit::Rename(from, to) => drop(fs::rename(root.join(from), root.join(to))),
        Edit::TouchBack(path, text) => {
            let at = root.join(path);
            if at.is_file() {
                let before = times(&at);
                write(path, *text);
                set_times(&at, before);
            }
        }
        Edit::Wait => sleep(TICK * 2),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn what_is_remembered_is_what_a_full_read_finds(edits in prop::collection::vec((an_edit(), any::<bool>()), 1..24)) {
        let remembered = Remembered::of(directory(&["a/a", "b/b/a"]));
        for (edit, reads) in edits {
            apply(remembered.root.path(), &edit);
            if reads {
                prop_assert_eq!(remembered.read().digest, truth(&remembered.source), "{:?}", edit);
            }
        }
        prop_assert_eq!(remembered.read().digest, truth(&remembered.source));
    }
}

/// What the crate `ignore` walks, and the patterns say.
fn walked(source: &LocalSource) -> BTreeSet<String> {
    let LocalKind::Directory { include, exclude, ignore_files } = &source.kind else { unreachable!() };
    let root = source.path.clone();
    let patterns = |list: &[String]| crate::patterns::Patterns::new(list.iter().map(String::as_str)).unwrap();
    let docker = fs::read_to_string(root.join(".dockerignore")).unwrap_or_default();
    let lists = [patterns(exclude), crate::patterns::Patterns::of_file(&docker).unwrap()];
    let names = |list: &crate::patterns::Patterns, name: &Path| list.names(list.deciding_from_the_root(name));
    let walk = ignore::WalkBuilder::new(&root)
        .standard_filters(false)
        .git_ignore(*ignore_files == IgnoreFiles::Honoured)
        .require_git(false)
        .parents(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let mut taken = BTreeSet::new();
    for entry in walk {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(&root).unwrap();
        let is_excluded = lists.iter().any(|list| names(list, name));
        if name.as_os_str().is_empty()
            || is_excluded
            || !(include.is_empty() || names(&patterns(include), name))
        {
            continue;
        }
        let above = name.ancestors().filter(|name| !name.as_os_str().is_empty());
        taken.extend(above.map(|name| name.display().to_string()));
    }
    taken
}

fn a_rule() -> impl Strategy<Value = String> {
    "!?/?(a|b|\\*|a\\*|\\*\\*)(/(a|b|\\*|\\*\\*)){0,2}/?"
}

fn a_pattern() -> impl Strategy<Value = String> {
    "!?(a|b|\\*|\\*\\*|\\[ab\\])(/(a|b|\\*|\\*\\*)){0,2}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn what_is_taken_is_what_a_walk_of_everything_takes(
        files in prop::collection::vec("[ab](/[ab]){0,3}", 1..12),
        rules in prop::collection::vec(("([ab]/){0,2}", prop::collection::vec(a_rule(), 1..3)), 0..3),
        docker in prop::collection::vec(a_pattern(), 0..3),
        include in prop::collection::vec(a_pattern(), 0..2),
        exclude in prop::collection::vec(a_pattern(), 0..3),
    ) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(&file);
            if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                let _ = fs::write(path, file);
            }
        }
        for (directory, rules) in rules {
            let _ = fs::write(root.path().join(directory).join(".gitignore"), rules.join("\n"));
        }
        fs::write(root.path().join(".dockerignore"), docker.join("\n")).unwrap();
        let list = |patterns: &[String]| patterns.to_vec();
        let ignore_files = IgnoreFiles::Honoured;
        let kind = LocalKind::Directory { include: list(&include), exclude: list(&exclude), ignore_files };
        let source = LocalSource { path: root.path().to_owned(), kind };
        let found = names(&source);
        prop_assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), walked(&source));
        let mut sorted = found.clone();
        sorted.sort_by(|a, b| Path::new(a).cmp(Path::new(b)));
        prop_assert_eq!(found, sorted);
    }
}

#[test]
fn excluded_directories_are_not_entered() {
    let root = directory(&["keep/a", "target/debug/x", "node_modules/p/x", "logs/x", "logs/keep/x"]);
    fs::write(root.path().join(".gitignore"), "/target\n").unwrap();
    fs::write(root.path().join(".dockerignore"), "logs\n!logs/keep\n!*.md\n").unwrap();
    let source = source(root.path(), &[], &["node_modules"]);
    let entered = || {
        let tree = Tree::read_in(&source, None, None).unwrap();
        let mut names: Vec<_> =
            tree.directories.iter().map(|found| found.name.display().to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(entered(), ["", "keep", "logs", "logs/keep"]);
}
