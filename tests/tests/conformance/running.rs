//! A running service: what it writes, commands in it, its address.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use bowline::event::Stream;
use bowline::{Error, Exec, Expect, LogLine, Ready, Secret, Service, Session, StepCause};
use bowline_tests::{busybox, client, nonce, server};

/// A service that writes two lines, and more once there is a file `/go`.
fn talker() -> Service {
    let script = "echo one; echo two $TOKEN >&2; while [ ! -e /go ]; do sleep 0.02; done; printf 'three\\nrest'; exec sleep 1000";
    Service::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .env("TOKEN", &Secret::value("token", "s3cret-s3cret"))
        .run(["sh", "-c", script])
        .ready(Ready::log("two"))
        .named("talker")
}

/// Whether something runs in a service whose command line has a pattern.
async fn has_process(service: &Service, pattern: &str) -> bool {
    let look = format!("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q '{pattern}'");
    service.exec(Exec::shell(look)).expect(Expect::Any).await.unwrap().success()
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[bowline::test]
async fn logs_are_read_while_and_after_a_service_runs() {
    let talker = talker();
    // Which waits for it.
    let first = tokio::spawn({
        let logs = talker.logs().wait_for_start();
        async move { logs.await?.next().await }
    });
    talker.start().await.unwrap();
    assert!(["one", "two ***"].contains(&&*first.await.unwrap().unwrap().unwrap().text));
    let mut logs = talker.logs().await.unwrap();
    let mut lines = vec![logs.next().await.unwrap().unwrap(), logs.next().await.unwrap().unwrap()];
    lines.sort_by(|a, b| a.text.cmp(&b.text));
    assert_eq!(texts(&lines), ["one", "two ***"]);
    assert_eq!([lines[0].stream, lines[1].stream], [Stream::Stdout, Stream::Stderr]);
    let mut news = talker.logs().from_now().await.unwrap();
    talker.exec(["touch", "/go"]).await.unwrap();
    for reader in [&mut logs, &mut news] {
        assert_eq!(reader.next().await.unwrap().unwrap().text, "three");
    }
    let so_far = talker.logs().text().await.unwrap();
    assert!(so_far.ends_with("three\nrest"), "{so_far}");
    talker.stop().await.unwrap();
    for reader in [&mut logs, &mut news] {
        assert_eq!(reader.next().await.unwrap().unwrap().text, "rest");
        assert_eq!(reader.next().await.unwrap(), None);
    }
    assert!(talker.logs().text().await.unwrap().ends_with("three\nrest\n"));
    // A new run has a log of its own.
    talker.start().await.unwrap();
    assert!(!talker.logs().text().await.unwrap().contains("three"));
}

#[bowline::test]
async fn logs_of_what_never_ran_are_an_error_that_says_so() {
    let error = talker().logs().await.unwrap_err().to_string();
    assert!(error.contains("service `talker` has not been started") && error.contains("help: "), "{error}");
    assert!(error.contains("running.rs"), "{error}");
    let dying = Service::from_image("busybox:1.35").env("NONCE", nonce()).expose(80);
    let dying = dying.run(["sh", "-c", "seq 100; exit 3"]);
    assert!(dying.start().await.is_err());
    let lines: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
    assert_eq!(dying.logs().text().await.unwrap(), lines.join("\n") + "\n");
}

#[bowline::test]
async fn a_reader_that_does_not_read_holds_up_nobody_and_misses_nothing() {
    let service = Service::from_image("busybox:1.35").env("NONCE", nonce());
    let service =
        service.run(["sh", "-c", "seq 200000; echo done; exec sleep 1000"]).ready(Ready::log("done"));
    let mut lazy = tokio::spawn(service.logs().wait_for_start().into_future());
    service.start().await.unwrap();
    let mut lazy = (&mut lazy).await.unwrap().unwrap();
    for number in 1..=200_000 {
        let line = lazy.next().await.unwrap().unwrap();
        assert_eq!((line.text.parse(), line.skipped), (Ok(number), 0));
    }
    assert_eq!(lazy.next().await.unwrap().unwrap().text, "done");
}

#[bowline::test]
async fn a_command_in_a_service_has_what_the_service_has() {
    let service = Service::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .env("OWN", "own")
        .user("1000")
        .workdir("/tmp")
        .run(["sleep", "1000"])
        .named("db");
    // It starts the service.
    let output =
        service.exec(["sh", "-c", "id -u; pwd; echo $OWN; cat; echo err >&2"]).stdin("in").await.unwrap();
    assert_eq!((&*output.stdout_text(), &*output.stderr_text()), ("1000\n/tmp\nown\nin", "err\n"));
    let secret = Secret::value("word", "pass-pass-word");
    let shown = "id -u; pwd; echo $OWN; test $WORD = pass-pass-word && echo $WORD";
    let other = service.exec(Exec::shell(shown)).env("OWN", "other").env("WORD", &secret);
    let output = other.user("0").workdir("/etc").await.unwrap();
    assert_eq!(output.stdout_text(), "0\n/etc\nother\n***\n");
    let much = service.exec(["seq", "300000"]).await.unwrap().stdout;
    assert_eq!((much.len(), &much[much.len() - 7..]), (1_988_895, &b"300000\n"[..]));
    // What a step did before is there, and what it leaves running is no reason to wait.
    let began = Instant::now();
    let left = service.exec(["sh", "-c", "touch /tmp/made; sleep 1001 & echo left"]).await.unwrap();
    assert_eq!(left.stdout_text(), "left\n");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(service.exec(["test", "-e", "/tmp/made"]).await.unwrap().success());
    assert!(has_process(&service, "slee[p] 1001").await);
}

#[bowline::test]
async fn a_command_in_a_service_fails_as_a_step_does() {
    let service =
        Service::from_image("busybox:1.35").env("NONCE", nonce()).run(["sleep", "1000"]).named("db");
    let failing = || service.exec(["sh", "-c", "echo out; echo err >&2; exit 3"]);
    let error = failing().await.unwrap_err();
    let Error::StepFailed(details) = &error else { panic!("{error}") };
    assert_eq!((details.exit.code, &*details.stdout, &*details.stderr), (3, "out\n", "err\n"));
    let text = error.to_string();
    assert!(text.contains("in service `db` failed: exit code 3") && text.contains("running.rs:"), "{text}");
    assert!(error.container().is_none());
    assert_eq!(failing().expect(Expect::Any).await.unwrap().exit_code, 3);
    assert_eq!(failing().expect(Expect::Failure).await.unwrap().exit_code, 3);
    let error = service.exec(["true"]).expect(Expect::Failure).await.unwrap_err();
    assert!(matches!(&error, Error::StepFailed(step) if step.cause == StepCause::Succeeded), "{error}");
    let error = service.exec(["no-such-program"]).await.unwrap_err().to_string();
    assert!(error.contains("there is no command `no-such-program`"), "{error}");
    let error = service.exec(["true"]).workdir("/none").await.unwrap_err().to_string();
    assert!(error.contains("/none"), "{error}");
    for (mistake, expected) in [
        (service.exec(Vec::<String>::new()), "`exec` needs at least a program"),
        (service.exec(["a"]).env("A=B", "c"), "invalid variable name `A=B`"),
        (service.exec(["a"]).workdir("b"), "`b` is not absolute"),
        (service.exec(["a"]).timeout("soon"), "soon"),
        (service.exec(Exec::new(["a"]).stdout_to("/b")), "are for steps of containers"),
    ] {
        let error = mistake.await.unwrap_err();
        assert!(matches!(&error, Error::Invalid { .. }) && error.to_string().contains(expected), "{error}");
    }
}

#[bowline::test]
async fn a_command_in_a_service_ends_at_its_timeout_and_when_nobody_waits() {
    let service = Service::from_image("busybox:1.35").env("NONCE", nonce()).run(["sleep", "9999"]);
    let stuck = || service.exec(["sh", "-c", "sleep 1234 & echo begun; sleep 1234"]);
    let error = stuck().timeout("1s").expect(Expect::Any).await.unwrap_err();
    let Error::StepFailed(details) = &error else { panic!("{error}") };
    assert_eq!((details.cause, &*details.stdout), (StepCause::TimedOut(Duration::from_secs(1)), "begun\n"));
    assert!(tokio::time::timeout(Duration::from_secs(1), stuck().into_future()).await.is_err());
    let began = Instant::now();
    while has_process(&service, "slee[p] 1234").await {
        assert!(began.elapsed() < Duration::from_secs(20), "it goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[bowline::test]
async fn a_service_that_ends_ends_the_commands_in_it() {
    let script = "while [ ! -e /die ]; do sleep 0.02; done; echo last words; exit 7";
    let service = Service::from_image("busybox:1.35").env("NONCE", nonce()).run(["sh", "-c", script]);
    let error = service.exec(["sh", "-c", "touch /die; sleep 1000"]).await.unwrap_err();
    assert!(matches!(&error, Error::ServiceExited(_)), "{error}");
    assert!(error.to_string().contains("exit code 7") && error.to_string().contains("last words"), "{error}");
}

#[bowline::test]
async fn an_address_is_where_clients_find_a_service() {
    let web = server("web");
    let address = web.address().await.unwrap();
    let asks = "import socket; print(socket.gethostbyname('www'))";
    assert_eq!(client("www", &web, asks).stdout().await.unwrap().trim(), address.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_has_no_running_services() {
    let session = Session::new();
    let talker = talker();
    session.scope(talker.start()).await.unwrap();
    let mut logs = session.scope(talker.logs().into_future()).await.unwrap();
    let command = talker.exec(["sh", "-c", "touch /begun; sleep 1000"]).into_future();
    let within = session.clone();
    let command = tokio::spawn(async move { within.scope(command).await });
    let begun = || talker.exec(["test", "-e", "/begun"]).expect(Expect::Any).into_future();
    while !session.scope(begun()).await.unwrap().success() {}
    session.close().await.unwrap();
    while logs.next().await.unwrap().is_some() {}
    assert!(matches!(command.await.unwrap().unwrap_err(), Error::Cancelled { .. }));
    for error in [
        session.scope(talker.exec(["true"]).into_future()).await.unwrap_err(),
        session.scope(talker.logs().into_future()).await.unwrap_err(),
        session.scope(talker.address()).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("the session closed"), "{error}");
    }
}

#[bowline::test]
async fn what_a_failed_step_left_goes_on_with_what_the_step_had() {
    let web = server("web").linger("0s");
    let failing = busybox().env("GREETING", "hello").user("1000").workdir("/tmp").bind("www", &web);
    let failing = failing.mount("/run/secrets/word", Secret::value("word", "open-sesame"));
    let error = failing.shell("touch left; exit 3").sync().await.unwrap_err();
    let began = web.address().await.unwrap();
    let left = error.container().unwrap();
    let look = left
        .clone()
        .shell("pwd; id -u; echo $GREETING; ls; wc -c </run/secrets/word; wget -qO- http://www:8080/env");
    assert_eq!(look.stdout().await.unwrap(), "/tmp\n1000\nhello\nleft\n11\nweb");
    assert_eq!(left.directory("/tmp").entries().await.unwrap().len(), 1);
    // The service is the one that the step met, as long as somebody may look.
    assert_eq!(web.address().await.unwrap(), began);
}
