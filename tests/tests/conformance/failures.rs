//! What goes wrong ends at once, and says what it was.

use std::time::{Duration, Instant};

use bowline::{Container, Error, Exit, Ready, Service, ServiceCause, Session};
use bowline_tests::{client, eventually, fetch, late, nonce, python_service, running, server};

#[bowline::test]
async fn exit_42_before_ready_ends_the_start_at_once() {
    let service = late(&["say=nope", "warn=bad config", "exit=42"])
        .expose(8080)
        .ready(Ready::port().within("1h"))
        .named("broken");
    let began = Instant::now();
    let error = fetch("www", &service, "/").sync().await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10));
    let Error::ServiceStart(details) = &error else { panic!("{error}") };
    assert!(matches!(details.cause, ServiceCause::Exited(Exit { code: 42, .. })), "{error}");
    assert_eq!((details.name.as_str(), details.hostname.as_str()), ("broken", service.hostname().as_str()));
    assert_eq!(details.aliases, ["www"]);
    let mut log = details.log.clone();
    log.sort();
    assert_eq!(log, ["bad config", "nope"]);
    assert!(error.to_string().contains("exit code 42"), "{error}");
}

#[bowline::test]
async fn a_failed_start_is_run_once_for_all_who_wait() {
    let cache = bowline::CacheVolume::new(format!("test-{}", nonce()));
    let service =
        python_service("open('/count/starts', 'a').write('x'); import time; time.sleep(1); exit(3)")
            .mount("/count", &cache)
            .expose(8080);
    let on_cache = |args: &[&str]| {
        let args = args.iter().copied();
        Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/count", &cache).exec(args)
    };
    // One that was new would be emptied, as the service never gets ready.
    on_cache(&["touch", "/count/starts"]).sync().await.unwrap();
    let clients: Vec<_> = (0..5).map(|_| fetch("www", &service, "/")).collect();
    let errors = futures_util::future::join_all(clients.iter().map(Container::sync)).await;
    assert!(errors.iter().all(|error| matches!(error, Err(Error::ServiceStart(_)))), "{errors:?}");
    assert_eq!(on_cache(&["cat", "/count/starts"]).stdout().await.unwrap(), "x");
}

