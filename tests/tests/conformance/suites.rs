//! Services of test suites: what a test runner shows of them, and sessions that tests share. The tests here run some of
//! this very program's, which are ignored otherwise, in a process of their own.

use std::process::{Command, Output};
use std::time::Duration;

use bowline::prelude::*;
use bowline_tests::{echo, eventually, inspector};

/// Runs the ignored tests of this program whose names begin like this.
fn run(tests: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new(program)
        .args(["--ignored", "--test-threads=1", &format!("suites::{tests}")])
        .env_remove("BOWLINE_PROGRESS")
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap()
}

async fn run_in_background(tests: &'static str) -> (bool, String, String) {
    let output = tokio::task::spawn_blocking(move || run(tests)).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[bowline::test]
#[ignore = "fails on purpose"]
async fn failing_by_panic() {
    let _service = echo().tunnel().await.unwrap();
    panic!("on purpose");
}

#[bowline::test]
#[ignore = "fails on purpose"]
async fn failing_by_error() -> Result<()> {
    let _service = echo().tunnel().await?;
    Err(Error::other("on purpose"))
}

#[bowline::test]
#[ignore = "run by another test"]
async fn passing() -> Result<()> {
    let _service = echo().tunnel().await?;
    Ok(())
}

#[bowline::test]
async fn a_failed_test_shows_the_last_lines_of_its_services_and_a_passed_one_nothing() {
    for test in ["failing_by_panic", "failing_by_error"] {
        let (passed, stdout, stderr) = run_in_background(test).await;
        assert!(!passed, "{stdout}");
        let shown = "the last lines of its services:\necho         | ";
        assert_eq!(stdout.matches(shown).count(), 1, "{stdout}");
        // It is among what the runner shows of this test, and nothing goes past the runner.
        let (_, of_the_test) = stdout.split_once(&format!("---- suites::{test} stdout ----")).unwrap();
        let all = [shown, "echo         | • ready after ", "on purpose"];
        assert!(all.iter().all(|part| of_the_test.contains(part)), "{stdout}");
        assert_eq!(stderr, "");
    }
    let (passed, stdout, stderr) = run_in_background("passing").await;
    assert!(passed && !stdout.contains("echo") && stderr.is_empty(), "{stdout}{stderr}");
}

/// Says which session this is and what runs in it. Panics, so that the runner shows it.
async fn say_what_is_shared() {
    // The definition is equal in both tests.
    let service = Service::from_image("redis:7").expose(6379).env("OF", std::process::id()).named("shared");
    let tunnel = service.tunnel().await.unwrap();
    tunnel.check().unwrap();
    let session = Session::current().id();
    panic!("in {session}: {}", inspector().running(&session).join(" "));
}

#[bowline::test(shared)]
#[ignore = "fails on purpose"]
async fn sharing_first() {
    say_what_is_shared().await;
}

#[bowline::test(shared)]
#[ignore = "fails on purpose"]
async fn sharing_second() {
    say_what_is_shared().await;
}

#[bowline::test]
async fn tests_that_share_a_session_share_its_services_until_the_process_ends() {
    let (_, stdout, _) = run_in_background("sharing_").await;
    let said: Vec<&str> = stdout.lines().filter(|line| line.starts_with("in ")).collect();
    assert!(matches!(said[..], [first, second] if first == second), "{stdout}");
    let (session, running) = said[0].strip_prefix("in ").unwrap().split_once(": ").unwrap();
    assert_eq!(running.split(' ').count(), 1, "{running}");
    let session = session.to_owned();
    let gone = move || inspector().remains(&session).is_empty();
    let wait = || eventually("nothing is left of the session", Duration::from_secs(20), gone);
    tokio::task::spawn_blocking(wait).await.unwrap();
}
