//! Services meet their clients: names, sharing, isolation.

use bowline::{Container, Exposes, Service, Session, pipeline};
use bowline_tests::{
    address, client, containers, fetch, is_running, late, nonce, platform, relay, running, server,
};
use futures_util::future::{join_all, try_join_all};

#[bowline::test]
async fn a_client_pings_redis() {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379);
    let ping = Container::from_image("redis:7").bind("redis-srv", &redis).exec([
        "redis-cli",
        "-h",
        "redis-srv",
        "ping",
    ]);
    assert_eq!(ping.stdout().await.unwrap(), "PONG\n");
}

/// What the compiler was told of a port holds when it is used: through a typed handle, and through one that was asked.
#[bowline::test]
async fn ports_in_types_are_where_the_service_listens() {
    fn pong(redis: &impl Exposes<6379>) -> Container {
        let port = redis.service().endpoint_on(6379).port();
        Container::from_image("redis:7").bind("redis-srv", redis.service()).exec([
            "redis-cli".to_owned(),
            "-h".into(),
            "redis-srv".into(),
            "-p".into(),
            port.to_string(),
            "ping".into(),
        ])
    }
    pipeline! {
        fn stores(nonce: &str) -> Stores;
        service typed { image "redis:7"; env NONCE = nonce; expose 6379 as tcp; }
        service plain { image "redis:7"; env NONCE = nonce; instance "plain"; expose 6379; }
        container inside {
            image "redis:7";
            bind typed as "store";
            exec ["redis-cli", "-u", format!("redis://store:{}", typed.endpoint_on(6379).port()), "ping"];
        }
    }
    let p = stores(&nonce());
    let asked = p.plain.exposing().unwrap();
    assert_eq!(pong(&p.typed).stdout().await.unwrap(), "PONG\n");
    assert_eq!(pong(&asked).stdout().await.unwrap(), "PONG\n");
    assert_eq!(p.inside.stdout().await.unwrap(), "PONG\n");
    assert!(p.plain.exposing::<6380>().unwrap_err().to_string().contains("it exposes 6379"));
}

#[bowline::test]
async fn alias_and_hostname_both_resolve_in_the_client() {
    let web = server("web");
    let program =
        format!("print(get('http://www:8080/host'), get('http://{}/host'))", web.endpoint().unwrap());
    let output = client("www", &web, &program).stdout().await.unwrap();
    assert_eq!(output, format!("www:8080 {}:8080\n", web.hostname()));
}

#[bowline::test]
async fn a_value_that_is_not_asked_for_starts_nothing() {
    let session = Session::current();
    let web = server("web");
    let unused = fetch("www", &web, "/id");
    let plan = unused.plan();
    assert_eq!((plan.services.len(), plan.steps.len()), (1, 1));
    drop(unused);
    let unbound = Container::from_image("busybox:1.35").env("NONCE", nonce()).exec(["true"]);
    unbound.sync().await.unwrap();
    assert!(!is_running(&session, &web));
    assert!(!containers(&session).iter().any(|name| name.ends_with(&web.hostname())));
}

/// Here they differ in whether the platform is named that it is anyhow; as two tags of one image do.
#[bowline::test]
async fn definitions_that_come_to_the_same_are_one_instance() {
    let (session, nonce) = (Session::current(), nonce());
    let define = || Service::from_image("redis:7").env("NONCE", &nonce).expose(6379);
    let (plain, named) = (define(), define().platform(platform()));
    assert_ne!(plain.hostname(), named.hostname());
    let base = Container::from_image("redis:7").env("NONCE", &nonce);
    let set = base.clone().bind("plain", &plain).shell("redis-cli -h plain set key value");
    // Each answers to its alias and to its own host name, also where both are bound at once.
    let get = base.after(&set).bind("plain", &plain).bind("named", &named).shell(format!(
        "for host in plain named {} {}; do redis-cli -h $host get key; done",
        plain.hostname(),
        named.hostname()
    ));
    assert_eq!(get.stdout().await.unwrap(), "value\n".repeat(4));
    assert_eq!(running(&session), 1);
    named.start().await.unwrap();
    assert_eq!(running(&session), 1);
    plain.stop().await.unwrap();
    assert_eq!(running(&session), 0);
}

