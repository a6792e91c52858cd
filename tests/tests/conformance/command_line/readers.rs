//! Readers that have enough, as `head`, of each subcommand that runs something.

use std::process::{Command, Stdio};

use bowline_tests::nonce;

use super::super::registry::Registry;
use super::stderr;

/// Runs the program while nobody reads what it prints. Errors are all that it says.
#[track_caller]
fn unread(args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
    command.args(args).args(["--nonce", &nonce(), "-q"]).env_remove("BOWLINE_PROGRESS");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = command.spawn().unwrap();
    drop(program.stdout.take());
    let output = program.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
}

#[test]
fn nobody_has_to_read_what_runs_print() {
    unread(&["run", "slow", "ping", "-o"]);
    unread(&["explain", "explained"]);
}

#[test]
fn nobody_has_to_read_where_services_are_or_what_was_published() {
    // Nobody knows where they are, so it ends.
    unread(&["up", "redis"]);
    let registry = Registry::open();
    unread(&["publish", "build", &format!("{}/team/app-{}:1", registry.address, nonce())]);
}
