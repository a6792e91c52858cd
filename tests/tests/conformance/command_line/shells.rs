//! A person's shell in an item, and in what a failed command left.

use std::time::Duration;

use bowline_tests::{Pty, eventually, nonce};

/// The program at a terminal, once a shell has come up there.
fn sitting(args: &[&str]) -> Pty {
    let mut pty = at_terminal(args);
    eventually("there is a shell", Duration::from_secs(60), || pty.all().contains("# "));
    pty.press("echo up $((40+2))\r");
    pty.sees("up 42\r\n");
    pty
}

fn at_terminal(args: &[&str]) -> Pty {
    Pty::start(env!("CARGO_BIN_EXE_commands"), &[args, &["--nonce", &nonce()]].concat())
}

#[test]
fn a_shell_is_opened_in_what_a_container_leaves_and_in_a_service() {
    let mut pty = sitting(&["terminal", "build"]);
    pty.press("cat /out/app; exit 5\r");
    pty.sees("an app\r\n");
    assert_eq!(pty.end().code(), Some(0), "the last command in a shell is nobody's failure: {}", pty.all());
    assert!(pty.is_restored());
    let mut pty = sitting(&["terminal", "redis"]);
    pty.press("redis-cli ping; exit\r");
    pty.sees("PONG\r\n");
    assert_eq!(pty.end().code(), Some(0), "{}", pty.all());
}

#[test]
fn a_command_in_the_place_of_the_shell_says_how_the_program_ends() {
    let nonce = nonce();
    let args = ["terminal", "build", "--nonce", &nonce, "--", "sh", "-c", "cat /out/sub/file; exit 7"];
    let mut pty = Pty::start(env!("CARGO_BIN_EXE_commands"), &args);
    pty.sees("below\r\n");
    assert_eq!(pty.end().code(), Some(7), "{}", pty.all());
}

#[test]
fn whoever_asks_for_it_gets_a_shell_at_the_failure_and_the_exit_code_of_the_failure() {
    let mut pty = sitting(&["run", "broken", "-i"]);
    let all = pty.all();
    let (before, _) = all.split_once("# ").unwrap();
    assert!(before.contains("error: step ") && before.contains("exit code 3"), "{before}");
    pty.press("cat /left; exit\r");
    pty.sees("left\r\n");
    assert_eq!(pty.end().code(), Some(100), "{}", pty.all());
    assert!(pty.is_restored());
    // What is no command's failure leaves nothing to look at.
    let mut pty = at_terminal(&["run", "doomed", "-i"]);
    pty.sees("bowline: no shell: only a command of a container leaves something to look at");
    assert_eq!(pty.end().code(), Some(105));
}
