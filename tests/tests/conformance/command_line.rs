//! A pipeline's command line, where an engine is needed.

mod files;
mod readers;
#[cfg(target_os = "linux")]
mod shells;
mod up;

use std::process::{Command, Output};

use bowline_tests::{Tmux, has_program, nonce};
use serde_json::Value;

pub(super) fn ci(args: &[&str]) -> Output {
    ci_of(&nonce(), args)
}

fn ci_of(nonce: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
    command.args(args).args(["--nonce", nonce]).env_remove("BOWLINE_PROGRESS").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_asked_for_runs_and_its_output_is_given() {
    let output = ci(&["run", "ping", "slow-*", "-o", "-q"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1", "2", "3", "PONG"]);
    assert_eq!(stderr(&output), "");
    // A loop's items by the name of all of them.
    let output = ci(&["run", "slow", "--skip", "slow-2", "-o", "-q"]);
    assert_eq!(stdout(&output).lines().count(), 2, "{}", stdout(&output));
}

#[test]
fn the_exit_code_says_what_went_wrong() {
    let output = ci(&["run", "broken"]);
    assert_eq!(output.status.code(), Some(100), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("error: step ") && said.contains("  --> tests/src/bin/commands.rs:"), "{said}");
    assert!(said.contains("broken       | failed ") && said.contains("it goes wrong"), "{said}");
    let output = ci(&["run", "stuck"]);
    assert_eq!(output.status.code(), Some(105), "{}", stderr(&output));
    assert!(stderr(&output).contains("listens"), "{}", stderr(&output));
}

#[test]
fn parts_are_disjoint_and_together_all_of_it() {
    let part = |part: &str| stdout(&ci(&["run", "slow", "--partition", part, "-o", "-q"]));
    assert_eq!([part("slice:1/3"), part("slice:2/3"), part("slice:3/3")], ["1\n", "2\n", "3\n"]);
    assert_eq!(part("slice:1/2"), "1\n3\n", "in the pipeline's order");
    // A part may be empty, and that is no mistake.
    let output = ci(&["run", "slow", "--partition", "slice:4/4"]);
    assert!(output.status.success() && stdout(&output).is_empty(), "{}", stderr(&output));
}

/// What wrote something and failed is in the output of the display, and the errors come last.
#[test]
fn the_last_word_is_the_error_without_what_has_been_shown() {
    let (marks, args) =
        (["it goes wrong: 42", "last words: 42"], ["run", "broken", "doomed", "--keep-going"]);
    let output = ci(&args);
    let said = stderr(&output);
    let (shown, last) = said.split_at(said.find("error: ").unwrap());
    for mark in marks {
        assert_eq!((shown.matches(mark).count(), last.matches(mark).count()), (1, 0), "{mark}: {said}");
    }
    assert_eq!(last.matches("error: ").count(), 2, "{said}");
    assert!(last.contains("exit code 3\n  --> ") && last.contains("exit code 4\n  --> "), "{said}");
    // Where nothing, or only lines of JSON have been shown, it is all there is to read.
    for progress in ["quiet", "json", "log"] {
        let output = ci(&[args.as_slice(), &["--progress", progress]].concat());
        let said = stderr(&output);
        let (_, last) =
            said.split_at(if said.starts_with("error: ") { 0 } else { said.find("\nerror: ").unwrap() });
        for mark in marks {
            assert_eq!(last.matches(mark).count(), 1, "{progress}: {mark}: {said}");
        }
    }
}

#[test]
fn on_a_terminal_the_error_stands_below_all_that_failed() {
    if !has_program("tmux") {
        return;
    }
    let tmux = Tmux::start(100, 60);
    let engine = std::env::var("BOWLINE_ENGINE").unwrap_or_default();
    let home =
        std::env::var("BOWLINE_HOME").map(|home| format!("BOWLINE_HOME='{home}' ")).unwrap_or_default();
    let program = env!("CARGO_BIN_EXE_commands");
    tmux.run(&format!("clear; unset NO_COLOR BOWLINE_PROGRESS CLICOLOR_FORCE CARGO_TERM_COLOR; {home}BOWLINE_ENGINE={engine} '{program}' run broken --nonce {}", nonce()));
    tmux.sees("error: step ");
    let screen = tmux.sees("\n$");
    let (shown, last) = screen.split_at(screen.find("error: ").unwrap());
    assert_eq!((shown.matches(": 42").count(), last.matches(": 42").count()), (1, 0), "{screen}");
    assert!(shown.contains("1 failed") && last.contains("exit code 3"), "{screen}");
}

/// The events of a run.
fn events(args: &[&str]) -> (Output, Vec<Value>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.jsonl");
    let output = ci(&[args, &["--events", file.to_str().unwrap()]].concat());
    let text = std::fs::read_to_string(&file).unwrap();
    (output, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn what_can_go_on_does_if_asked_to() {
    let (output, events) = events(&["run", "broken", "slow", "--keep-going", "--jobs", "1"]);
    assert_eq!(output.status.code(), Some(100));
    let done = events.iter().filter(|event| event["event"] == "finished" && event["success"] == true);
    assert_eq!(done.count(), 3, "{}", stderr(&output));
}

#[test]
fn no_more_commands_run_at_once_than_are_allowed() {
    let (output, events) = events(&["run", "slow", "ping", "-j", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (mut running, mut most) = (0, 0);
    for event in events.iter().filter(|event| event["subject"] == "step") {
        match event["event"].as_str() {
            Some("started") => running += 1,
            Some("finished") => running -= 1,
            _ => {}
        }
        most = most.max(running);
    }
    assert!(running == 0 && most <= 2, "{most} at once");
}

#[test]
fn a_report_is_written_whatever_the_run_comes_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (page, junit, trace) = (path("run.html"), path("junit.xml"), path("trace.json"));
    let output = ci(&["run", "broken", "--report", &page, "--junit", &junit, "--trace", &trace]);
    assert_eq!(output.status.code(), Some(100));
    assert!(std::fs::read_to_string(&page).unwrap().contains("it goes wrong"));
    assert!(std::fs::read_to_string(&junit).unwrap().contains("failures=\"1\""));
    assert!(std::fs::read_to_string(&trace).unwrap().contains("\"broken\""));
    let output = ci(&["run", "broken", "--report", "/dev/null/run.html"]);
    assert!(
        !output.status.success() && stderr(&output).starts_with("error: /dev/null/run.html: "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn nobody_has_to_read_what_it_says() {
    let program = env!("CARGO_BIN_EXE_commands");
    let command =
        format!("'{program}' run broken --nonce {} 2>&1 | head -n 1; exit ${{PIPESTATUS[0]}}", nonce());
    let output = Command::new("bash").args(["-c", &command]).env_remove("BOWLINE_PROGRESS").output().unwrap();
    assert_eq!(output.status.code(), Some(100), "{}{}", stdout(&output), stderr(&output));
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn why_a_step_runs_is_explained_by_what_has_changed() {
    let explain = |nonce: &str| stdout(&ci_of(nonce, &["explain", "explained"]));
    let first = nonce();
    assert!(ci_of(&first, &["run", "explained"]).status.success());
    let said = explain(&first);
    assert!(said.starts_with("explained 1: cached\n    true\n"), "{said}");
    assert!(said.contains("\n    --> tests/src/bin/commands.rs:"), "{said}");
    assert!(said.contains("explained 2: cached\n    echo "), "{said}");
    let said = explain(&nonce());
    assert!(said.contains("explained 1: cached\n"), "{said}");
    assert!(said.contains("explained 2: runs: argument 2 changed, env NONCE changed\n"), "{said}");
    let output = ci(&["explain", "redis"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn files_that_have_changed_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: &str| std::fs::write(directory.path().join(name), contents).unwrap();
    let dir = directory.path().to_str().unwrap();
    let with = |args: &[&str]| {
        let output = ci(&[args, &["--dir", dir]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    // Only what this test makes is in it, so nobody has had a result of it.
    write("a", &nonce());
    write("b", "1");
    with(&["run", "listed"]);
    assert!(with(&["explain", "listed"]).contains("listed 1: cached\n"));
    write("b", "2");
    write("c", "1");
    let said = with(&["explain", "listed"]);
    assert!(said.contains(&format!("file {dir}/b changed, file {dir}/c changed\n")), "{said}");
}
