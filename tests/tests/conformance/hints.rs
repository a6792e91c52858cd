//! Errors recognise what people get wrong most often, and say what to do.

use std::process::Command;

use bowline::prelude::*;
use bowline_tests::{client, nonce, python_service, shared_redis};

/// The error of a service that is given four seconds.
async fn never_ready(service: Service) -> String {
    let service = service.env("NONCE", nonce()).ready(Ready::port().within("4s"));
    let error = service.start().await.unwrap_err();
    assert!(matches!(error, Error::ServiceNotReady(_)), "{error}");
    error.to_string()
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[bowline::test]
async fn a_service_on_its_loopback_address_is_told_to_listen_everywhere() {
    let redis = Service::from_image("redis:7")
        .run(["redis-server", "--bind", "127.0.0.1"])
        .expose(6379)
        .named("cache");
    let text = never_ready(redis).await;
    let expected = [
        "\n  --> tests/",
        "\n  6379/tcp: connection refused; it listens on 127.0.0.1:6379 only\n",
        "Ready to accept connections",
        "\n\nhelp: `cache` listens on 127.0.0.1:6379 only, which no other container reaches: let it listen on 0.0.0.0 (`--bind 0.0.0.0`)",
    ];
    assert_has(&text, &expected);
}

#[bowline::test]
async fn a_service_on_another_port_is_told_which_to_expose() {
    let web =
        Service::from_image("python:3.11").run(["python3", "-m", "http.server"]).expose(8080).named("web");
    let expected = [
        "\n  8080/tcp: connection refused; it listens on 8000/tcp\n",
        "help: `web` listens on 8000/tcp, but 8080 is exposed: `expose 8000;`, or let it listen on 8080",
    ];
    assert_has(&never_ready(web).await, &expected);
}

#[bowline::test]
async fn a_service_that_listens_nowhere_is_told_so() {
    let idle = Service::from_image("busybox:1.35").run(["sleep", "600"]).expose(80).named("idle");
    let text = never_ready(idle).await;
    assert_has(
        &text,
        &["\n  80/tcp: connection refused; it listens on no port\n", "help: `idle` listens on no port yet"],
    );
}

#[bowline::test]
async fn ports_of_datagrams_are_looked_for_likewise() {
    let bound = |address: &str| {
        let program = format!(
            "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind({address}); time.sleep(600)"
        );
        python_service(&program).expose(Port::udp(53)).named("dns")
    };
    let text = never_ready(bound("('0.0.0.0', 5353)")).await;
    assert_has(&text, &["53/udp: no socket is bound to it; it listens on 5353/udp\n", "`expose 5353/udp;`"]);
    let text = never_ready(bound("('127.0.0.1', 53)")).await;
    assert_has(&text, &["53/udp: no socket is bound to it; it listens on 127.0.0.1:53 only\n", "0.0.0.0"]);
    let http =
        Service::from_image("python:3.11").run(["python3", "-m", "http.server", "53"]).expose(Port::udp(53));
    assert_has(&never_ready(http).await, &["it listens on 53/tcp\n", "53/udp is exposed: `expose 53;`"]);
}

/// Engines look themselves: the image has nothing to look with.
#[bowline::test]
async fn an_image_without_tools_is_looked_into_all_the_same() {
    let bare = Container::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .shell("cp /bin/busybox /httpd; rm -r /bin; true")
        .named("bare");
    let service = Service::from_container(&bare).run(["/httpd", "-f", "-p", "127.0.0.1:80"]).expose(80);
    assert_has(&never_ready(service).await, &["it listens on 127.0.0.1:80 only"]);
}

#[bowline::test]
async fn a_page_at_a_port_that_nobody_serves_is_explained_too() {
    let service = Service::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .run(["httpd", "-f", "-p", "8000"])
        .expose(Port::tcp(8080).unprobed())
        .ready(Ready::http("/healthz").within("4s"));
    let text = service.start().await.unwrap_err().to_string();
    assert_has(&text, &["GET :8080/healthz: connection refused; it listens on 8000/tcp\n", "`expose 8000;`"]);
}

/// Its owner, which is another process, looks for all.
#[bowline::test]
async fn what_a_shared_service_listens_on_is_known_too() {
    let shared = shared_redis(&nonce()).run(["redis-server", "--port", "7000"]);
    assert_has(&never_ready(shared).await, &["6379/tcp: connection refused; it listens on 7000/tcp"]);
}

#[bowline::test]
async fn a_host_service_that_is_not_there_is_told_where_it_was_looked_for() {
    // Nobody listens at a port that was free a moment ago.
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let server = host_service(free).ready(Ready::port().within("1s")).named("outside");
    let text = server.start().await.unwrap_err().to_string();
    let expected = format!("help: nothing answers at localhost:{free}: start the server of `outside`");
    assert_has(&text, &[&expected]);
}

#[bowline::test]
async fn a_client_that_asks_localhost_is_told_the_alias() {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis");
    let step = Container::from_image("redis:7")
        .bind("cache", &redis)
        .exec(["redis-cli", "-h", "localhost", "-p", "6379", "ping"])
        .named("ping");
    let error = step.sync().await.unwrap_err();
    let Error::StepFailed(details) = &error else { panic!("{error}") };
    let [service] = details.services.as_slice() else { panic!("{details:?}") };
    assert_eq!(
        (service.name.as_str(), &*service.aliases, &service.ended),
        ("redis", &["cache".to_owned()][..], &None)
    );
    assert_eq!(service.hostname, redis.hostname());
    let expected = [
        "step `redis-cli -h localhost -p 6379 ping` of `ping` failed: exit code 1\n  --> ",
        "\nservices:\n  `redis` as cache: ready\n",
        "\n\nhelp: `localhost` is the container of `ping` itself: service `redis` is at `cache:6379` there",
    ];
    assert_has(&error.to_string(), &expected);
}

#[bowline::test]
async fn a_client_that_asks_for_what_it_does_not_bind_is_told_to() {
    let name = format!("broker-{}", nonce().split('-').next().unwrap());
    let web = bowline_tests::server(&name);
    client("queue", &web, "get('http://queue:8080/id')").sync().await.unwrap();
    let ask = |host: &str| {
        let args = ["redis-cli", "-h", host, "ping"];
        Container::from_image("redis:7").env("NONCE", nonce()).exec(args).named("ask")
    };
    let text = ask("queue").sync().await.unwrap_err().to_string();
    let expected = format!(
        "help: `queue` is service `{name}` where that is bound under this name, but not in `ask`: add `bind {name} as \"queue\";`"
    );
    assert_has(&text, &[&expected]);
    // A service that nothing has needed, in whatever language.
    let _defined = Service::from_image("redis:7").named("never-needed");
    let python = "import urllib.request as u; u.urlopen('http://never-needed:80/')";
    let python = Container::from_image("python:3.11").env("NONCE", nonce()).exec(["python3", "-c", python]);
    for step in [ask("never-needed"), python.named("ask")] {
        let text = step.sync().await.unwrap_err().to_string();
        assert_has(
            &text,
            &["help: `never-needed` is a service that `ask` is not bound to: add `bind never-needed;`"],
        );
    }
    // What it has under another name, and what is nobody's.
    let text =
        client("queue", &web, &format!("get('http://{name}:8080/')")).sync().await.unwrap_err().to_string();
    assert_has(&text, &["under another name: use `queue`, or add `bind ", "`client` has service `broker-"]);
    let text = ask("nobody.invalid").sync().await.unwrap_err().to_string();
    assert!(!text.contains("help: "), "{text}");
}

#[bowline::test]
async fn exit_codes_of_shells_are_explained() {
    let run = |script: &str| Container::from_image("busybox:1.35").env("NONCE", nonce()).shell(script);
    let text = run("no-such-command").sync().await.unwrap_err().to_string();
    assert_has(&text, &["exit code 127", "help: a command was not found"]);
    let text = run("echo >/file; /file").sync().await.unwrap_err().to_string();
    assert_has(&text, &["exit code 126", "help: a file cannot be executed"]);
    let ended = Service::from_image("busybox:1.35").env("NONCE", nonce()).run(["sh", "-c", "nothing-there"]);
    let text = ended.expose(80).start().await.unwrap_err().to_string();
    assert_has(&text, &["exit code 127", "nothing-there", "help: a command was not found"]);
}

#[bowline::test]
async fn who_had_too_much_memory_is_told_which_limit_to_raise() {
    if !bowline_tests::may_limit() {
        return;
    }
    let step = Container::from_image("python:3.11").env("NONCE", nonce()).limit_memory("32MiB").exec([
        "python3",
        "-c",
        "x = bytearray(256 << 20)",
    ]);
    let text = step.sync().await.unwrap_err().to_string();
    assert_has(&text, &["out of memory", "help: it had more memory than it may have: raise `limit memory`"]);
}

#[bowline::test]
async fn secrets_and_files_that_are_not_there_are_named_with_what_to_do() {
    let p = pipeline! {
        secret token = secret::env("BOWLINE_TEST_NO_SUCH_VARIABLE");
        secret key = secret::file("./no-such-key");
        dir source = host("./no-such-directory");
        container fetch { image "busybox:1.35"; env TOKEN = &token; exec ["true"]; }
        container sign { image "busybox:1.35"; mount key at "/key"; exec ["true"]; }
        container build { image "busybox:1.35"; copy source to "/source"; exec ["true"]; }
    };
    let here = std::env::current_dir().unwrap();
    let here = here.display();
    let text = p.fetch.sync().await.unwrap_err().to_string();
    let expected = [
        "in `fetch`: secret `BOWLINE_TEST_NO_SUCH_VARIABLE`: the environment variable `BOWLINE_TEST_NO_SUCH_VARIABLE` is not set\n  --> ",
        "\n\nhelp: set it where the program is started",
    ];
    assert_has(&text, &expected);
    let text = p.sign.sync().await.unwrap_err().to_string();
    let expected = format!("in `sign`: secret `./no-such-key`: no such file (in {here})\n  --> ");
    assert_has(&text, &[&expected, "\n\nhelp: put the secret there"]);
    let text = p.build.sync().await.unwrap_err().to_string();
    let expected = format!("./no-such-directory: no such directory (in {here}), taken by `build`\n  --> ");
    assert_has(&text, &[&expected, "\n\nhelp: check the path"]);
}

/// What a program says whose only step writes a hundred lines to each stream and fails.
fn said(lines: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("stream").env_remove("BOWLINE_ERROR_LINES").env("NONCE", nonce());
    command.env("COMMAND", "for n in $(seq 100); do echo out $n; echo err $n >&2; done; exit 1");
    command.envs(lines.map(|lines| ("BOWLINE_ERROR_LINES", lines))).env("BOWLINE_PROGRESS", "quiet");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn errors_show_the_last_forty_lines_of_each_stream_or_as_many_as_is_asked_for() {
    let count = |text: &str| ["\nout ", "\nerr "].map(|line| text.matches(line).count());
    let text = said(None);
    assert_eq!(count(&text), [40, 40], "{text}");
    assert_has(
        &text,
        &["stdout (the last 40 of 100 lines; BOWLINE_ERROR_LINES=all shows all):\nout 61\n", "\nout 100\n"],
    );
    assert_has(&text, &["stderr (the last 40 of 100 lines; ", ":\nerr 61\n", "\nerr 100\n"]);
    let text = said(Some("3"));
    assert_eq!(count(&text), [3, 3], "{text}");
    let text = said(Some("0"));
    assert_eq!(count(&text), [0, 0], "{text}");
    assert_has(&text, &["stdout: 100 lines, not shown (BOWLINE_ERROR_LINES=0)"]);
    let text = said(Some("all"));
    assert_eq!(count(&text), [100, 100], "{text}");
    let text = said(Some("many"));
    assert_eq!(count(&text), [0, 0], "nothing has run: {text}");
    assert_has(
        &text,
        &["BOWLINE_ERROR_LINES=many means nothing: it may be a number of lines, 0 for none, or `all`\n"],
    );
}
