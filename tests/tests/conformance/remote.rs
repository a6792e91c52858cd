//! Results that other machines take: from a directory, and from a registry. Each machine is a process with a home of its
//! own; an engine that machines share forgets what was kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bowline::prelude::*;
use bowline_tests::{eventually, nonce};

use crate::registry::Registry;

/// Machines that run one pipeline.
struct Machines {
    directory: tempfile::TempDir,
    nonce: String,
}

/// What a run came to.
struct Ran {
    output: Output,
    events: Vec<serde_json::Value>,
}

impl Ran {
    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn count(&self, kind: &str) -> usize {
        self.events.iter().filter(|event| event["event"] == kind).count()
    }

    fn warnings(&self) -> Vec<&str> {
        let warnings = self.events.iter().filter(|event| event["event"] == "warning");
        warnings.map(|event| event["message"].as_str().unwrap()).collect()
    }

    /// Checks that everything was taken from elsewhere.
    #[track_caller]
    fn took_all(&self, number: usize) {
        assert_eq!((self.count("started"), self.count("fetched")), (0, number), "{}", self.said());
        assert_eq!(self.warnings(), [""; 0]);
    }
}

impl Machines {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), nonce: nonce() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The place of this name.
    fn place(&self, name: &str) -> String {
        format!("dir:{}", self.path(name).display())
    }

    fn command(&self, machine: &str, flags: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
        command.args(args).args(["--nonce", &self.nonce]).args(flags);
        command.args(["--events", self.path("events").to_str().unwrap()]);
        command.env("BOWLINE_HOME", self.path(machine)).env("BOWLINE_PROGRESS", "log");
        command
    }

    #[track_caller]
    fn run(&self, machine: &str, flags: &[&str], args: &[&str]) -> Ran {
        let output = self.command(machine, flags, args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let events = fs::read_to_string(self.path("events")).unwrap();
        Ran { output, events: events.lines().map(|line| serde_json::from_str(line).unwrap()).collect() }
    }

    /// The keys of the results in a directory.
    fn keys(&self, name: &str) -> BTreeSet<String> {
        let results = fs::read_dir(self.path(name).join("results")).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        results.map(|entry| stem(entry.unwrap().path())).collect()
    }
}

/// Lets the engine that the machines share be without these results.
fn forget(keys: impl IntoIterator<Item = String>) {
    if docker_is_shared() {
        for key in keys {
            let image = format!("bowline/step:{key}");
            let _ = Command::new("docker").args(["rmi", "--force", &image]).output();
        }
    }
}

