//! Results that are taken while they are young, and what is made of them.

use std::process::Command;
use std::time::Duration;

use bowline::prelude::*;
use bowline::{Exec, Session};
use bowline_tests::{busybox, nonce};

/// What a command shows that shows something else in each run.
const RANDOM: &str = "tee /id < /proc/sys/kernel/random/uuid";

/// What it shows in a session of its own.
async fn seen(container: &Container) -> String {
    let session = Session::new();
    let seen = session.scope(container.stdout()).await.unwrap();
    session.close().await.unwrap();
    seen
}

/// Containers that are the same but for how old a result may be.
fn aged(base: &Container, limit: &str) -> Container {
    base.clone().exec(Exec::shell(RANDOM).fresh(limit))
}

async fn a_while() {
    tokio::time::sleep(Duration::from_millis(1200)).await;
}

#[bowline::test]
async fn a_result_that_is_too_old_runs_again_for_everybody() {
    let base = busybox();
    let first = seen(&aged(&base, "1h")).await;
    a_while().await;
    assert_eq!(seen(&aged(&base, "1h")).await, first);
    assert_eq!(seen(&base.clone().shell(RANDOM)).await, first, "the limit is no part of what it is");
    let second = seen(&aged(&base, "1s")).await;
    assert_ne!(second, first);
    assert_eq!(seen(&aged(&base, "1h")).await, second, "it has taken the place of the earlier one");
}

#[bowline::test]
async fn what_was_made_of_a_result_runs_again_with_it_however_far_behind() {
    let base = busybox();
    let chain = |limit: &str| {
        let first = aged(&base, limit).shell("true >/between");
        Container::from_image("busybox:1.35").copy("/id", first.file("/id")).shell("cat /id; true >/last")
    };
    let first = seen(&chain("1h")).await;
    a_while().await;
    assert_eq!(seen(&chain("1h")).await, first);
    let second = seen(&chain("1s")).await;
    assert_ne!(second, first);
    assert_eq!(seen(&chain("1h")).await, second);
    // And where somebody else has run it.
    a_while().await;
    // Its files are there for others, as those of a step that another one of its container follows may not be.
    let third = seen(&Container::from_container(&aged(&base, "1s")).exec(["cat", "/id"])).await;
    assert_ne!(third, second);
    assert_eq!(seen(&chain("1h")).await, third);
}

#[bowline::test]
async fn what_a_client_knows_of_a_service_runs_again_with_what_the_service_is_made_of() {
    let base = busybox();
    let client = |limit: &str| {
        let web = Service::from_container(&aged(&base, limit))
            .run(["httpd", "-f", "-p", "80", "-h", "/"])
            .expose(80);
        Container::from_image("busybox:1.35").bind("web", &web).exec(["wget", "-qO-", "http://web/id"])
    };
    let first = seen(&client("1h")).await;
    a_while().await;
    assert_eq!(seen(&client("1h")).await, first);
    let second = seen(&client("1s")).await;
    assert_ne!(second, first);
    assert_eq!(seen(&client("1h")).await, second);
}

#[bowline::test]
async fn a_session_runs_a_step_once_and_sees_one_run_of_it() {
    let base = busybox();
    let (never, any) = (aged(&base, "0s"), base.clone().shell(RANDOM));
    let copied = any.clone().exec(["cat", "/id"]);
    let session = Session::new();
    let twice = async {
        let first = never.stdout().await.unwrap();
        assert_eq!((&never.stdout().await.unwrap(), &copied.stdout().await.unwrap()), (&first, &first));
        first
    };
    let first = session.scope(twice).await;
    session.close().await.unwrap();
    // One who takes any result comes first.
    let session = Session::new();
    let all = async {
        let found = (any.stdout().await.unwrap(), copied.stdout().await.unwrap());
        let made = never.stdout().await.unwrap();
        (found, made, any.stdout().await.unwrap(), copied.stdout().await.unwrap())
    };
    let (found, made, again, copy) = session.scope(all).await;
    session.close().await.unwrap();
    assert_eq!(found, (first.clone(), first));
    assert_ne!(made, found.0);
    assert_eq!((&again, &copy), (&made, &made));
}

#[bowline::test]
async fn fresh_and_uncached_is_a_mistake() {
    let both = busybox().exec(Exec::new(["date"]).fresh("1h").uncached());
    let error = both.sync().await.unwrap_err().to_string();
    assert!(error.contains("a command cannot be `fresh` and `uncached`"), "{error}");
}

/// A program with a command line, and what it says.
fn program(nonce: &str, args: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
    command.args(args).args(["--nonce", nonce]).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}

#[test]
fn it_is_said_why_an_old_result_is_not_taken() {
    let nonce = nonce();
    let run = |variables: &[(&str, &str)]| program(&nonce, &["run", "aged", "-o"], variables);
    let (first, _) = run(&[("BOWLINE_PROGRESS", "quiet")]);
    std::thread::sleep(Duration::from_millis(200));
    let (said, _) = program(&nonce, &["explain", "aged"], &[]);
    assert!(said.starts_with("aged 1: runs: its result is older than 100 ms: made "), "{said}");
    assert!(said.contains("\naged 2: runs: what it is made of runs again\n"), "{said}");
    let (second, events) = run(&[("BOWLINE_PROGRESS", "json")]);
    assert_ne!(second, first);
    for why in ["its result is older than 100 ms: made ", "what it is made of runs again"] {
        assert!(events.contains(&format!(r#""event":"missed","why":"{why}"#)), "{events}");
    }
}

#[test]
fn what_is_not_stored_counts_in_its_session_alone() {
    let nonce = nonce();
    let run = |mode: &str| {
        program(&nonce, &["run", "aged", "-o", "--cache", mode], &[("BOWLINE_PROGRESS", "quiet")]).0
    };
    let first = run("on");
    std::thread::sleep(Duration::from_millis(200));
    let other = run("read");
    assert_ne!(other, first, "it is too old, and so is what was made of it");
    assert_ne!(run("read"), other);
}
