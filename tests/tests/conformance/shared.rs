//! Services that processes share.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bowline::event::{Event, EventKind};
use bowline::prelude::*;
use bowline_tests::{
    busybox, client, echo, eventually, fetch, inspector, nonce, redis_says, relay, server, shared_redis,
};

const SOON: Duration = Duration::from_secs(30);

/// Another process that shares a redis, and does what it is told: see `share` of the program.
struct Other {
    process: Child,
    orders: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Other {
    /// Begins, without waiting for the service.
    fn begin(key: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command.arg("share").env("KEY", key).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let orders = process.stdin.take();
        let said = BufReader::new(process.stdout.take().unwrap());
        Self { process, orders, said }
    }

    fn start(key: &str) -> Self {
        let mut other = Self::begin(key);
        assert_eq!(other.says(), "ready");
        other
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn does(&mut self, order: &str) -> String {
        self.order(order);
        self.says()
    }

    /// Lets it end by itself.
    fn end(mut self) {
        drop(self.orders.take());
        assert!(self.process.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Who owns a service that this session has joined, and in which session.
#[derive(Clone, Default)]
struct Owner(Arc<Mutex<Option<(u32, String)>>>);

impl Owner {
    fn watched() -> Self {
        let owner = Self::default();
        let found = owner.0.clone();
        let observe = move |event: &Event| {
            if let EventKind::Joined { owner, session } = &event.kind {
                *found.lock().unwrap() = Some((*owner, session.to_string()));
            }
        };
        Session::current().observe(observe).unwrap();
        owner
    }

    /// Who it was that was joined last.
    fn get(&self) -> (u32, String) {
        let known = || self.0.lock().unwrap().clone();
        eventually("it is known who owns it", SOON, || known().is_some());
        known().unwrap()
    }

    /// Waits until the process has ended, and nothing is left of it.
    fn goes(&self) -> Duration {
        let (owner, session) = self.get();
        let is_gone =
            || !Path::new(&format!("/proc/{owner}")).exists() && inspector().remains(&session).is_empty();
        eventually("the owner is gone, with all that it made", SOON, is_gone)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[bowline::test]
async fn processes_share_one_service_and_the_last_ends_it() -> Result<()> {
    let key = nonce();
    let of = key.clone();
    let (mut first, mut second) = blocking(move || {
        let mut both = (Other::begin(&of), Other::begin(&of));
        assert_eq!([both.0.says(), both.1.says()], ["ready", "ready"]);
        both
    })
    .await;
    let owner = Owner::watched();
    let tunnel = shared_redis(&key).tunnel().await?;
    let count = || redis_says(tunnel.address(), "INCR all");
    assert_eq!(first.does("count all"), "1");
    assert_eq!(second.does("contained all"), "2");
    assert_eq!(count().await?, "3");
    assert_eq!(first.does("contained all"), "4");
    // However one of them ends, the others go on.
    first.kill();
    assert_eq!(second.does("count all"), "5");
    assert_eq!(second.does("contained all"), "6");
    blocking(move || second.end()).await;
    assert_eq!(count().await?, "7");
    tunnel.check()?;
    drop(tunnel);
    // It lingers for those who come next.
    let of = key.clone();
    blocking(move || {
        let mut third = Other::start(&of);
        assert_eq!(third.does("count all"), "8");
        third.kill();
    })
    .await;
    Session::current().close().await?;
    blocking(move || owner.goes()).await;
    Ok(())
}

#[bowline::test]
async fn a_step_runs_once_against_a_shared_service_whichever_process_needs_it_first() {
    let key = nonce();
    blocking(move || {
        let (mut first, mut second) = (Other::start(&key), Other::start(&key));
        let name = nonce();
        for other in [&mut first, &mut second] {
            other.order(&format!("migrated {name}-{}", other.process.id()));
        }
        assert_eq!([first.says(), second.says()], ["1", "1"]);
        // Another process finds the step's result, and its service has seen it.
        let mut third = Other::start(&key);
        assert_eq!(third.does(&format!("migrated {}", nonce())), "1");
        [first, second, third].into_iter().for_each(Other::end);
    })
    .await;
}

#[bowline::test]
async fn a_step_whose_result_is_cached_runs_again_for_a_new_run_of_the_service_and_only_once() {
    let key = nonce();
    let migrated = |key: &str| {
        let mut other = Other::start(key);
        assert_eq!(other.does(&format!("migrated {}", nonce())), "1");
        other
    };
    let owner = Owner::watched();
    let of = key.clone();
    let first = blocking(move || migrated(&of)).await;
    drop(shared_redis(&key).tunnel().await.unwrap());
    blocking(move || {
        first.kill();
        owner.goes();
        let (mut first, mut second) = (Other::start(&key), Other::start(&key));
        for other in [&mut first, &mut second] {
            other.order(&format!("migrated {}-{}", nonce(), other.process.id()));
        }
        assert_eq!([first.says(), second.says()], ["1", "1"]);
        [first, second].into_iter().for_each(Other::end);
    })
    .await;
}

#[bowline::test]
async fn a_killed_owner_is_named_and_another_takes_its_place() -> Result<()> {
    let key = nonce();
    let of = key.clone();
    let mut other = blocking(move || Other::start(&of)).await;
    let owner = Owner::watched();
    let redis = shared_redis(&key);
    let tunnel = redis.tunnel().await?;
    assert_eq!(other.does("count all"), "1");
    let (pid, _) = owner.get();
    Command::new("kill").args(["-KILL", &pid.to_string()]).status()?;
    let error = tunnel.ended().await.to_string();
    assert!(error.contains("`shared`") && error.contains("the process that owns it has ended"), "{error}");
    blocking(move || owner.goes()).await;
    let fresh = redis.tunnel().await?;
    assert_eq!(redis_says(fresh.address(), "INCR all").await?, "1");
    other.kill();
    Ok(())
}

#[bowline::test]
async fn it_lingers_after_the_last_of_them() -> Result<()> {
    let owner = Owner::watched();
    let key = nonce();
    let of = key.clone();
    let other = blocking(move || Other::start(&of)).await;
    drop(shared_redis(&key).tunnel().await?);
    Session::current().close().await?;
    blocking(move || {
        other.kill();
        let began = Instant::now();
        owner.goes();
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(3), "{took:?}");
    })
    .await;
    Ok(())
}

#[bowline::test]
async fn everything_that_is_done_with_a_service_can_be_done_with_a_shared_one() -> Result<()> {
    let shared = echo().linger("0s").shared();
    let tunnel = shared.tunnel().await?;
    for round in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(tunnel.address_of_port(7000)?).await?;
        let sent = vec![round; 3 << 20];
        let (mut from, mut to) = stream.split();
        let mut heard = Vec::new();
        let send = async {
            tokio::io::AsyncWriteExt::write_all(&mut to, &sent).await?;
            tokio::io::AsyncWriteExt::shutdown(&mut to).await
        };
        tokio::try_join!(send, tokio::io::AsyncReadExt::read_to_end(&mut from, &mut heard))?;
        assert!(heard.strip_prefix(&sent[..]) == Some(b"end"), "{}", heard.len());
    }
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(tunnel.address_of_port(Port::udp(7000))?).await?;
    let mut heard = [0; 16];
    let mut length = None;
    for _ in 0..20 {
        socket.send(b"datagram").await?;
        if let Ok(heard) = tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut heard)).await {
            length = Some(heard?);
            break;
        }
    }
    assert_eq!(length, Some(8));
    // A port that nobody listens at is refused as it is by the service itself.
    let shared = server("shared").expose(Port::tcp(9).unprobed()).linger("0s").shared();
    let tunnel = shared.tunnel().await?;
    let mut stream = tokio::net::TcpStream::connect(tunnel.address_of_port(9)?).await?;
    let refused = tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    // Commands, output, the address.
    let run = shared.exec(["sh", "-c", "cat; echo err >&2; exit 3"]);
    let output = run.expect(Expect::Any).await?;
    assert_eq!((output.exit_code, &*output.stderr_text()), (3, "err\n"));
    let output = shared.exec(Exec::new(["cat"]).stdin("in\n")).await?;
    assert_eq!(output.stdout, b"in\n");
    let address = shared.address().await?;
    let seen = fetch("www", &shared, "/id").stdout().await?;
    assert!(!seen.is_empty() && !address.is_loopback(), "{address}");
    let logged = async {
        while !shared.logs().text().await?.contains("served /id") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, Error>(())
    };
    tokio::time::timeout(SOON, logged).await.expect("it is heard")?;
    // A command that is given up is killed.
    let sleeping = tokio::time::timeout(
        Duration::from_millis(500),
        std::future::IntoFuture::into_future(shared.exec(["sleep", "4711"])),
    );
    assert!(sleeping.await.is_err());
    let look =
        || shared.exec(Exec::shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'slee[p] 4711'"));
    let gone = async {
        while look().expect(Expect::Any).await?.stdout != b"0\n" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, Error>(())
    };
    tokio::time::timeout(SOON, gone).await.expect("it is killed")
}

#[bowline::test]
async fn shared_services_reach_each_other() -> Result<()> {
    // It ends once there is a file.
    let script = "echo hello >/srv/id; python3 -m http.server 8080 -d /srv & while [ ! -e /go ]; do sleep 0.05; done; exit 3";
    let below = Service::from_image("python:3.11").env("NONCE", nonce()).run(["sh", "-c", script]);
    let below = below.expose(8080).linger("1s").shared().named("below");
    let above = relay(&["http://below:8080/id"]).bind("below", &below).linger("1s").shared();
    let first = client("above", &above, "print(get('http://above:8080/'), end='')").stdout().await?;
    assert!(first.contains("hello"), "{first}");
    // An end of what it is bound to is its own.
    let tunnel = above.tunnel().await?;
    let _ = below.exec(["touch", "/go"]).await;
    let error = tokio::time::timeout(SOON, tunnel.ended()).await.expect("it ends").to_string();
    assert!(error.contains("below"), "{error}");
    Ok(())
}

#[bowline::test]
async fn what_cannot_be_shared_is_told_before_anything_runs() {
    let own = server("own");
    let error = server("web").bind("own", &own).shared().tunnel().await.unwrap_err().to_string();
    assert!(error.contains("is bound to `own`, which is not") && error.contains("help: "), "{error}");
    let fresh = busybox().exec(Exec::new(["true"]).uncached());
    let fresh = Service::from_container(&fresh).run(["sleep", "9"]).expose(80).shared();
    let error = fresh.start().await.unwrap_err().to_string();
    assert!(error.contains("is made of what only this session has"), "{error}");
    let closed = Service::from_image("busybox:1.35").shared().named("closed");
    let error = closed.start().await.unwrap_err().to_string();
    assert!(error.contains("service `closed`") && error.contains("exposes none"), "{error}");
}

#[bowline::test]
async fn a_service_that_does_not_start_is_an_error_for_all_and_nothing_is_left() {
    let failing = || {
        let service = Service::from_image("busybox:1.35").env("NONCE", nonce()).expose(80).named("failing");
        service.run(["sh", "-c", "echo said; exit 3"]).shared()
    };
    match failing().start().await {
        Err(Error::ServiceStart(error)) => {
            assert_eq!(error.log, ["said"]);
            assert!(error.to_string().contains("exit code 3"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let missing = Service::from_image("busybox:1.35").env("NONCE", nonce()).run(["/no/such/program"]);
    let missing = missing.expose(80).shared();
    let error = missing.named("missing").start().await.unwrap_err().to_string();
    assert!(error.contains("/no/such/program"), "{error}");
}

#[bowline::test]
async fn equal_services_with_other_ports_are_others() -> Result<()> {
    let key = nonce();
    let one = shared_redis(&key);
    let other = shared_redis(&key).expose(Port::tcp(6380).unprobed());
    assert_ne!(one.hostname(), other.hostname());
    let named = Service::from_image("redis:7").env("KEY", &key).expose(Port::tcp(6379).named("db")).shared();
    assert_eq!(one.hostname(), named.hostname());
    assert_ne!(one.hostname(), Service::from_image("redis:7").env("KEY", &key).expose(6379).hostname());
    Ok(())
}