/// What was set through one of them is set again for a client of the other one.
#[bowline::test]
async fn a_step_is_replayed_for_a_client_of_an_equal_definition() {
    let nonce = nonce();
    let define = || Service::from_image("redis:7").env("NONCE", &nonce).expose(6379);
    let (plain, named) = (define(), define().platform(platform()));
    let base = Container::from_image("redis:7").env("NONCE", &nonce);
    let set = base.clone().bind("db", &plain).shell("redis-cli -h db set key value");
    let session = Session::new();
    session.scope(set.sync()).await.unwrap();
    session.close().await.unwrap();
    let get = base.after(&set).bind("db", &named).shell("redis-cli -h db get key");
    assert_eq!(get.stdout().await.unwrap(), "value\n");
}

#[bowline::test]
async fn ten_concurrent_clients_meet_one_instance() {
    if !bowline_tests::has_time() {
        return;
    }
    let web = server("web");
    let clients: Vec<_> = (0..10).map(|_| fetch("www", &web, "/id")).collect();
    let ids = try_join_all(clients.iter().map(Container::stdout)).await.unwrap();
    assert_eq!(ids.len(), 10);
    assert!(ids.iter().all(|id| id.len() == 36 && *id == ids[0]), "{ids:?}");
}

#[bowline::test]
async fn equal_definitions_are_one_and_instances_are_two() {
    if !bowline_tests::has_time() {
        return;
    }
    let nonce = nonce();
    let define = || server("web").env("NONCE", &nonce);
    let (a, b, other) = (define(), define(), define().instance("other"));
    assert_eq!(a.hostname(), b.hostname());
    assert_ne!(a.hostname(), other.hostname());
    let clients = [fetch("www", &a, "/id"), fetch("www", &b, "/id"), fetch("www", &other, "/id")];
    let ids = try_join_all(clients.iter().map(Container::stdout)).await.unwrap();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[bowline::test]
async fn two_clients_meet_in_one_service() {
    let web = server("web");
    let (reader, writer) = (fetch("www", &web, "/get"), fetch("www", &web, "/put/hello"));
    let (read, written) = tokio::join!(reader.stdout(), writer.stdout());
    assert_eq!((read.unwrap().as_str(), written.unwrap().as_str()), ("hello", "kept"));
}

#[bowline::test]
async fn one_alias_for_two_services_in_two_clients_at_once() {
    let (a, b) = (server("a"), server("b"));
    let clients = [fetch("www", &a, "/env"), fetch("www", &b, "/env")];
    let names = try_join_all(clients.iter().map(Container::stdout)).await.unwrap();
    assert_eq!(names, ["a", "b"]);
}

#[bowline::test]
async fn one_service_under_two_aliases_is_started_once() {
    let web = server("web");
    let both = Container::from_image("python:3.11").env("NONCE", nonce()).bind("one", &web).bind("two", &web).exec([
        "python3",
        "-c",
        "import urllib.request as u; get = lambda h: u.urlopen(f'http://{h}:8080/id').read(); print(get('one') == get('two'))",
    ]);
    assert_eq!(both.stdout().await.unwrap(), "True\n");
}

/// Tries to reach a host; prints `reached` or why not.
fn reach(host: &str) -> Container {
    let program = format!(
        "import socket\ntry: socket.create_connection(('{host}', 8080), timeout=2); print('reached')\nexcept OSError as error: print('no', error)"
    );
    Container::from_image("python:3.11").env("NONCE", nonce()).exec(["python3", "-c", &program])
}

/// What somebody who should not reach a service says that they met. For a moment, whenever a network is made, Docker's daemon
/// takes away the rule that keeps its networks apart (libnetwork, `EnsureJumpRule`), so nobody may reach it three times.
async fn met(look: impl AsyncFn() -> String) -> String {
    let mut said = look().await;
    for _ in 0..2 {
        if said.starts_with("no ") {
            break;
        }
        said = look().await;
    }
    said
}

#[bowline::test]
async fn an_unbound_client_reaches_no_service() {
    let session = Session::current();
    let web = server("web");
    web.start().await.unwrap();
    assert!(is_running(&session, &web));
    let by_address = address(&session, &web);
    for host in [by_address, web.hostname(), "www".to_owned(), "web".to_owned()] {
        let output = met(async || reach(&host).stdout().await.unwrap()).await;
        assert!(output.starts_with("no "), "{host}: {output}");
    }
    // The service itself is fine: who is bound reaches it.
    assert_eq!(fetch("www", &web, "/env").stdout().await.unwrap(), "web");
}

#[bowline::test]
async fn an_alias_resolves_in_its_own_client_alone() {
    let (bound, other) = (server("bound"), server("other"));
    // While a client that calls `other` by this alias runs, a client bound to something else does not know it.
    let program = "import socket\ntry: socket.getaddrinfo('other-alias', 8080); print('resolved')\nexcept OSError: print('unknown')";
    let (there, here) = (fetch("other-alias", &other, "/get"), client("www", &bound, program));
    let there = tokio::spawn(there.stdout());
    assert_eq!(here.stdout().await.unwrap(), "unknown\n");
    assert_eq!(fetch("www", &other, "/put/end").stdout().await.unwrap(), "kept");
    assert_eq!(there.await.unwrap().unwrap(), "end");
}

#[bowline::test]
async fn sessions_never_reach_each_others_services() {
    let (mine, theirs) = (Session::current(), Session::new());
    let web = server("web");
    theirs.scope(web.start()).await.unwrap();
    let by_address = address(&theirs, &web);
    let own = server("own");
    for host in [by_address, web.hostname()] {
        let program = format!(
            "try: print(u.urlopen('http://{host}:8080/env', timeout=2).read().decode())\nexcept OSError as error: print('no', error)"
        );
        let output = met(async || client("www", &own, &program).stdout().await.unwrap()).await;
        // Where every session has a network of its own, an address of theirs may be one of ours.
        assert!(output.starts_with("no ") || output == "own\n", "{host}: {output}");
    }
    assert!(!is_running(&mine, &web));
    // The same definition in this session is another instance, under the same name.
    let (here, there) = (fetch("www", &web, "/id"), fetch("www", &web, "/id"));
    let (here, there) = (here.stdout().await.unwrap(), theirs.scope(there.stdout()).await.unwrap());
    assert_ne!(here, there);
    theirs.close().await.unwrap();
}

#[bowline::test]
async fn services_bind_services_ten_deep() {
    if !bowline_tests::has_time() {
        return;
    }
    let mut top = relay(&[]).named("s0");
    for depth in 1..10 {
        top = relay(&["http://next:8080/"]).bind("next", &top).named(format!("s{depth}"));
    }
    assert_eq!(fetch("top", &top, "/").stdout().await.unwrap(), "x".repeat(10));
}

#[bowline::test]
async fn bindings_start_in_parallel() {
    if !bowline_tests::has_time() {
        return;
    }
    // Each needs five seconds to get ready and serves when it began: nobody waited for another to be ready.
    let slow = |name: &str| late(&["time=/srv/began", "wait=5"]).workdir("/srv").expose(8080).named(name);
    let (a, b, c) = (slow("a"), slow("b"), slow("c"));
    let program = "import urllib.request as u; began = [float(u.urlopen(f'http://{h}:8080/began').read()) for h in 'abc']; print(max(began) - min(began))";
    let all = Container::from_image("python:3.11")
        .bind("a", &a)
        .bind("b", &b)
        .bind("c", &c)
        .exec(["python3", "-c", program]);
    let spread: f64 = all.stdout().await.unwrap().trim().parse().unwrap();
    assert!(spread < 5.0, "{spread} s between the first and the last");
}

#[bowline::test]
async fn hostnames_are_the_same_in_ten_reads_and_five_processes() {
    let example = |_| {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_pipeline")).arg("hostname").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let processes: Vec<_> = (0..5).map(example).collect();
    let here = Service::from_image("redis:7").env("A", "1").expose(6379);
    assert!(processes.iter().all(|name| name.trim() == here.hostname()), "{processes:?}");
    assert!((0..10).all(|_| here.hostname() == processes[0].trim()));
    let changed = [
        here.clone().expose(1).hostname() == here.hostname(),
        here.clone().ready(bowline::Ready::log("x")).hostname() == here.hostname(),
        here.clone().run(["redis-server", "--save", ""]).hostname() != here.hostname(),
        here.clone().env("A", "2").hostname() != here.hostname(),
        here.clone().instance(2).hostname() != here.hostname(),
    ];
    assert_eq!(changed, [true; 5]);
}

#[bowline::test]
async fn changing_a_port_keeps_the_clients_cache() {
    if !bowline_tests::has_time() {
        return;
    }
    let web = server("web");
    let nonce = nonce();
    let ask = |service: &Service| {
        Container::from_image("python:3.11").env("NONCE", &nonce).bind("www", service).exec([
            "python3",
            "-c",
            "import urllib.request as u; print(u.urlopen('http://www:8080/id').read().decode())",
        ])
    };
    let first = ask(&web).stdout().await.unwrap();
    ask(&web).sync().await.unwrap();
    // Another session, so that nothing is remembered but what the engine keeps.
    let second = Session::new();
    let since = std::time::SystemTime::now();
    let output =
        second.scope(ask(&web.clone().expose(bowline::Port::tcp(9).unprobed())).stdout()).await.unwrap();
    assert_eq!(output, first);
    let created = bowline_tests::created_since(&second, since);
    assert!(created.is_none_or(|created| created == 0), "a cached run starts no container and no service");
    second.close().await.unwrap();
    let edited = ask(&web.env("NAME", "edited")).stdout().await.unwrap();
    assert_ne!(edited, first);
}

#[bowline::test]
async fn outputs_start_the_services_of_the_steps_they_need() {
    if !bowline_tests::has_time() {
        return;
    }
    let web = server("web");
    let client = client(
        "www",
        &web,
        "import os; os.makedirs('/out/sub'); open('/out/sub/name','w').write(get('http://www:8080/env'))",
    );
    assert_eq!(client.file("/out/sub/name").contents().await.unwrap(), "web");
    let other = server("other");
    let client = bowline_tests::client(
        "www",
        &other,
        "import os; os.makedirs('/out/sub'); open('/out/sub/name','w').write(get('http://www:8080/env'))",
    );
    let copied = Container::from_image("busybox:1.35")
        .mount("/in", client.directory("/out"))
        .exec(["cat", "/in/sub/name"]);
    let (entries, output) = tokio::join!(async { client.directory("/out").entries().await }, copied.stdout());
    assert_eq!(entries.unwrap().len(), 1);
    assert_eq!(output.unwrap(), "other");
}

#[bowline::test]
async fn many_clients_of_many_services() {
    if !bowline_tests::has_time() {
        return;
    }
    let services: Vec<_> = (0..4).map(|index| server(&format!("s{index}"))).collect();
    let clients: Vec<_> = (0..8).map(|index| fetch("www", &services[index % 4], "/env")).collect();
    let names = join_all(clients.iter().map(Container::stdout)).await;
    for (index, name) in names.into_iter().enumerate() {
        assert_eq!(name.unwrap(), format!("s{}", index % 4));
    }
}
