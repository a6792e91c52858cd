//! Host services: containers that reach servers of this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline::prelude::*;
use bowline_tests::{busybox, eventually, inspector, nonce};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// A server of this test's own process, which answers each connection with a text and what it has read, and counts them. A
/// connection without a word is a probe's.
struct Answering {
    at: SocketAddr,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answering(at: &str, text: &'static str) -> Answering {
    let listener = TcpListener::bind(at).await.unwrap();
    let (at, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut question = vec![0; 100];
                let Ok(length @ 1..) = stream.read(&mut question).await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.write_all(&question[..length]).await;
            });
        }
    });
    Answering { at, asked, serving }
}

/// Asks a service, once more than any cache knows.
fn ask(service: &Service, port: u16) -> Container {
    busybox().bind("api", service).shell(format!("echo hello | nc api {port}"))
}

#[bowline::test]
async fn a_container_reaches_a_server_that_listens_on_loopback_only() -> Result<()> {
    let server = answering("127.0.0.1:0", "first: ").await;
    let port = server.at.port();
    let hook = host_service(port).port(80, port);
    let p = pipeline! {
        service hook = hook;
        container ask {
            image "busybox:1.35";
            env NONCE = nonce();
            bind hook as "api";
            env HOST = hook.hostname();
            env PORT = port;
            exec ["sh", "-c", "echo a | nc api $PORT; echo b | nc $HOST $PORT; echo c | nc api 80"];
        }
    };
    assert_eq!(p.ask.stdout().await?, "first: a\nfirst: b\nfirst: c\n");
    assert_eq!(hook.endpoint()?.to_string(), format!("{}:{port}", hook.hostname()));
    // Each connection is made anew, so another server may take over.
    drop(server);
    let at = format!("127.0.0.1:{port}");
    let mut second = None;
    // The port may be in use for a moment.
    for _ in 0..100 {
        match TcpListener::bind(&at).await {
            Ok(listener) => {
                drop(listener);
                second = Some(answering(&at, "second: ").await);
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    assert!(second.is_some());
    assert_eq!(ask(&hook, port).stdout().await?, "second: hello\n");
    Ok(())
}

#[bowline::test]
async fn a_step_that_binds_a_host_service_is_uncached_unless_told_otherwise() -> Result<()> {
    let server = answering("127.0.0.1:0", "").await;
    let port = server.at.port();
    let nonce = nonce();
    let run = async |service: &Service| {
        let session = Session::new();
        let ask = Container::from_image("busybox:1.35")
            .env("NONCE", &nonce)
            .bind("api", service)
            .shell("echo hello | nc api 80");
        let answer = session.scope(ask.stdout()).await?;
        session.close().await?;
        assert_eq!(answer, "hello\n");
        Ok::<_, Error>(server.asked.load(Ordering::SeqCst))
    };
    let service = host_service(port).port(80, port);
    assert_eq!((run(&service).await?, run(&service).await?), (1, 2));
    let cached = service.cached();
    assert_eq!((run(&cached).await?, run(&cached).await?), (3, 3));
    Ok(())
}

#[bowline::test]
async fn services_bind_it_too_and_tunnels_lead_to_it() -> Result<()> {
    let server = answering("127.0.0.1:0", "the server: ").await;
    let port = server.at.port();
    let back = host_service(port).named("back");
    // Passes on what it is asked.
    let front = Service::from_container(&busybox())
        .bind("back", &back)
        .run(["nc", "-ll", "-p", "80", "-e", "nc", "back", &port.to_string()])
        .expose(Port::tcp(80).unprobed())
        .ready(bowline::Ready::exec(["sh", "-c", "netstat -ltn | grep -q :80"]));
    let answer = ask(&front, 80).stdout().await?;
    assert_eq!(answer, "the server: hello\n");
    let tunnel = back.tunnel().await?;
    let mut stream = TcpStream::connect(tunnel.address()).await?;
    stream.write_all(b"x").await?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await?;
    assert_eq!(heard, "the server: x");
    Ok(())
}

#[bowline::test]
async fn datagrams_and_servers_on_either_loopback_address_are_reached() -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let udp = socket.local_addr()?.port();
    let echo = tokio::spawn(async move {
        let mut space = [0; 2000];
        while let Ok((length, from)) = socket.recv_from(&mut space).await {
            if length > 0 {
                let _ = socket.send_to(&space[..length], from).await;
            }
        }
    });
    let service = host_service(Port::udp(udp));
    let ask = Container::from_image("python:3.11")
        .env("NONCE", nonce())
        .env("PORT", udp)
        .bind("echo", &service)
        .exec([
            "python3",
            "-c",
            // A datagram may be lost.
            "import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect(('echo', int(os.environ['PORT'])))
for _ in range(9):
    s.send(b'hello')
    try:
        print(s.recv(99).decode())
        break
    except TimeoutError:
        pass",
        ]);
    assert_eq!(ask.stdout().await?, "hello\n");
    echo.abort();
    if let Ok(listener) = std::net::TcpListener::bind("[::1]:0") {
        drop(listener);
        let six = answering("[::1]:0", "six: ").await;
        let service = host_service(six.at.port());
        assert_eq!(self::ask(&service, six.at.port()).stdout().await?, "six: hello\n");
    }
    Ok(())
}

#[bowline::test]
async fn a_server_that_is_not_up_is_named_within_the_limit() -> Result<()> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let absent = host_service(free).named("absent").ready(Ready::port().within("300ms"));
    let error = ask(&absent, free).stdout().await.unwrap_err();
    let Error::ServiceNotReady(not_ready) = &error else { panic!("{error}") };
    assert_eq!(not_ready.name, "absent");
    assert!(error.to_string().contains(&format!("{free}/tcp: connection refused")), "{error}");
    let session = Session::current().id();
    let nothing_runs = move || inspector().running(&session).is_empty();
    tokio::task::spawn_blocking(move || {
        eventually("its address is gone", Duration::from_secs(20), nothing_runs)
    })
    .await
    .unwrap();
    Ok(())
}

#[bowline::test]
async fn what_means_nothing_for_a_server_is_a_mistake() {
    let mistake = |service: Service| {
        let container = Container::from_image("busybox:1.35").bind("api", &service).exec(["true"]);
        container.plan().check().unwrap_err().to_string()
    };
    let service = || -> Service { host_service(8080).named("api").into() };
    assert!(
        mistake(service().env("A", "b"))
            .contains("service `api` is a server outside of all containers: nothing can be run")
    );
    assert!(mistake(service().run(["x"])).contains("nothing can be run, mounted or set there"));
    assert!(mistake(service().image("redis:7")).contains("a host service has no image"));
    assert!(mistake(service().ready(Ready::log("x"))).contains("whose commands and output nobody knows"));
    for address in ["", "a b:80", "example.com:", "example.com:99999", "::1", "a:0"] {
        let said = mistake(host_service(address).into());
        assert!(said.contains("is no address of a server") || said.contains("port 0"), "{address}: {said}");
    }
    let plan =
        Container::from_image("busybox:1.35").bind("api", &service()).exec(["true"]).plan().to_string();
    assert!(plan.contains("\n  from host localhost:8080\n  expose 8080/tcp"), "{plan}");
}
