//! What of a step is kept: its output always, its files where somebody needs them or where they took long to make; and a
//! step's output and files are of one run, wherever they are seen.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bowline::Session;
use bowline_tests::{busybox, docker, eventually, images_of as images, nonce, on_docker};

/// Programs that share a directory of records and the name of their steps.
struct Programs {
    home: tempfile::TempDir,
    nonce: String,
}

impl Programs {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), nonce: format!("test-{}", nonce()) }
    }

    fn command(&self, wanted: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kept"));
        command.args(wanted).env("NONCE", &self.nonce).env("BOWLINE_HOME", self.home.path());
        command.env("BOWLINE_PROGRESS", "log").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What a program prints, line by line, and what it says.
    fn see(&self, wanted: &[&str]) -> (Vec<String>, String) {
        seen(&self.command(wanted).output().unwrap())
    }

    /// What a program prints that wants one thing.
    fn one(&self, wanted: &str) -> String {
        self.see(&[wanted]).0.remove(0)
    }

    /// Where the engine's results are recorded, once any are.
    fn records(&self) -> PathBuf {
        let engines = fs::read_dir(self.home.path().join("docker")).unwrap();
        let mut engines =
            engines.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("engines"));
        engines.next().unwrap()
    }

    fn each_record(&self, change: impl Fn(&Path)) {
        let files = fs::read_dir(self.records()).unwrap().map(|entry| entry.unwrap().path());
        let records: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|kind| kind == "step")).collect();
        assert!(!records.is_empty());
        for path in &records {
            change(path);
        }
    }

    /// Lets keeping seem to take so long, whatever this machine's engine needs.
    fn keeping_takes(&self, millis: u64) {
        fs::write(self.records().join("keeping.json"), format!("[{millis}]")).unwrap();
    }
}

fn seen(output: &Output) -> (Vec<String>, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect(), said)
}

fn same(seen: &[String]) -> bool {
    seen.iter().all(|one| one.len() == 36 && *one == seen[0])
}

const NO_CHOICE: &str = "there everything is kept, as it costs nothing";

#[test]
fn random_output_is_the_same_wherever_it_is_seen() {
    let programs = Programs::new();
    let first = programs.one("output");
    assert_eq!(first, programs.one("output"), "in another process, too");
    // Its files may not have been kept: then they are made again, with what everybody sees from then on.
    let (seen, _) = programs.see(&["file", "output", "copy", "below", "other"]);
    assert!(same(&seen), "{seen:?}");
    let (again, _) = programs.see(&["other", "below", "copy", "output", "file"]);
    assert!(same(&again) && again[0] == seen[0], "{seen:?} {again:?}");
}

#[test]
fn files_are_of_the_run_that_was_shown_as_long_as_its_session_lives() {
    let programs = Programs::new();
    let mut first = programs.command(&["output", "wait", "file"]).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines().map(Result::unwrap);
    let shown = lines.next().unwrap();
    assert_eq!(lines.next().unwrap(), "waiting");
    // From the container that it has.
    let (seen, said) = programs.see(&["output", "file", "copy", "output"]);
    assert!(same(&seen) && seen[0] == shown, "{shown} {seen:?}");
    assert!(!said.contains("runs again"), "{said}");
    first.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(lines.next().unwrap(), shown);
    assert!(first.wait().unwrap().success());
}

#[bowline::test]
async fn sessions_of_one_process_share_a_run() {
    let step = busybox().shell("cat /proc/sys/kernel/random/uuid | tee /id; sleep 1");
    let other = Session::new();
    let (one, two) = tokio::join!(step.stdout(), other.scope(step.stdout()));
    assert_eq!(one.unwrap(), two.unwrap());
    let (one, two) = tokio::join!(step.file("/id").contents(), other.scope(step.file("/id").contents()));
    assert_eq!(
        (one.unwrap(), step.stdout().await.unwrap()),
        (two.unwrap(), other.scope(step.stdout()).await.unwrap())
    );
    other.close().await.unwrap();
    assert_eq!(step.file("/id").contents().await.unwrap(), step.stdout().await.unwrap());
}

