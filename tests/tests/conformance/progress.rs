//! What people see of a pipeline that runs: off a terminal, in CI, and on a terminal.

use std::path::Path;
use std::process::{Command, Output};

use bowline_tests::{Tmux, eventually, has_program, nonce};

/// The program, with nothing in its environment that changes what is shown.
fn shows(what: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shows"));
    command.arg(what).env("NONCE", nonce());
    for name in [
        "BOWLINE_PROGRESS",
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
        "GITHUB_WORKSPACE",
        "CI_PROJECT_DIR",
        "GITLAB_CI",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "CARGO_TERM_COLOR",
        "TERM",
    ] {
        command.env_remove(name);
    }
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Without times, the engine's version, and where the source is.
fn masked(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        // Images may have to be found first, in whatever way.
        if line.starts_with("docker  ") || line.starts_with("native  ") || line.starts_with("image  ") {
            continue;
        }
        let mut words: Vec<String> = Vec::new();
        for word in line.split(' ') {
            let is_unit = matches!(word.trim_end_matches([':', ',', ';']), "ms" | "s" | "min");
            match words.last_mut() {
                Some(last) if is_unit && last.parse::<f64>().is_ok() => {
                    *last = format!("T{}", &word[word.trim_end_matches([':', ',', ';']).len()..]);
                }
                _ => words.push(word.to_owned()),
            }
        }
        let line = words.join(" ");
        let (before, after) = line.split_once("shows.rs:").unwrap_or((&line, ""));
        lines.push(if after.is_empty() { before.to_owned() } else { format!("{before}shows.rs:…") });
    }
    lines.join("\n")
}

/// Compares with the file in `progress`, which is in the program, as users who are not root cannot read it where it is;
/// `INSTA_UPDATE=always` writes it.
fn pinned(name: &str, expected: &str, shown: &str) {
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/progress");
        std::fs::write(format!("{directory}/{name}.txt"), format!("{}\n", shown.trim_end())).unwrap();
        return;
    }
    assert_eq!(shown.trim_end(), expected.trim_end(), "{name}:\n{shown}");
}

/// The output of the step that fails, in short.
fn without_numbers(text: &str) -> String {
    let all: String = (1..=3000).flat_map(|number| [number.to_string(), "\n".to_owned()]).collect();
    assert_eq!(text.matches(&all).count(), 1, "{text}");
    text.replace(&all, "1 …\n")
}

#[test]
fn elsewhere_each_item_that_ends_has_a_line_and_what_failed_all_of_its_output() {
    let output = shows("ends").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("PONG\nstep `/bin/sh -c ") && said.lines().count() == 2,
        "standard output is the program's: {said}"
    );
    let shown = without_numbers(&stderr(&output));
    assert!(!shown.contains(['\u{1b}', '\r']), "{shown:?}");
    pinned("elsewhere", include_str!("progress/elsewhere.txt"), &masked(&shown));
}

#[test]
fn nothing_is_shown_where_nothing_is_wanted_and_every_line_where_all_is() {
    let output = shows("ends").env("BOWLINE_PROGRESS", "quiet").output().unwrap();
    assert_eq!(stderr(&output), "");
    let output = shows("ends").env("BOWLINE_PROGRESS", "log").output().unwrap();
    let shown = stderr(&output);
    assert!(shown.contains("ping         | PONG\n") && shown.contains("test         | 3000\n"), "{shown}");
}

#[test]
fn in_json_every_line_is_an_event() {
    let output = shows("ends").env("BOWLINE_PROGRESS", "json").output().unwrap();
    let shown = stderr(&output);
    let events: Vec<serde_json::Value> =
        shown.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let has =
        |kind: &str, name: &str| events.iter().any(|event| event["event"] == kind && event["name"] == name);
    assert!(has("cached", "found") && has("ready", "redis") && has("finished", "ping"), "{shown}");
    assert_eq!(
        events.iter().filter(|event| event["event"] == "output" && event["name"] == "test").count(),
        3003
    );
    assert!(events.iter().all(|event| event["v"] == 1), "{shown}");
}

#[test]
fn a_form_that_there_is_not_is_an_error_that_lists_those_there_are() {
    let output = shows("ends").env("BOWLINE_PROGRESS", "josn").output().unwrap();
    let shown = stderr(&output);
    assert!(
        !output.status.success() && shown.contains("BOWLINE_PROGRESS=josn") && shown.contains("`json`"),
        "{shown}"
    );
    let output = shows("ends").env("BOWLINE_PROGRESS", "tty").output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("needs a terminal"), "{}", stderr(&output));
}

