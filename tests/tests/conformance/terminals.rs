//! A person sits at a terminal in a container, and has it back afterwards.

use std::process::{Command, Stdio};
use std::time::Duration;

use bowline_tests::{Pty, eventually, remains};

const PROGRAM: &str = env!("CARGO_BIN_EXE_terminal");

/// A terminal at which a shell has come up, and the session.
fn sitting(place: &str) -> (Pty, String) {
    let mut pty = Pty::start(PROGRAM, &[place]);
    pty.sees("session ");
    let session = pty.sees(".");
    // The shell writes the sum, the terminal what was typed.
    eventually("there is a shell", Duration::from_secs(60), || {
        let seen = pty.all();
        assert!(!seen.contains("failed: "), "{seen}");
        seen.contains("# ") || seen.contains("$ ")
    });
    pty.press("echo up $((1+1))\r");
    pty.sees("up 2\r\n");
    (pty, session)
}

fn nothing_left(session: &str) {
    eventually("nothing is left", Duration::from_secs(15), || remains(session).is_empty());
}

#[test]
fn a_shell_in_a_service_is_as_at_a_terminal_of_its_own() {
    is_as_at_a_terminal_of_its_own("service");
}

#[test]
fn a_shell_in_a_shared_service_is_the_same() {
    is_as_at_a_terminal_of_its_own("shared");
}

fn is_as_at_a_terminal_of_its_own(place: &str) {
    let (mut pty, session) = sitting(place);
    assert!(!pty.is_restored(), "it is raw");
    pty.press("stty size; tty; echo $GREETING $TERM\r");
    assert!(pty.sees("hello xterm\r\n").contains("24 80\r\n/dev/pts/"), "{}", pty.all());
    pty.resize(101, 33);
    // The signal travels with the engine's answer.
    eventually("it is resized", Duration::from_secs(20), || {
        pty.press("stty size\r");
        std::thread::sleep(Duration::from_millis(100));
        pty.all().contains("33 101\r\n")
    });
    pty.press("sleep 1000; echo interrupted $((2+2))\r");
    std::thread::sleep(Duration::from_millis(300));
    pty.press("\u{3}");
    std::thread::sleep(Duration::from_millis(300));
    pty.press("\recho $((40+2)) still here\r");
    pty.sees("42 still here\r\n");
    let meanwhile = pty.all();
    pty.press("exit 5\r");
    pty.sees("left with 5.");
    assert!(pty.end().success());
    assert!(pty.is_restored());
    // Of the log nothing is lost, and nothing was between.
    let (_, opened) = meanwhile.split_once("up 2\r\n").unwrap();
    assert!(!opened.contains("| tick"), "{meanwhile}");
    let all = pty.all();
    let ticks = all.split("| tick ").skip(1).map(|rest| rest.split_once('\r').unwrap().0.parse().unwrap());
    let ticks: Vec<u32> = ticks.collect();
    assert!(ticks.len() > 5 && ticks.iter().copied().eq(1..=u32::try_from(ticks.len()).unwrap()), "{all}");
    nothing_left(&session);
}

#[test]
fn the_terminal_is_restored_when_the_service_ends() {
    for place in ["service", "shared"] {
        is_restored_when_it_ends(place);
    }
}

fn is_restored_when_it_ends(place: &str) {
    let (mut pty, session) = sitting(place);
    // As an editor has it.
    pty.press("printf '\\033[?1049h\\033[?25l'; touch /die\r");
    let seen = pty.sees("failed: ");
    assert!(seen.contains("\x1b[?1049l\x1b[?25h"), "{seen:?}");
    pty.sees("exit code 7");
    pty.sees("last words");
    assert!(pty.end().success());
    assert!(pty.is_restored());
    nothing_left(&session);
}

#[test]
fn the_terminal_is_restored_when_a_signal_ends_the_program() {
    for (name, number) in [("TERM", 15), ("HUP", 1)] {
        let (mut pty, session) = sitting("service");
        pty.signal(name);
        assert_eq!(pty.end_signal(), Some(number), "{}", pty.all());
        assert!(pty.is_restored(), "after {name}");
        nothing_left(&session);
    }
}

#[test]
fn events_as_json_wait_as_lines_do() {
    let mut pty = Pty::start("env", &["BOWLINE_PROGRESS=json", PROGRAM, "service"]);
    eventually("there is a shell", Duration::from_secs(60), || pty.all().contains("# "));
    pty.press("echo up $((1+1))\r");
    pty.sees("up 2\r\n");
    // The service ticks ten times a second.
    std::thread::sleep(Duration::from_secs(1));
    pty.press("echo still $((2+2)) here\r");
    let meanwhile = pty.sees("still 4 here\r\n");
    assert!(!meanwhile.contains("\"event\""), "{meanwhile}");
    pty.press("exit\r");
    pty.sees("left with 0.");
    assert!(pty.end().success());
    let (_, after) = pty.all().split_once("still 4 here").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let ticks = after.lines().filter(|line| line.contains("tick ") && line.contains("\"event\":\"output\""));
    assert!(ticks.count() > 5, "they are said afterwards: {after}");
}

#[test]
fn a_shell_in_a_container_has_its_files_configuration_and_services() {
    let (mut pty, _) = sitting("container");
    pty.press("cat made; pwd; id -u; echo $GREETING; wget -qO- http://site/; touch lost\r");
    let seen = pty.sees("page\r\n");
    assert!(seen.contains("made\r\n/tmp\r\n1000\r\nhello\r\n"), "{seen}");
    pty.press("stty size; exit\r");
    pty.sees("24 80\r\n");
    pty.sees("left with 0.");
    assert!(pty.is_restored() && pty.end().success());
}

#[test]
fn a_shell_in_what_a_failed_step_left_has_what_the_step_had() {
    let (mut pty, _) = sitting("failed");
    pty.press("cat left got; pwd; id -u; echo $GREETING; wget -qO- http://site/ && echo $((2*3)) done\r");
    let seen = pty.sees("6 done\r\n");
    assert!(seen.contains("left\r\npage\r\n/tmp\r\n1000\r\nhello\r\npage\r\n"), "{seen}");
    // As the end of what is typed.
    pty.press("\u{4}");
    pty.sees("left with 0.");
    assert!(pty.is_restored() && pty.end().success());
}

#[test]
fn a_command_in_place_of_the_shell() {
    let mut pty = Pty::start(PROGRAM, &["command"]);
    pty.sees("tick");
    eventually("it is raw", Duration::from_secs(60), || !pty.is_restored());
    pty.press("typed\r");
    // By the container's terminal, and by `cat`.
    pty.sees("typed\r\ntyped\r\n");
    pty.press("\u{3}");
    pty.sees("left with 130.");
    assert!(pty.end().success() && pty.is_restored());
    let mut pty = Pty::start(PROGRAM, &["missing"]);
    pty.sees("failed: ");
    pty.sees("there is no command `no-such-program` in it");
    assert!(pty.end().success() && pty.is_restored());
}

#[test]
fn a_program_has_one_terminal() {
    let (mut pty, _) = sitting("two");
    pty.press("exit\r");
    pty.sees("another terminal is open");
    pty.sees("left with 0.");
    assert!(pty.end().success());
}

#[test]
fn without_a_terminal_there_is_none() {
    let output = Command::new(PROGRAM).arg("service").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("there is no terminal to open it at: standard input is none"), "{said}");
    assert!(said.contains("help: `exec` runs a command without a terminal"), "{said}");
    // Nothing was started for it.
    assert!(!String::from_utf8_lossy(&output.stderr).contains("tick"));
}