#[bowline::test]
async fn exit_42_while_in_use_ends_the_client() {
    let web = server("web");
    let began = Instant::now();
    let program = "import time\ntry: get('http://www:8080/exit/42')\nexcept Exception: time.sleep(60)";
    let error = client("www", &web, program).sync().await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30));
    let Error::ServiceExited(details) = &error else { panic!("{error}") };
    assert!(matches!(details.cause, ServiceCause::Exited(Exit { code: 42, .. })), "{error}");
    let text = error.to_string();
    for part in [&web.hostname(), "aliased as www", "exit code 42", "server up"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[bowline::test]
async fn a_client_that_fails_because_its_service_ended_blames_the_service() {
    let web = server("web");
    let error = client("www", &web, "get('http://www:8080/exit/7')").sync().await.unwrap_err();
    assert!(matches!(&error, Error::ServiceExited(_)), "{error}");
}

#[bowline::test]
async fn exit_in_a_dependency_is_told_through_the_chain() {
    if !bowline_tests::has_time() {
        return;
    }
    let db = server("db").env("DIES", 42);
    let app = server("app").bind("db", &db);
    let (session, hostname) = (Session::current(), db.hostname());
    let client = tokio::spawn(client("app", &app, "import time; time.sleep(60)").sync());
    tokio::task::spawn_blocking(move || {
        eventually("both services and the client run", Duration::from_secs(60), || running(&session) == 3);
        bowline_tests::touch(&session, &hostname, "/die");
    })
    .await
    .unwrap();
    let error = client.await.unwrap().unwrap_err();
    let Error::ServiceExited(details) = &error else { panic!("{error}") };
    let ServiceCause::Dependency(Error::ServiceExited(dependency)) = &details.cause else {
        panic!("{error}")
    };
    assert!(matches!(dependency.cause, ServiceCause::Exited(Exit { code: 42, .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains("`app` (aliased as app)") && text.contains("`db` (aliased as db)"), "{text}");

    let db = python_service("exit(42)").env("NONCE", nonce()).expose(8080).named("db");
    let app = server("app").bind("db", &db);
    let error = fetch("app", &app, "/id").sync().await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, Error::ServiceStart(_)), "{text}");
    assert!(
        text.contains("`app` (aliased as app)")
            && text.contains("`db` (aliased as db)")
            && text.contains("42"),
        "{text}"
    );
}

#[bowline::test]
async fn no_command_to_run_is_an_error() {
    // An image of a bare file system has no configuration.
    let made = bowline_tests::docker(&["create", "busybox:1.35", "true"]);
    let archive = std::env::temp_dir().join(format!("bowline-{}.tar", nonce()));
    let archive = archive.to_str().unwrap();
    let _ = bowline_tests::docker(&["export", "-o", archive, made.trim()]);
    let _ = bowline_tests::docker(&["import", archive, "bowline-test/no-command:1"]);
    let _ = bowline_tests::docker(&["rm", made.trim()]);
    std::fs::remove_file(archive).unwrap();
    let service = Service::from_image("bowline-test/no-command:1").expose(80).named("idle");
    let error = fetch("www", &service, "/").sync().await.unwrap_err().to_string();
    assert!(
        error.contains("service `idle` has no command") && error.contains("help: add `run [...]`"),
        "{error}"
    );
}

#[bowline::test]
async fn a_program_that_is_not_there_is_named() {
    let step = Container::from_image("busybox:1.35").exec(["no-such-program"]).named("typo");
    let error = step.sync().await.unwrap_err().to_string();
    assert!(error.contains("no-such-program"), "{error}");
    let service = Service::from_image("busybox:1.35").run(["no-such-server"]).expose(80);
    let error = fetch("www", &service, "/").sync().await.unwrap_err().to_string();
    assert!(error.contains("no-such-server"), "{error}");
}

#[bowline::test]
async fn a_failed_step_says_all_and_can_be_looked_into() {
    let step = Container::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .shell("echo out; echo err >&2; mkdir /reports; echo '<xml/>' > /reports/junit.xml; exit 3")
        .named("tests");
    let error = step.stdout().await.unwrap_err();
    let Error::StepFailed(details) = &error else { panic!("{error}") };
    assert_eq!((details.exit.code, details.stdout.as_str(), details.stderr.as_str()), (3, "out\n", "err\n"));
    let container = error.container().expect("a failed step leaves its file system");
    assert_eq!(container.file("/reports/junit.xml").contents().await.unwrap(), "<xml/>\n");
    let text = error.to_string();
    assert!(
        text.contains("`tests`") && text.contains("exit code 3") && text.contains("stdout:\nout"),
        "{text}"
    );
}

#[bowline::test]
async fn long_streams_are_cut_in_errors_with_a_mark() {
    let step = Container::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .shell("head -c 200000 /dev/zero | tr '\\0' x; echo the end; exit 1");
    let Error::StepFailed(details) = step.sync().await.unwrap_err() else { panic!() };
    assert!(details.stdout.starts_with("[the first 97608 bytes are cut]\n"), "{}", &details.stdout[..60]);
    assert!(details.stdout.ends_with("the end\n"));
}

#[bowline::test]
async fn an_image_that_does_not_exist_is_named() {
    let error =
        Container::from_image("bowline-test/no-such-image:1").exec(["true"]).sync().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("bowline-test/no-such-image:1"), "{text}");
    assert!(
        matches!(error, Error::ImageNotFound { .. } | Error::Engine { .. } | Error::Unauthorized { .. }),
        "{text}"
    );
}

#[bowline::test]
async fn paths_that_are_not_there_are_named() {
    let step =
        Container::from_image("busybox:1.35").env("NONCE", nonce()).exec(["touch", "/file"]).named("made");
    for error in [
        step.file("/none").contents().await.unwrap_err(),
        step.file("/etc").contents().await.unwrap_err(),
        step.directory("/file").entries().await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::NoSuchPath { container, .. } if container == "made"), "{error}");
    }
    let error = step.file("relative").contents().await.unwrap_err().to_string();
    assert!(error.contains("`relative` is not absolute") && error.contains("`/relative`"), "{error}");
}