#[test]
fn github_gets_an_annotation_at_the_line_a_group_and_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let summary = directory.path().join("summary.md");
    let mut command = shows("ends");
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
    let shown = stderr(&command.output().unwrap());
    let annotation = shown.lines().find(|line| line.starts_with("::error ")).unwrap_or_default();
    assert!(annotation.starts_with("::error file=tests/src/bin/shows.rs,line="), "{shown}");
    assert!(annotation.contains(",title=test failed::step "), "{annotation}");
    let (before, after) = shown.split_once("::group::the output of test\n::stop-commands::").unwrap();
    let (token, rest) = after.split_once('\n').unwrap();
    let (group, after) = rest.split_once(&format!("::{token}::\n::endgroup::\n")).unwrap();
    assert!(group.contains("\n3000\n") && group.contains("::add-mask::x"), "{group}");
    // Outside of the group nothing that a container wrote is a command.
    for outside in [before, after] {
        let is_command = |line: &str| line.trim_start().starts_with("::add-mask");
        assert!(!outside.lines().any(is_command) && !outside.contains("##["), "{outside}");
    }
    let table = std::fs::read_to_string(&summary).unwrap();
    pinned("github_summary", include_str!("progress/github_summary.txt"), &masked(&table));
}

/// The repository of this test is the directory around the one that the workspace is in.
#[test]
fn an_annotation_is_at_a_file_of_the_repository_wherever_in_it_the_workspace_is() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap();
    let (repository, name) = (workspace.parent().unwrap(), workspace.file_name().unwrap().to_str().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let junit = directory.path().join("junit.xml");
    let annotation = |root: &Path| {
        let mut command = shows("ends");
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", root).env("REPORT_JUNIT", &junit);
        let shown = stderr(&command.output().unwrap());
        shown.lines().find(|line| line.starts_with("::error ")).unwrap_or_default().to_owned()
    };
    let said = annotation(repository);
    assert!(said.starts_with(&format!("::error file={name}/tests/src/bin/shows.rs,line=")), "{said}");
    let cases = std::fs::read_to_string(&junit).unwrap();
    assert!(cases.contains(&format!("file=\"{name}/tests/src/bin/shows.rs\"")), "{cases}");
    let said = annotation(&workspace);
    assert!(said.starts_with("::error file=tests/src/bin/shows.rs,line="), "{said}");
}

#[test]
fn gitlab_gets_a_section() {
    let shown = stderr(&shows("ends").env("GITLAB_CI", "true").output().unwrap());
    let (_, after) = shown.split_once("\u{1b}[0Ksection_start:").unwrap();
    let (section, after) = after.split_once("\u{1b}[0Ksection_end:").unwrap();
    assert!(
        section.contains(":bowline_1\r\u{1b}[0Kthe output of test\n") && section.contains("\n3000\n"),
        "{section}"
    );
    assert!(after.contains(":bowline_1\r\u{1b}[0K\n") && !after.contains("section_"), "{after}");
}

/// Runs the program at a screen of this size, and gives the screen.
fn at_screen(columns: u16, rows: u16, what: &str) -> Tmux {
    let tmux = Tmux::start(columns, rows);
    let program = env!("CARGO_BIN_EXE_shows");
    let engine = std::env::var("BOWLINE_ENGINE").unwrap_or_default();
    let home =
        std::env::var("BOWLINE_HOME").map(|home| format!("BOWLINE_HOME='{home}' ")).unwrap_or_default();
    tmux.run(&format!("clear; unset NO_COLOR BOWLINE_PROGRESS CLICOLOR_FORCE CARGO_TERM_COLOR; {home}BOWLINE_ENGINE={engine} NONCE={} '{program}' {what}", nonce()));
    tmux
}

#[test]
fn on_a_terminal_what_runs_is_drawn_below_what_the_program_prints() {
    if !has_program("tmux") {
        return;
    }
    let small =
        (include_str!("progress/80x24_while_it_runs.txt"), include_str!("progress/80x24_at_the_end.txt"));
    let large =
        (include_str!("progress/160x50_while_it_runs.txt"), include_str!("progress/160x50_at_the_end.txt"));
    for (columns, rows, (while_it_runs, at_the_end)) in [(80, 24, small), (160, 50, large)] {
        let tmux = at_screen(columns, rows, "draws");
        tmux.sees("and a part");
        tmux.sees("| red");
        // The command of a step is shown once the step is slow; that of the one that began last comes last.
        let screen = tmux.sees("\n  sleep 4");
        pinned(&format!("{columns}x{rows}_while_it_runs"), while_it_runs, &masked_screen(&screen));
        let screen = tmux.sees("\n$");
        pinned(&format!("{columns}x{rows}_at_the_end"), at_the_end, &masked_screen(&screen));
        tmux.run("clear; seq 100");
        assert!(
            tmux.sees("\n100\n").lines().count() >= usize::from(rows) - 1,
            "the whole screen is the shell's again"
        );
    }
}

