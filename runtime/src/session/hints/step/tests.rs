//! Tests of hints for failed commands, with the words of real programs.

use super::*;
use crate::graph::lower_container;
use crate::{Container, Service};

/// A step that is bound to `redis` as `cache`, and what programs may write there.
fn help(args: &[&str], env: &[(&str, &str)], output: &str) -> Vec<String> {
    let redis = Service::from_image("redis:7").expose(6379).named("hints-redis");
    let _elsewhere = Service::from_image("redis:7").named("hints-elsewhere");
    let client = Container::from_image("busybox:1.35").bind("cache", &redis).exec(["true"]);
    let node = lower_container(&client).unwrap();
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let aliases = [("queue", "rabbit"), ("cache", "hints-redis"), ("rabbit", "rabbit")];
    let failed = Failed {
        name: "ping",
        args: &args,
        env: env.to_vec(),
        stdout: "",
        stderr: output,
        bindings: &node.last.as_ref().unwrap().bindings,
        aliases: aliases.map(|(alias, service)| (alias.to_owned(), service.into())).into(),
    };
    failed.help()
}

#[test]
fn a_client_that_asks_itself_is_told_the_alias() {
    let told =
        ["`localhost` is the container of `ping` itself: service `hints-redis` is at `cache:6379` there"];
    let same =
        ["`127.0.0.1` is the container of `ping` itself: service `hints-redis` is at `cache:6379` there"];
    assert_eq!(help(&["redis-cli", "-h", "localhost", "-p", "6379", "ping"], &[], ""), told);
    assert_eq!(help(&["curl", "http://localhost:6379/"], &[], ""), told);
    assert_eq!(help(&["./test"], &[("REDIS_URL", "redis://u:p@localhost:6379/0")], ""), told);
    assert_eq!(help(&["./test"], &[("REDIS_HOST", "localhost"), ("REDIS_PORT", "6379")], ""), told);
    assert_eq!(
        help(&["redis-cli", "ping"], &[], "Could not connect to Redis at 127.0.0.1:6379: Connection refused"),
        same
    );
    assert_eq!(help(&["node", "x.js"], &[], "Error: connect ECONNREFUSED 127.0.0.1:6379"), same);
    let python =
        "  File \"x.py\", line 3\n    s.connect(('localhost', 6379))\nConnectionRefusedError: [Errno 111]";
    assert_eq!(help(&["python3", "x.py"], &[], python), told);
    let psql = "connection to server at \"localhost\" (127.0.0.1), port 6379 failed: Connection refused";
    assert_eq!(help(&["psql"], &[], psql), told);
}

#[test]
fn another_port_or_another_host_is_none_of_a_service() {
    for text in [
        "http://localhost:8080/",
        "localhost",
        "6379",
        "localhost.example:6379",
        "my-localhost:6379",
        "127.0.0.10:6379",
        "cache:6379",
        "localhost:16379",
        "see http://localhost/ for what this program does by itself when it is asked, 6379",
    ] {
        assert_eq!(help(&["x", text], &[("A", text)], text), [""; 0], "{text}");
    }
}

#[test]
fn a_name_that_cannot_be_resolved_is_told_where_it_can() {
    let alias = "`queue` is service `rabbit` where that is bound under this name, but not in `ping`: add `bind rabbit as \"queue\";`";
    for output in [
        "curl: (6) Could not resolve host: queue",
        "wget: bad address 'queue'",
        "wget: bad address 'queue:80'",
        "Could not connect to Redis at queue:6379: Name or service not known",
        "Could not connect to Redis at queue:6379: Temporary failure in name resolution",
        "psql: error: could not translate host name \"queue\" to address: Name or service not known",
        "Error: getaddrinfo ENOTFOUND queue\n    at GetAddrInfoReqWrap.onlookup",
        "dial tcp: lookup queue on 10.0.0.1:53: no such host",
        "ping: queue: Name or service not known",
        "java.net.UnknownHostException: queue",
        "ERROR 2005 (HY000): Unknown MySQL server host 'queue' (-2)",
        "nginx: [emerg] host not found in upstream \"queue\" in /etc/nginx/conf.d/x.conf:3",
        "** rabbit can't find queue: NXDOMAIN",
        "(ping) queue: Name does not resolve",
    ] {
        assert_eq!(help(&["x"], &[], output), [alias], "{output}");
    }
    // Python does not say which.
    let gaierror = "socket.gaierror: [Errno -2] Name or service not known";
    for args in
        [&["python3", "-c", "connect(('queue', 1))"], &["x", "-h", "queue"], &["x", "y", "http://queue/"]]
    {
        assert_eq!(help(args, &[], gaierror), [alias], "{args:?}");
    }
    assert_eq!(help(&["x"], &[("BROKER", "queue")], gaierror), [alias]);
}

#[test]
fn a_service_that_is_not_bound_or_has_another_name_is_told_by_its_name() {
    let unresolved = |name: &str| format!("curl: (6) Could not resolve host: {name}");
    assert_eq!(
        help(&["x"], &[], &unresolved("rabbit")),
        ["`rabbit` is a service that `ping` is not bound to: add `bind rabbit;`"]
    );
    // Nothing has bound it yet.
    assert_eq!(
        help(&["x"], &[], &unresolved("hints-elsewhere")),
        ["`hints-elsewhere` is a service that `ping` is not bound to: add `bind hints-elsewhere;`"]
    );
    assert_eq!(
        help(&["x"], &[], &unresolved("hints-redis")),
        ["`ping` has service `hints-redis` under another name: use `cache`, or add `bind hints-redis;`"]
    );
}

#[test]
fn what_is_nobodys_name_or_no_such_failure_is_not_guessed_at() {
    for output in [
        "curl: (6) Could not resolve host: example.org",
        "curl: (6) Could not resolve host: queue.example.org",
        "curl: (6) Could not resolve host: Queue",
        "curl: (7) Failed to connect to queue port 80: Connection refused",
        "wget: bad address 'cache'",
        "the queue is full",
        "",
    ] {
        assert_eq!(help(&["sh", "-c", "queue"], &[("KIND", "a queue")], output), [""; 0], "{output}");
    }
}

#[test]
fn streams_and_names_without_number_take_no_time() {
    let long = "localhost:1 queue bad address \n".repeat(100 << 10 >> 5);
    let aliases = (0..4096).map(|number| (format!("alias-{number}"), "service".into())).collect();
    let args = [long.clone()];
    let failed = Failed {
        name: "ping",
        args: &args,
        env: vec![("A", &long)],
        stdout: &long,
        stderr: &long,
        bindings: &[],
        aliases,
    };
    let began = std::time::Instant::now();
    let _ = failed.help();
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}
