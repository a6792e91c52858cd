//! Clients run once their services are ready, and not before.

use std::time::{Duration, Instant};

use bowline::{Container, Error, Port, Ready, Service, ServiceCause};
use bowline_tests::{age, client, datagrams, fetch, late, nonce, python_service, server};

/// Says when it has reached the service.
const CONNECT: &str = include_str!("../../src/programs/connect.py");

#[bowline::test]
async fn a_port_that_opens_after_five_seconds() {
    let service = late(&["wait=5"]).expose(8080);
    let began = Instant::now();
    fetch("www", &service, "/").sync().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(5));
}

#[bowline::test]
async fn two_ports_of_which_one_opens_late() {
    if !bowline_tests::has_time() {
        return;
    }
    let service = late(&["later=8081,2"]).expose(8080).expose(8081);
    let program = "import socket; socket.create_connection(('www', 8081), timeout=5); print('both')";
    assert_eq!(client("www", &service, program).stdout().await.unwrap(), "both\n");
}

#[bowline::test]
async fn a_udp_service_is_ready_once_its_socket_is_bound() {
    let service = datagrams();
    // One datagram, sent once: it would be lost if the client ran before the service.
    let program = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(b'abc', ('dns', 5353)); print(s.recv(9).decode())";
    assert_eq!(client("dns", &service, program).stdout().await.unwrap(), "cba\n");
}