/// Without times, spinners, and whatever images and engines are called.
fn masked_screen(screen: &str) -> String {
    let spinner = |letter: char| ('\u{2800}'..='\u{28ff}').contains(&letter);
    let screen = masked(&screen.replace(spinner, "⠿"));
    let is_image = |line: &str| line.contains("docker.io/");
    let (mut lines, mut is_empty): (Vec<&str>, bool) = (Vec::new(), false);
    for line in screen.lines().filter(|line| !is_image(line)) {
        // How much is empty depends on what the engine says first.
        if !line.is_empty() || !is_empty {
            lines.push(line);
        }
        is_empty = line.is_empty();
    }
    lines.join("\n")
}

/// The lines that the program prints are whole.
fn has_all_lines(screen: &str) {
    for number in 1..=3 {
        assert!(screen.contains(&format!("line {number} of the program,\nin two lines\n")), "{screen}");
    }
    assert!(screen.contains("\nand a part ") && screen.contains("of a line\n"), "{screen}");
}

#[test]
fn a_terminal_that_is_resized_or_has_another_program_meanwhile_is_left_as_it_was() {
    if !has_program("tmux") {
        return;
    }
    let tmux = at_screen(100, 40, "draws");
    tmux.sees("line 1 of the program");
    for (columns, rows) in [(60, 30), (120, 50), (100, 40)] {
        tmux.resize(columns, rows);
        std::thread::sleep(std::time::Duration::from_millis(150));
    }
    tmux.press("C-z");
    tmux.run("echo a shell has it");
    let screen = tmux.sees("\na shell has it\n");
    assert!(!screen.contains("bowline "), "{screen}");
    tmux.run("bg");
    std::thread::sleep(std::time::Duration::from_millis(500));
    tmux.run("echo and keeps it");
    let screen = tmux.sees("\nand keeps it\n");
    assert!(!screen.contains("bowline "), "{screen}");
    tmux.run("fg");
    tmux.sees("Error:");
    has_all_lines(&tmux.screen());
}

#[test]
fn whoever_interrupts_it_gets_the_terminal_back() {
    if !has_program("tmux") {
        return;
    }
    let tmux = at_screen(80, 24, "writes");
    tmux.sees("| a line");
    tmux.press("C-c");
    tmux.sees("\n$");
    tmux.run("clear; seq 100");
    assert!(tmux.sees("\n100\n").lines().count() >= 23, "the whole screen is the shell's again");
}

#[test]
fn a_closed_terminal_ends_the_program() {
    if !has_program("tmux") {
        return;
    }
    let tmux = at_screen(80, 24, "writes");
    tmux.sees("| a line");
    let runs = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter(|process| is_writing(&process.path())).count()
    };
    assert!(runs() > 0);
    tmux.close();
    eventually("it ends", std::time::Duration::from_secs(30), || runs() == 0);
}

/// Whether this process is the program.
fn is_writing(process: &Path) -> bool {
    let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let parts: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    parts.first() == Some(&env!("CARGO_BIN_EXE_shows").as_bytes()) && parts.get(1) == Some(&&b"writes"[..])
}

#[test]
fn a_signal_asks_what_goes_on() {
    let mut child = shows("writes")
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let id = child.id().to_string();
    let ask = |name: &str| {
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    };
    let mut said = Vec::new();
    // The first answers may come before it writes anything; it can be asked once it has said something itself.
    let asked = std::sync::atomic::AtomicBool::new(false);
    let answered = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        use std::sync::atomic::Ordering::Relaxed;
        for line in lines {
            let line = line.unwrap();
            if !asked.swap(true, Relaxed) {
                scope.spawn(|| {
                    std::thread::sleep(std::time::Duration::from_secs(3));
                    while !answered.load(Relaxed) {
                        ask("USR1");
                        std::thread::sleep(std::time::Duration::from_secs(1));
                    }
                });
            }
            let is_answer = line.contains("  | a line");
            said.push(line);
            if is_answer {
                break;
            }
        }
        answered.store(true, Relaxed);
    });
    assert!(said.iter().any(|line| line.starts_with("endless      | running ")), "{said:?}");
    ask("TERM");
    child.wait().unwrap();
}
