//! What is kept of a program's runs, and what is said of it afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bowline_tests::{Tmux, eventually, has_program, nonce};
use serde_json::Value;

/// A program of its own, of which no run is kept.
struct Program {
    directory: tempfile::TempDir,
}

impl Program {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // A program is known by its path. Another user's file cannot be linked to.
        let (from, to) = (env!("CARGO_BIN_EXE_commands"), directory.path().join("commands"));
        std::fs::hard_link(from, &to).or_else(|_| std::fs::copy(from, &to).map(drop)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("commands"));
        command.args(args).env_remove("BOWLINE_PROGRESS").env_remove("BOWLINE_RUNS").stdin(Stdio::null());
        command
    }

    /// What a call prints.
    fn says(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// The error of a call, which ends with this exit code.
    fn refuses(&self, args: &[&str], code: i32) -> String {
        let output = self.command(args).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(code), ""), "{}", stderr(&output));
        stderr(&output)
    }

    fn runs(&self) -> Vec<Value> {
        serde_json::from_str(&self.says(&["runs", "--json"])).unwrap()
    }

    fn ids(&self) -> Vec<String> {
        self.runs().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_an_item_wrote_is_printed_after_the_run_without_running_anything() {
    let (program, nonce) = (Program::new(), nonce());
    let error = program.refuses(&["logs"], 4);
    assert_eq!(error, "error: no run of this program is kept\n\nhelp: `run` runs the pipeline\n");
    let run = |args: &[&str]| program.command(&[args, &["--nonce", &nonce]].concat()).output().unwrap();
    assert!(run(&["run", "slow", "-q"]).status.success());
    assert_eq!(run(&["run", "broken", "-q"]).status.code(), Some(100));
    // Where no engine answers.
    let nowhere = |args: &[&str]| {
        let mut command = program.command(args);
        let output =
            command.env("DOCKER_HOST", "unix:///nowhere").env("BOWLINE_ENGINE", "docker").output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        (stdout(&output), stderr(&output))
    };
    assert_eq!(nowhere(&["logs"]).0, "broken | it goes wrong: 42\n");
    assert_eq!(nowhere(&["logs", "broken"]), ("it goes wrong: 42\n".to_owned(), String::new()));
    // An item that was in no later run.
    let (printed, said) = nowhere(&["logs", "slow-2"]);
    assert!(printed == "2\n" && said.starts_with("bowline: `slow-2` last ran in "), "{printed}{said}");
    assert!(said.ends_with(" ago): run slow\n"), "{said}");
    let mut lines: Vec<String> =
        nowhere(&["logs", "slow-*", "--run", "-1"]).0.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["slow-1 | 1", "slow-2 | 2", "slow-3 | 3"]);
    // What was found ran before.
    assert!(run(&["run", "slow-1", "-q"]).status.success());
    assert_eq!(nowhere(&["logs", "slow-1"]).0, "1\n");
    let error = program.refuses(&["logs", "slow-1", "--run", "0"], 4);
    assert!(error.starts_with("error: `slow-1` did not run in the run "), "{error}");
    assert!(error.contains(": its result was there\n\nhelp: `run slow-1 -o` prints"), "{error}");
    let error = program.refuses(&["logs", "brokn"], 4);
    assert!(error.contains("\n\nhelp: an item with a similar name has: `broken`\n"), "{error}");

    // Nobody has to read it.
    for args in [
        ["logs", "--run", "-1"].as_slice(),
        &["logs", "--follow", "--run", "-1"],
        &["runs"],
        &["runs", "--json"],
    ] {
        let mut unread = program.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(unread.stdout.take());
        let output = unread.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
    }

    let table = program.says(&["runs"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
        .collect();
    assert_eq!(rows[0], ["ID", "STARTED", "TOOK", "OUTCOME", "COMMAND"]);
    let column = |number: usize| rows[1..].iter().map(|row| row[number]).collect::<Vec<_>>();
    assert_eq!(column(3), ["succeeded", "failed (100)", "succeeded"]);
    assert_eq!(column(4), ["run slow-1", "run broken", "run slow"]);
    let ids = program.ids();
    assert_eq!(column(0), ids);
    let error = program.refuses(&["logs", "--run", "nothing"], 4);
    assert!(error.starts_with("error: no run that is kept is `nothing`\n\nhelp: one of\n"), "{error}");
    assert!(ids.iter().all(|id| error.contains(id)), "{error}");
    assert_eq!(program.says(&["logs", "--run", &ids[1][..6]]), "broken | it goes wrong: 42\n");
}

#[test]
fn a_report_afterwards_is_the_one_that_would_have_been_written_in_the_run() {
    let program = Program::new();
    let reports = [
        ("--report", "run.html"),
        ("--junit", "run.xml"),
        ("--trace", "run.json"),
        ("--events", "run.jsonl"),
    ];
    let in_the_run = |name: &str| program.path(&format!("in_the_run_{name}"));
    let mut command = program.command(&[
        "run",
        "ping",
        "explained",
        "broken",
        "wordy",
        "slow",
        "--keep-going",
        "-q",
        "--nonce",
        &nonce(),
    ]);
    for (flag, name) in reports {
        command.arg(flag).arg(in_the_run(name));
    }
    assert_eq!(command.output().unwrap().status.code(), Some(100));
    let afterwards = |name: &str| program.path(name).to_str().unwrap().to_owned();
    let paths: Vec<String> = reports.iter().map(|(_, name)| afterwards(name)).collect();
    program.says(&[&["report"], paths.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
    for (flag, name) in reports {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            // Of events that happen at once on several threads, which is heard first is chance.
            if flag == "--events" {
                lines.sort();
            }
            lines
        };
        let (expected, found) = (read(&in_the_run(name)), read(&program.path(name)));
        assert!(!expected.is_empty());
        assert_eq!(expected.len(), found.len(), "{name}");
        for (expected, found) in expected.iter().zip(&found) {
            assert!(expected == found, "{name}:\n{expected}\n{found}");
        }
    }
    // By a flag, of a run that is named, whatever the file is called.
    let page = program.path("page");
    program.says(&["report", page.to_str().unwrap(), "--format", "html", "--run", &program.ids()[0]]);
    assert_eq!(std::fs::read(&page).unwrap(), std::fs::read(in_the_run("run.html")).unwrap());
    let error = program.refuses(&["report", "run.txt"], 2);
    assert!(
        error.contains("`run.txt`") && error.contains("`--format html`, `junit`, `trace` or `events`"),
        "{error}"
    );
    let error = program.refuses(&["report", "/dev/null/run.html"], 1);
    assert!(error.starts_with("error: /dev/null/run.html: "), "{error}");
    program.refuses(&["report"], 2);
}

#[test]
fn a_run_is_followed_while_it_goes_on_and_is_read_after_it_was_killed() {
    let program = Program::new();
    let mut running = program.command(&["run", "lasting", "-q", "--nonce", &nonce()]).spawn().unwrap();
    eventually("it writes", Duration::from_secs(60), || {
        program.command(&["logs", "lasting"]).output().is_ok_and(|output| stdout(&output) == "it begins\n")
    });
    assert_eq!(program.runs()[0]["outcome"], "running");
    // Another run disturbs nothing.
    assert_eq!(
        program.command(&["run", "broken", "-q", "--nonce", &nonce()]).output().unwrap().status.code(),
        Some(100)
    );
    assert_eq!(program.says(&["logs", "lasting", "-f"]), "it begins\nit ends\n");
    assert!(running.wait().unwrap().success());
    let outcomes = |runs: Vec<Value>| {
        runs.iter().map(|run| run["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(program.runs()), ["failed", "succeeded"]);

    let mut killed = program.command(&["run", "lasting", "-q", "--nonce", &nonce()]).spawn().unwrap();
    eventually("it writes", Duration::from_secs(60), || {
        program
            .command(&["logs", "--run", "0"])
            .output()
            .is_ok_and(|output| stdout(&output) == "lasting | it begins\n")
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(outcomes(program.runs()), ["interrupted", "failed", "succeeded"]);
    assert_eq!(program.says(&["logs", "lasting", "-f"]), "it begins\n");
    let page = program.path("killed.html");
    program.says(&["report", page.to_str().unwrap()]);
    assert!(std::fs::read_to_string(page).unwrap().contains("it begins"));
}

#[test]
fn only_as_many_runs_are_kept_as_are_wanted() {
    let (program, nonce) = (Program::new(), nonce());
    let run = |runs: &str| {
        let mut command = program.command(&["run", "explained", "-q", "--nonce", &nonce]);
        command.env("BOWLINE_RUNS", runs).output().unwrap()
    };
    for _ in 0..4 {
        assert!(run("3").status.success());
    }
    let ids = program.ids();
    assert_eq!(ids.len(), 3);
    assert!(run("off").status.success());
    assert_eq!(program.ids(), ids);
    let output = run("some");
    let error = "BOWLINE_RUNS=some means nothing: it may be the number of runs to keep, or `off`";
    assert_eq!((output.status.code(), stderr(&output)), (Some(2), format!("error: {error}\n")));
    // What only asks is no run.
    program.says(&["explain", "explained", "--nonce", &nonce]);
    assert_eq!(program.ids(), ids);
    assert!(run("1").status.success());
    assert_eq!(program.ids().len(), 1);
}

#[test]
fn why_a_step_ran_is_in_its_reports() {
    let program = Program::new();
    let run = |nonce: &str| {
        program.says(&["run", "explained", "ping", "-q", "--nonce", nonce]);
        let events = program.path("events.jsonl");
        program.says(&["report", events.to_str().unwrap()]);
        let events = std::fs::read_to_string(events).unwrap();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let missed = events.filter(|event| event["event"] == "missed");
        let said = missed
            .map(|event| format!("{}: {}", event["name"].as_str().unwrap(), event["why"].as_str().unwrap()));
        let mut said: Vec<String> = said.collect();
        said.sort();
        said
    };
    let (first, second) = (nonce(), nonce());
    // The first step needs no nonce, so there may be a result of it.
    let said = run(&first);
    assert!(said.contains(&"explained: this program has no earlier result of it".to_owned()), "{said:?}");
    assert_eq!(run(&first), Vec::<String>::new());
    let explained = program.says(&["explain", "ping", "--nonce", &second]);
    assert!(explained.starts_with("ping 1: runs: env NONCE of service redis changed\n"), "{explained}");
    let why =
        ["explained: argument 2 changed, env NONCE changed", "ping: env NONCE of service redis changed"];
    assert_eq!(run(&second), why);
    let page = program.path("run.html");
    program.says(&["report", page.to_str().unwrap()]);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(r#""why":"argument 2 changed, env NONCE changed""#), "{page}");
}

/// The program's own call, at a shell's prompt.
fn typed(program: &Program, args: &str) -> String {
    let variable =
        |name: &str| std::env::var(name).map(|value| format!("{name}='{value}' ")).unwrap_or_default();
    let variables = ["BOWLINE_ENGINE", "BOWLINE_HOME"].map(variable).concat();
    format!("{variables}'{}' {args} --nonce {}", program.path("commands").display(), nonce())
}

#[test]
fn a_key_asks_what_goes_on_and_the_terminal_is_the_shells_again() {
    if !has_program("tmux") {
        return;
    }
    let (program, tmux) = (Program::new(), Tmux::start(110, 40));
    tmux.run("unset NO_COLOR BOWLINE_PROGRESS CLICOLOR_FORCE CARGO_TERM_COLOR");
    let same_mode = |what: &str| {
        tmux.run(&format!("clear; stty -a | cmp - before && echo {what} $((40+2))"));
        tmux.sees(&format!("{what} 42"));
    };
    tmux.run(&format!("clear; cd '{}'; stty -a > before", program.directory.path().display()));
    tmux.run(&format!("clear; {}", typed(&program, "run lasting")));
    tmux.sees("it begins");
    // What is pressed before the program reads keys is nobody's.
    let asks = |answer: &str| {
        let mut screen = String::new();
        eventually("it answers", Duration::from_secs(60), || {
            tmux.press("t");
            std::thread::sleep(Duration::from_millis(300));
            screen = tmux.screen();
            screen.contains(answer)
        });
        screen
    };
    asks("|   | it begins");
    tmux.press("x");
    let screen = asks("|   | it begins");
    assert!(screen.contains("lasting      | running "), "{screen}");
    // Nothing of what is typed is shown.
    assert!(!screen.contains("xt"), "{screen}");
    // A shell that has it meanwhile has its own mode, and so has a job in the background.
    tmux.press("C-z");
    tmux.sees("Stopped");
    same_mode("stopped");
    tmux.run("bg");
    same_mode("background");
    tmux.run("clear; fg");
    tmux.sees("bowline ");
    asks("lasting      | running ");
    tmux.sees("1 done");
    same_mode("ended");
    tmux.run(&format!("clear; {}", typed(&program, "run lasting")));
    tmux.sees("it begins");
    asks("lasting      | running ");
    tmux.press("C-c");
    tmux.sees("\n$");
    same_mode("interrupted");
    // Whoever wants a shell types into that.
    tmux.run(&format!("clear; {}", typed(&program, "run broken -i")));
    tmux.sees("/ #");
    tmux.run("echo typed $((40+2)); exit");
    tmux.sees("typed 42");
    tmux.sees("\n$");
    same_mode("left");
}