#[bowline::test]
async fn mistakes_seen_only_at_run_time_use_the_same_words() {
    let web = server("web");
    let mistakes = [
        (Container::from_image("Redis:7").exec(["true"]), "the repository must be lowercase"),
        (Container::empty().exec(["true"]), "`exec` before `image`"),
        (
            Container::from_image("busybox:1.35").bind("my_db", &web).exec(["true"]),
            "`my_db` is not a valid host name",
        ),
        (
            Container::from_image("busybox:1.35").bind("a", &web).bind("a", &server("b")).exec(["true"]),
            "alias `a` is bound twice",
        ),
        (
            Container::from_image("busybox:1.35").bind("a", &web).bind("A", &server("b")).exec(["true"]),
            "alias `A` is bound twice",
        ),
        (Container::from_image("busybox:1.35").bind("1", &web).exec(["true"]), "`1` is an address"),
        (Container::from_image("busybox:1.35").bind("bowline", &web).exec(["true"]), "`bowline` is reserved"),
        (
            Container::from_image("busybox:1.35").with_hostname("db").bind("DB", &web).exec(["true"]),
            "alias `DB` is its own host name",
        ),
        (Container::from_image("busybox:1.35").exec(Vec::<String>::new()), "`exec` needs at least a program"),
        (Container::from_image("busybox:1.35").env("A=B", "1").exec(["true"]), "invalid variable name `A=B`"),
        (Container::from_image("busybox:1.35"), "no command has been run"),
    ];
    for (container, expected) in mistakes {
        let error = container.stdout().await.unwrap_err();
        assert!(matches!(&error, Error::Invalid { .. }) && error.to_string().contains(expected), "{error}");
    }
    let (a, define_a) = Service::declare("a");
    let (b, define_b) = Service::declare("b");
    define_a.set(server("x").bind("b", &b));
    define_b.set(server("y").bind("a", &a));
    let error = fetch("a", &a, "/").sync().await.unwrap_err().to_string();
    assert!(error.contains("services bind each other in a cycle: `x` → `y` → `x`"), "{error}");
}

#[bowline::test]
async fn an_error_tells_a_terminal_nothing_and_keeps_what_was_written() {
    let hostile = "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}[2J\u{1b}[31mred\u{9b}1A \u{202e}gpj";
    let p = Container::from_image("busybox:1.35").env("NONCE", nonce()).env("TEXT", hostile);
    let error = p.shell(r#"printf '%s\n' "$TEXT"; printf 'ok\rno\n' >&2; exit 1"#).sync().await.unwrap_err();
    let Error::StepFailed(step) = &error else { panic!("{error}") };
    assert_eq!((step.stdout.as_str(), step.stderr.as_str()), (&*format!("{hostile}\n"), "ok\rno\n"));
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(shown.contains("\nred1A gpj\n") && shown.contains("\nok no"), "{shown:?}");
        assert!(!shown.contains(|letter: char| letter.is_control() && letter != '\n'), "{shown:?}");
    }
}

#[test]
fn what_is_shown_of_output_tells_a_terminal_nothing() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .arg("stream")
        .env("COMMAND", r"printf 'a\033]0;title\007\033[1;1Hb\n'")
        .envs([("NONCE", nonce()), ("BOWLINE_PROGRESS", "log".to_owned())])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("| ab\n") && !shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
}

#[test]
fn variables_that_mean_nothing_are_told_with_what_they_may_be() {
    let run = |variable: &str, value: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pipeline"));
        let output = command.arg("stream").envs([("COMMAND", "true"), (variable, value)]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (success, said) = run("BOWLINE_PROGRESS", "fancy");
    assert!(!success && said.contains("fancy") && said.contains("`plain`, `log`"), "{said}");
    let (success, said) = run("BOWLINE_ENGINE", "podman");
    assert!(!success && said.contains("`docker` or `native`") && !said.contains("start Docker"), "{said}");
}