/// Whether there is a Docker engine that results stay in, on whatever engine the tests run.
fn docker_is_shared() -> bool {
    let mut version = Command::new("docker");
    version.args(["version", "--format", "{{.Server.Version}}"]).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn blobs(root: &Path) -> Vec<PathBuf> {
    let blobs = fs::read_dir(root.join("blobs/sha256")).unwrap();
    blobs.map(|entry| entry.unwrap().path()).collect()
}

const RUN: [&str; 4] = ["run", "random", "reread", "-o"];

#[test]
fn a_machine_takes_the_results_of_another_from_a_directory() {
    let machines = Machines::new();
    let place = machines.place("cache");
    let id = machines.path("id");
    let id = id.to_str().unwrap();
    let first = machines.run("one", &["--cache-to", &place], &RUN);
    assert_eq!((first.count("started"), first.warnings()), (2, vec![]));
    assert_eq!(machines.keys("cache").len(), 2);
    forget(machines.keys("cache"));

    // What was written is not needed for what was printed.
    let from = ["--cache-from", &*place];
    let second = machines.run("two", &from, &RUN);
    second.took_all(2);
    assert_eq!(second.stdout(), first.stdout());
    // It is here now, without the cache.
    let again = machines.run("two", &[], &RUN);
    assert_eq!((again.count("started"), again.stdout()), (0, first.stdout()), "{}", again.said());
    // Files come when they are needed.
    let files = machines.run("two", &from, &["export", "random:/id", id]);
    files.took_all(1);
    assert_eq!(fs::read_to_string(id).unwrap().repeat(2), first.stdout());
    let without = machines.run("two", &[], &["export", "random:/id", id]);
    assert_eq!(without.count("started"), 0, "{}", without.said());
    forget(machines.keys("cache"));
}

#[test]
fn what_is_not_there_is_made_and_nothing_is_said() {
    let machines = Machines::new();
    let ran = machines.run("one", &["--cache-from", &machines.place("nowhere")], &RUN);
    assert_eq!((ran.count("started"), ran.count("fetched"), ran.warnings()), (2, 0, vec![]));
    assert!(!machines.path("nowhere").exists(), "it is only read");
    // A run that stores nothing writes nothing either, and one that takes nothing asks nobody.
    let place = machines.place("cache");
    machines.run("one", &["--cache-to", &place, "--cache", "read"], &RUN);
    assert!(!machines.path("cache").exists());
    // Results that were found here are written, too.
    let found = machines.run("one", &["--cache-to", &place], &RUN);
    assert_eq!((found.count("started"), machines.keys("cache").len()), (0, 2));
    forget(machines.keys("cache"));
    let off = machines.run("two", &["--cache-from", &place, "--cache", "off"], &RUN);
    assert_eq!((off.count("started"), off.count("fetched")), (2, 0));
}

#[test]
fn each_engine_takes_what_the_other_wrote() {
    if !docker_is_shared() {
        return;
    }
    for (writer, reader) in [("native", "docker"), ("docker", "native")] {
        let machines = Machines::new();
        let place = machines.place("cache");
        let first = machines.run("one", &["--engine", writer, "--cache-to", &place], &RUN);
        assert_eq!(first.count("started"), 2, "{}", first.said());
        forget(machines.keys("cache"));
        let from = ["--engine", reader, "--cache-from", &*place];
        let second = machines.run("two", &from, &RUN);
        second.took_all(2);
        assert_eq!(second.stdout(), first.stdout(), "{writer} -> {reader}");
        let id = machines.path("id");
        machines.run("two", &from, &["export", "random:/id", id.to_str().unwrap()]).took_all(1);
        assert_eq!(fs::read_to_string(id).unwrap().repeat(2), first.stdout());
        forget(machines.keys("cache"));
    }
}

/// Ways in which a directory may be damaged: how, and whether it is still known that there is a result.
type Damage = (&'static str, fn(&Path));

fn each_result(root: &Path, change: impl Fn(&Path)) {
    for entry in fs::read_dir(root.join("results")).unwrap() {
        change(&entry.unwrap().path());
    }
}

fn each_blob(root: &Path, change: impl Fn(&Path)) {
    for path in blobs(root) {
        change(&path);
    }
}

fn truncate(path: &Path) {
    let contents = fs::read(path).unwrap();
    fs::write(path, &contents[..contents.len() / 2]).unwrap();
}

const DAMAGES: [Damage; 12] = [
    ("a result is truncated", |root| each_result(root, truncate)),
    ("a result is empty", |root| each_result(root, |path| fs::write(path, "").unwrap())),
    ("a result is something else", |root| each_result(root, |path| fs::write(path, "{}").unwrap())),
    ("a result is a directory", |root| {
        each_result(root, |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        });
    }),
    ("a result is a pipe", |root| {
        each_result(root, |path| {
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        });
    }),
    ("a result is another step's", |root| {
        let paths: Vec<_> =
            fs::read_dir(root.join("results")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let contents: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        for (number, path) in paths.iter().enumerate() {
            fs::write(path, &contents[(number + 1) % contents.len()]).unwrap();
        }
    }),
    ("what is said of a result is altered", |root| {
        each_result(root, |path| {
            let text = fs::read_to_string(path).unwrap().replace(r#""data":"ey"#, r#""data":"eyJ9"#);
            fs::write(path, text).unwrap();
        });
        each_blob(root, |path| fs::write(path, "{}").unwrap());
    }),
    ("blobs are gone", |root| each_blob(root, |path| fs::remove_file(path).unwrap())),
    ("blobs are truncated", |root| each_blob(root, truncate)),
    ("blobs are longer", |root| {
        each_blob(root, |path| fs::write(path, [&fs::read(path).unwrap()[..], b"more"].concat()).unwrap());
    }),
    ("blobs are altered", |root| {
        each_blob(root, |path| {
            let mut contents = fs::read(path).unwrap();
            let middle = contents.len() / 2;
            contents[middle] ^= 1;
            fs::write(path, contents).unwrap();
        });
    }),
    ("blobs are directories", |root| {
        each_blob(root, |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        });
    }),
];

#[test]
fn what_is_damaged_is_made_again_and_said() {
    let machines = Machines::new();
    let id = machines.path("id");
    // One whose output is a blob of its own, and files.
    let pipeline = ["export", "random:/id", id.to_str().unwrap()];
    let wordy = ["run", "wordy", "-o"];
    let place = machines.place("whole");
    machines.run("one", &["--cache-to", &place], &pipeline);
    let said = machines.run("one", &["--cache-to", &place], &wordy).stdout();
    let keys = machines.keys("whole");
    assert_eq!(keys.len(), 2);
    for (number, (how, damage)) in DAMAGES.into_iter().enumerate() {
        forget(keys.clone());
        let (name, home) = (format!("damaged-{number}"), format!("home-{number}"));
        let root = machines.path(&name);
        let copied = Command::new("cp").arg("-r").args([&machines.path("whole"), &root]).status().unwrap();
        assert!(copied.success());
        damage(&root);
        let place = machines.place(&name);
        let both = ["--cache-from", &*place, "--cache-to", &place];
        let again = machines.run(&home, &both[..2], &pipeline);
        assert_eq!(again.count("started"), 1, "{how}: {}", again.said());
        let warnings = again.warnings();
        assert!(
            warnings.len() == 1 && warnings[0].starts_with(&format!("its result in {place} is damaged, ")),
            "{how}: {warnings:?}"
        );
        let again = machines.run(&home, &both, &wordy);
        assert_eq!((again.count("started"), again.warnings().len()), (1, 1), "{how}: {}", again.said());
        assert!(again.stdout() == said, "{how}");
        // Who may write mends it.
        forget(keys.clone());
        machines.run(&format!("{home}-next"), &both[..2], &wordy).took_all(1);
    }
    forget(keys);
}

#[test]
fn a_place_that_does_not_work_is_said_and_fails_nothing() {
    let machines = Machines::new();
    let file = machines.path("file");
    fs::write(&file, "").unwrap();
    let nobody = "registry:127.0.0.1:1/cache";
    let below = format!("dir:{}/cache", file.display());
    for place in [nobody, "dir:/proc/self/bowline", &below] {
        let to = machines.run(&format!("home-{}", place.len()), &["--cache-to", place], &RUN);
        let warnings = to.warnings();
        assert!(
            warnings.len() == 1
                && warnings[0].starts_with(&format!("results could not be written to {place}: ")),
            "{warnings:?}"
        );
    }
    // Once, however many results are wanted. The engine has none of these.
    let machines = Machines::new();
    let from = machines.run("other", &["--cache-from", nobody], &RUN);
    let warnings = from.warnings();
    assert_eq!(from.count("fetched"), 0);
    assert!(
        warnings.len() == 1 && warnings[0].starts_with(&format!("no results are taken from {nobody}: ")),
        "{warnings:?}"
    );
    for (flags, says) in [
        (["--cache-from", "somewhere"], "`somewhere` is no place for results"),
        (["--cache-to", "registry:r.test/x:1"], "has a tag or a digest"),
    ] {
        let output = machines.command("other", &flags, &RUN).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(says) && said.contains("help: "), "{said}");
    }
}

/// Who writes only what it used itself need not have made it.
#[test]
fn a_result_goes_from_one_cache_to_the_next() {
    let machines = Machines::new();
    let [old, new] = ["old", "new"].map(|name| machines.place(name));
    let id = machines.path("id");
    let export = ["export", "random:/id", id.to_str().unwrap()];
    let first = machines.run("one", &["--cache-to", &old], &RUN);
    machines.run("one", &["--cache-to", &old], &["run", "wordy", "-q"]);
    forget(machines.keys("old"));
    machines.run("two", &["--cache-from", &old, "--cache-to", &new], &RUN).took_all(2);
    assert_eq!(machines.keys("new").len(), 2, "what it did not use is not written");
    forget(machines.keys("old"));
    // With the files, which that machine never had. They come after the output.
    machines.run("three", &["--cache-from", &new], &export).took_all(2);
    assert_eq!(fs::read_to_string(&id).unwrap().repeat(2), first.stdout());
    forget(machines.keys("old"));
}

#[bowline::test]
async fn no_secret_is_in_a_cache() {
    let (nonce, contents) = (nonce(), "s3cr3t-that-stays-here");
    let directory = tempfile::tempdir().unwrap();
    let session = Session::new();
    session.cache_to(&format!("dir:{}", directory.path().display())).unwrap();
    let p = pipeline! {
        container made {
            image "busybox:1.35";
            env NONCE = &nonce;
            env TOKEN = &token;
            mount (&token) at "/run/token";
            shell "echo $TOKEN; cat /run/token >&2; echo file >/file; sleep 1";
            exec ["cat", "/file"];
        }
        secret token = secret::value("token", contents);
    };
    assert_eq!(session.scope(p.made.stdout()).await.unwrap(), "file\n");
    session.close().await.unwrap();
    let results = fs::read_dir(directory.path().join("results")).unwrap();
    let files: Vec<_> = results.map(|entry| entry.unwrap().path()).chain(blobs(directory.path())).collect();
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        let unpacked = Command::new("sh").args(["-c", r#"zcat -f "$0""#]).arg(&file).output().unwrap().stdout;
        let decoded = Command::new("sh")
            .args(["-c", r#"grep -o '"data":"[^"]*"' "$0" | cut -d'"' -f4 | while read -r d; do echo "$d" | base64 -d; done"#])
            .arg(&file)
            .output()
            .unwrap()
            .stdout;
        for contents_of in [fs::read(&file).unwrap(), unpacked, decoded] {
            let text = String::from_utf8_lossy(&contents_of);
            assert!(!text.contains(contents) && !text.contains("s3cr3t"), "{}: {text}", file.display());
        }
    }
}

/// The tags of a repository: the keys of its results.
fn tags(registry: &Registry, name: &str) -> BTreeSet<String> {
    let tags = registry.data().join(format!("docker/registry/v2/repositories/{name}/_manifests/tags"));
    let tags = fs::read_dir(tags).into_iter().flatten();
    tags.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_machine_takes_the_results_of_another_from_a_registry() {
    let (machines, registry) = (Machines::new(), Registry::open());
    let place = format!("registry:{}/team/cache", registry.address);
    let first = machines.run("one", &["--cache-to", &place], &RUN);
    assert_eq!((first.count("started"), first.warnings()), (2, vec![]), "{}", first.said());
    assert_eq!(tags(&registry, "team/cache").len(), 2);
    let uploads = registry.uploads();
    assert!(uploads > 0);
    forget(tags(&registry, "team/cache"));
    let from = ["--cache-from", &*place];
    let second = machines.run("two", &from, &RUN);
    second.took_all(2);
    assert_eq!(second.stdout(), first.stdout());
    let id = machines.path("id");
    machines.run("two", &from, &["export", "random:/id", id.to_str().unwrap()]).took_all(1);
    assert_eq!(fs::read_to_string(id).unwrap().repeat(2), first.stdout());
    // Everything is sent once.
    let again = machines.run("one", &["--cache-to", &place], &RUN);
    assert_eq!((again.count("started"), registry.uploads()), (0, uploads), "{}", again.said());
    forget(tags(&registry, "team/cache"));
}

#[test]
fn a_registry_that_lets_nobody_in_is_said_and_one_that_lets_in_is_used() {
    let (machines, registry) = (Machines::new(), Registry::locked());
    let place = format!("registry:{}/team/cache", registry.address);
    let both = ["--cache-from", &*place, "--cache-to", &*place];
    let config = |command: &mut Command| command.env("DOCKER_CONFIG", registry.config()).output().unwrap();
    let refused = config(&mut machines.command("one", &both, &RUN));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.success(), "{said}");
    for says in [format!("no results are taken from {place}: "), format!("could not be written to {place}: ")]
    {
        assert_eq!(said.matches(&says).count(), 1, "{says:?} is not in:\n{said}");
    }
    registry.log_in();
    let written = config(&mut machines.command("one", &both[2..], &RUN));
    assert!(written.status.success() && tags(&registry, "team/cache").len() == 2);
    forget(tags(&registry, "team/cache"));
    let read = config(&mut machines.command("two", &both[..2], &RUN));
    assert_eq!(String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&written.stdout));
    forget(tags(&registry, "team/cache"));
}

/// Whenever somebody pulls the plug: what is there is whole, and the next run writes the rest.
#[test]
fn an_upload_that_was_interrupted_goes_on() {
    let machines = Machines::new();
    let place = machines.place("cache");
    let file = machines.path("large");
    // Its files are needed, and so they are written.
    let export = ["export", "large:/large", file.to_str().unwrap()];
    let mut interrupted = machines.command("one", &["--cache-to", &place], &export);
    let mut child = interrupted.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun =
        || fs::read_dir(machines.path("cache/blobs/sha256")).is_ok_and(|mut files| files.next().is_some());
    eventually("something is being written", Duration::from_secs(120), begun);
    child.kill().unwrap();
    child.wait().unwrap();
    let from = ["--cache-from", &*place];
    assert_eq!(machines.run("two", &from, &["run", "random", "-o"]).warnings(), [""; 0]);

    machines.run("one", &["--cache-to", &place], &export);
    let written = fs::read(&file).unwrap();
    let keys = machines.keys("cache");
    assert_eq!(keys.len(), 1);
    forget(keys.clone());
    machines.run("three", &from, &export).took_all(2);
    assert!(fs::read(&file).unwrap() == written);
    forget(keys);
}