#[test]
fn files_are_kept_where_they_took_longer_than_keeping_them() {
    if !on_docker(NO_CHOICE) {
        return;
    }
    let programs = Programs::new();
    programs.one("output");
    programs.keeping_takes(1000);
    let [quick, slow] = ["quick", "slow"].map(|name| format!("{name}-{}", programs.nonce));
    let output = programs.command(&["quick", "slow"]).env("BOWLINE_PROGRESS", "json").output().unwrap();
    let (seen, said) = seen(&output);
    assert_eq!(seen, [quick.clone(), slow.clone()]);
    let kept = |files: bool| said.contains(&format!(r#""event":"kept","files":{files},"took":"#));
    assert!(kept(true) && kept(false), "{said}");
    assert_eq!(images(&format!("{quick}\n")), [""; 0]);
    assert_eq!(images(&format!("{slow}\n")).len(), 1);
    // Either is cached.
    let (_, said) = programs.see(&["quick", "slow"]);
    assert!(!said.contains("sh -c"), "{said}");
}

#[test]
fn files_that_were_not_kept_are_made_again_and_it_is_said() {
    if !on_docker(NO_CHOICE) {
        return;
    }
    let programs = Programs::new();
    programs.one("quick");
    programs.keeping_takes(60_000);
    let first = programs.one("output");
    assert_eq!(images(&format!("{first}\n")), [""; 0]);
    let (seen, said) = programs.see(&["after", "file", "output"]);
    assert!(said.contains("runs again: its files are needed, and were not kept"), "{said}");
    assert_ne!(seen[1], first);
    assert_eq!(seen[1], seen[2]);
    assert_eq!(images(&format!("{}\n", seen[1])).len(), 1, "they were needed");
    // What came after the earlier run does not count any more, and is no image either.
    let (_, said) = programs.see(&["after"]);
    assert!(said.contains("echo after"), "{said}");
    let (_, said) = programs.see(&["after", "output", "file"]);
    assert!(!said.contains("echo after") && !said.contains("runs again"), "{said}");
}

#[test]
fn what_was_made_of_an_earlier_run_does_not_count_any_more() {
    if !on_docker("there nobody can take a result's files away and leave its output") {
        return;
    }
    let programs = Programs::new();
    let (first, _) = programs.see(&["copy", "below", "output"]);
    assert!(same(&first), "{first:?}");
    for image in images(&format!("{}\n", first[0])) {
        let _ = docker(&["image", "rm", "--force", &image]);
    }
    // The output is known all the same.
    let (again, said) = programs.see(&["below", "copy", "output"]);
    assert!(again == first && !said.contains("runs again"), "{said}");
    let (renewed, said) = programs.see(&["other", "output", "file"]);
    assert!(same(&renewed) && renewed[0] != first[0] && said.contains("runs again"), "{renewed:?} {said}");
    // Not at one remove either.
    assert_eq!(programs.one("below"), renewed[0]);
    let (all, said) = programs.see(&["below", "copy", "output", "other", "file"]);
    assert!(same(&all) && all[0] == renewed[0] && !said.contains("runs again"), "{all:?} {said}");
}

#[test]
fn what_is_seen_in_one_session_changes_together_when_files_are_gone() {
    if !on_docker(NO_CHOICE) {
        return;
    }
    let programs = Programs::new();
    let (first, _) = programs.see(&["below"]);
    for image in images(&format!("{}\n", first[0])) {
        let _ = docker(&["image", "rm", "--force", &image]);
    }
    let (seen, _) = programs.see(&["below", "copy", "other", "below", "copy", "output"]);
    assert!(seen[0] == first[0] && seen[1] == first[0], "they are cached");
    assert!(seen[2] != first[0] && same(&seen[2..]), "{seen:?}");
}

#[test]
fn a_damaged_record_is_none() {
    if !on_docker("its store has tests of its own") {
        return;
    }
    let programs = Programs::new();
    programs.one("quick");
    programs.keeping_takes(60_000);
    let first = programs.one("output");
    assert_eq!(programs.one("output"), first);
    let (sum, key) = (65, "output");
    for damage in 0..4 {
        let before = programs.one(key);
        programs.each_record(|path| {
            let mut bytes = fs::read(path).unwrap();
            // Others stay as the last round left them.
            if bytes.len() < 2 * sum {
                return;
            }
            match damage {
                0 => bytes.truncate(bytes.len() - 1),
                1 => bytes.clear(),
                2 => bytes[sum + 10] ^= 1,
                _ => {
                    fs::remove_file(path).unwrap();
                    return fs::create_dir(path).unwrap();
                }
            }
            fs::write(path, bytes).unwrap();
        });
        let after = programs.one(key);
        assert_ne!(after, before, "{damage}: it has run again");
        assert_eq!(programs.one(key), after, "{damage}: it is recorded again");
    }
}

#[test]
fn where_nothing_can_be_recorded_everything_is_an_image() {
    if !on_docker("it needs its store") {
        return;
    }
    let programs = Programs::new();
    let see = |wanted: &[&str]| {
        seen(&programs.command(wanted).env("BOWLINE_HOME", "/proc/no/such/place").output().unwrap())
    };
    let (first, said) = see(&["output", "quick"]);
    assert_eq!(said.matches("results cannot be recorded in `/proc/no/such/place`").count(), 1, "{said}");
    assert!(said.contains("BOWLINE_HOME"), "{said}");
    assert_eq!(see(&["output"]).0, first[..1]);
    let (seen, _) = see(&["file", "copy", "output"]);
    assert!(same(&seen) && seen[0] == first[0], "{first:?} {seen:?}");
}

#[test]
fn where_the_disk_is_full_the_output_is_in_the_image() {
    if !on_docker("its store has tests of its own") || !bowline_tests::may_mount() {
        return;
    }
    let programs = Programs::new();
    let script = r#"mount -t tmpfs -o size=64k,mode=700 tmpfs "$BOWLINE_HOME" && for time in 1 2; do "$0" long || exit; done"#;
    let run = programs.command(&[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_kept")]);
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (seen, said) = seen(&command.output().unwrap());
    assert!(seen.len() == 2 && seen[0] == seen[1], "{seen:?}");
    assert_eq!(said.matches("results cannot be recorded").count(), 1, "{said}");
    assert_eq!(said.matches("md5sum").count(), 1, "it has run once: {said}");
}

#[test]
fn results_without_records_are_found_as_images() {
    if !on_docker("its records are its store") {
        return;
    }
    let programs = Programs::new();
    let (first, _) = programs.see(&["copy", "file"]);
    fs::remove_dir_all(programs.home.path().join("docker")).unwrap();
    let (seen, said) = programs.see(&["output", "file"]);
    assert!(same(&seen) && seen[0] == first[0] && !said.contains("runs again"), "{first:?} {seen:?} {said}");
}

/// Starts as many programs at once, and sees what all of them see.
fn at_once(programs: &Programs, count: usize, wanted: &[&str]) -> Vec<(Vec<String>, String)> {
    let all: Vec<Child> = (0..count).map(|_| programs.command(wanted).spawn().unwrap()).collect();
    all.into_iter().map(|one| seen(&one.wait_with_output().unwrap())).collect()
}

#[test]
fn twenty_processes_run_a_step_once() {
    let programs = Programs::new();
    let all = at_once(&programs, 20, &["counted"]);
    assert!(all.iter().all(|(seen, _)| seen == &["counted"]), "{all:?}");
    assert!(all.iter().any(|(_, said)| said.contains("waits for another process that runs it")), "{all:?}");
    assert_eq!(programs.one("runs"), "1");
}

#[test]
fn processes_that_need_the_files_of_a_step_run_it_once_too() {
    let programs = Programs::new();
    let all = at_once(&programs, 4, &["chain"]);
    for (seen, _) in &all {
        let (shown, read) = seen[0].split_once(' ').unwrap();
        assert_eq!(shown, read, "{all:?}");
        assert_eq!(seen, &all[0].0, "{all:?}");
    }
    assert_eq!(programs.one("runs"), "2");
}

#[test]
fn whoever_waits_for_a_process_that_is_killed_runs_the_step() {
    let programs = Programs::new();
    let mut owner = programs.command(&["sleeping"]).spawn().unwrap();
    let mut lines = BufReader::new(owner.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("sleep 5")), "it does not run");
    let mut waiting = programs.command(&["sleeping"]).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("waits for another process")), "it does not wait");
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(lines.any(|line| line.contains("sleep 5")), "it does not run the step itself");
    lines.for_each(drop);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "slept\n");
    eventually("locks are removed", Duration::from_secs(5), || {
        let under = |path: &Path| {
            let all = fs::read_dir(path).into_iter().flatten().flatten();
            all.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "lock")).count()
        };
        !programs.home.path().join("docker").exists() || under(&programs.records()) == 0
    });
}