#[bowline::test]
async fn a_port_that_never_opens_is_named_with_all_that_is_known() {
    let service = late(&["say=waiting for nothing"]).named("late");
    let service = service.expose(8080).expose(9999).ready(Ready::port().within("6s"));
    let error = fetch("www", &service, "/").sync().await.unwrap_err();
    let Error::ServiceNotReady(details) = &error else { panic!("{error}") };
    assert!(
        matches!(&details.cause, ServiceCause::NotReady { failing, .. } if failing.len() == 1),
        "{error}"
    );
    assert!(details.elapsed >= Duration::from_secs(6));
    let text = error.to_string();
    for part in
        [&service.hostname(), "aliased as www", "`late`", "9999/tcp", "refused", "6 s", "waiting for nothing"]
    {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[bowline::test]
async fn a_listener_on_localhost_is_not_ready() {
    let service = late(&["on=127.0.0.1"]).expose(8080).ready(Ready::port().within("4s"));
    let error = fetch("www", &service, "/").sync().await.unwrap_err();
    assert!(matches!(error, Error::ServiceNotReady(_)), "{error}");
    assert!(error.to_string().contains("it listens on 127.0.0.1:8080 only"), "{error}");
}

#[bowline::test]
async fn unprobed_ports_are_not_waited_for() {
    if !bowline_tests::has_time() {
        return;
    }
    let web = server("web").expose(Port::tcp(9999).unprobed());
    assert_eq!(fetch("www", &web, "/env").stdout().await.unwrap(), "web");
}

#[bowline::test]
async fn ready_http_waits_for_a_good_status() {
    let service = age(&["/=0", "/healthz=1.5"])
        .expose(Port::tcp(9999).unprobed())
        .ready(Ready::http("/healthz").on("web"));
    let passed: f64 = fetch("www", &service, "/").stdout().await.unwrap().parse().unwrap();
    assert!(passed > 1.5, "{passed}");
}

#[bowline::test]
async fn what_is_asked_for_holds_together_with_the_ports_and_with_each_other() {
    if !bowline_tests::has_time() {
        return;
    }
    // Each is ready by two of the three things that are asked for.
    let misses = |before: &[&str], within: &str| {
        late(before)
            .expose(8080)
            .ready(Ready::log("up"))
            .ready(Ready::exec(["test", "-e", "/tmp/ready"]).within(within))
    };
    let (log, file) = ("say=up", "touch=/tmp/ready");
    let port = (&[log, file, "wait=60"][..], "1s", "8080/tcp");
    // The server has to be up by then.
    let command = (&[log][..], "5s", "`test -e /tmp/ready`");
    for (before, within, part) in [port, command] {
        let error = misses(before, within).ready(Ready::port().within(within)).start().await.unwrap_err();
        assert!(matches!(error, Error::ServiceNotReady(_)), "{error}");
        assert!(error.to_string().contains(part), "{part} is not in: {error}");
    }
    misses(&[log, file], "30s").start().await.unwrap();
}

#[bowline::test]
async fn a_server_that_hangs_up_on_whoever_connects_is_not_ready_yet() {
    // As a proxy does that has nobody behind it.
    // A probe listens for a moment, as every service's start takes as long; on a busy machine hanging up may take longer.
    for _ in 0..5 {
        let service = late(&["hang-up=1"]).expose(8080);
        let began = Instant::now();
        if fetch("www", &service, "/").sync().await.is_ok() {
            assert!(began.elapsed() >= Duration::from_secs(1));
            return;
        }
    }
    panic!("it was called ready in five of five times");
}

#[bowline::test]
async fn a_service_without_a_port_is_bound_where_it_says_when_it_is_ready() {
    let worker = python_service("import time\nprint('working', flush=True)\nwhile True: time.sleep(60)")
        .env("NONCE", nonce())
        .ready(Ready::log("working"));
    let client = Container::from_image("busybox:1.35").env("NONCE", nonce());
    // The same twice is no mistake.
    let client = client.bind("worker", &worker).bind("worker", &worker).exec(["true"]);
    client.sync().await.unwrap();
}

#[bowline::test]
async fn a_check_whose_program_is_missing_says_so_at_once() {
    let service = server("web").ready(Ready::exec(["no-such-program"]).within("1h"));
    let began = Instant::now();
    let error = service.start().await.unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(error.contains("there is no command `no-such-program`"), "{error}");
}

#[bowline::test]
async fn a_path_with_spaces_is_asked_for_as_one() {
    let service = age(&["/a b#ä=0"]);
    service.ready(Ready::http("/a b#ä").within("10s")).start().await.unwrap();
    let error = server("web").ready(Ready::http("/a\r\nX: y")).start().await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[bowline::test]
async fn a_service_that_goes_on_in_the_background_is_told_not_to() {
    let service = python_service("print('forked')").env("NONCE", nonce()).expose(8080);
    let error = service.start().await.unwrap_err().to_string();
    assert!(error.contains("run it in the foreground"), "{error}");
}

#[bowline::test]
async fn ready_http_names_the_last_status() {
    let web = server("web").ready(Ready::http("/exit-not").within("4s"));
    let error = fetch("www", &web, "/id").sync().await.unwrap_err().to_string();
    assert!(error.contains("/exit-not") && error.contains("4 s"), "{error}");
}

#[bowline::test]
async fn ready_exec_waits_for_exit_code_zero() {
    let service =
        late(&["wait=1", "touch=/tmp/ready"]).expose(8080).ready(Ready::exec(["test", "-e", "/tmp/ready"]));
    let failing = service.clone().env("NONCE", nonce()).ready(Ready::exec(["false"]).within("10s"));
    assert_eq!(client("www", &service, CONNECT).stdout().await.unwrap(), "up\n");
    let error = client("www", &failing, CONNECT).sync().await.unwrap_err().to_string();
    assert!(error.contains("`false`") && error.contains("exit code 1"), "{error}");
}

/// A process every few milliseconds would only slow down what is starting.
#[bowline::test]
async fn commands_are_run_once_the_ports_accept() {
    let service = late(&["wait=1"]).expose(8080).ready(Ready::exec(["sh", "-c", "echo x >>/tmp/runs"]));
    let started = service.start().await;
    assert!(started.is_ok(), "{started:?}");
    assert_eq!(service.exec(["cat", "/tmp/runs"]).await.unwrap().stdout, b"x\n");
    let never = Service::from_image("busybox:1.35").env("NONCE", nonce()).run(["sleep", "600"]).expose(80);
    let error = never.ready(Ready::exec(["true"]).within("1s")).start().await.unwrap_err().to_string();
    assert!(error.contains("80/tcp: connection refused") && !error.contains("`true`"), "{error}");
}

#[bowline::test]
async fn ready_log_counts_texts_on_both_streams() {
    if !bowline_tests::has_time() {
        return;
    }
    let said = ["write=server rea", "wait=0.3", "say=dy", "wait=0.7", "warn=server ready"];
    let service = late(&said).expose(8080).ready(Ready::log("server ready").times(2));
    let began = Instant::now();
    assert_eq!(client("www", &service, CONNECT).stdout().await.unwrap(), "up\n");
    assert!(began.elapsed() >= Duration::from_secs(1));
    let never = late(&["say=other"]).expose(8080).ready(Ready::log("server ready").within("5s"));
    let error = client("www", &never, CONNECT).sync().await.unwrap_err().to_string();
    assert!(error.contains("\"server ready\"") && error.contains("other"), "{error}");
}

#[bowline::test]
async fn ready_image_uses_the_images_own_health_check_and_falls_back_to_ports() {
    // No registry is needed for an image of one's own: the engine builds one on another's layers.
    let build = |tag: &str, healthcheck: &str| {
        let tag = format!("bowline-test/{tag}");
        let made = bowline_tests::docker(&["create", "busybox:1.35", "httpd", "-f", "-p", "8080"]);
        let _ = bowline_tests::docker(&["commit", "--change", healthcheck, made.trim(), &tag]);
        let _ = bowline_tests::docker(&["rm", made.trim()]);
        tag
    };
    let healthy = build(
        "healthy:1",
        r#"HEALTHCHECK --interval=30s CMD ["sh", "-c", "test -e /tmp/healthy || { touch /tmp/healthy; exit 1; }"]"#,
    );
    let sick = build("sick:1", "HEALTHCHECK --interval=200ms --retries=2 CMD echo I am sick; exit 42");
    let none = build("none:1", "HEALTHCHECK NONE");
    let ask = |image: &str| {
        let service =
            Service::from_image(image).env("NONCE", nonce()).expose(8080).ready(Ready::image().within("20s"));
        Container::from_image("busybox:1.35")
            .env("NONCE", nonce())
            .bind("www", &service)
            .exec(["nc", "www", "8080", "-e", "true"])
    };
    let began = Instant::now();
    ask(&healthy).sync().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "a ready service is seen long before the interval of 30 s"
    );
    ask(&none).sync().await.unwrap();
    let error = ask(&sick).sync().await.unwrap_err();
    assert!(matches!(&error, Error::ServiceStart(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("failed 2 times") && text.contains("exit code 42: I am sick"), "{text}");
}

#[bowline::test]
async fn equal_services_with_other_ports_are_each_checked() {
    if !bowline_tests::has_time() {
        return;
    }
    let web = server("web");
    let demanding = web.clone().expose(9999).ready(Ready::port().within("1s"));
    assert_eq!(web.hostname(), demanding.hostname());
    assert_eq!(fetch("www", &web, "/env").stdout().await.unwrap(), "web");
    let error = fetch("www", &demanding, "/env").sync().await.unwrap_err();
    assert!(error.to_string().contains("9999/tcp"), "{error}");
}
