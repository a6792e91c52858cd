//! Tunnels: services reached from the program itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bowline::prelude::*;
use bowline_tests::{busybox, echo, eventually, inspector, nonce};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// What is answered, to the end of the connection.
async fn answer(at: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(question).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[bowline::test]
async fn every_exposed_port_is_reached_at_a_loopback_address() -> Result<()> {
    let p = pipeline! {
        service web {
            image "python:3.11";
            env NONCE = nonce();
            file "/srv/index.html" = "hello";
            workdir "/srv";
            run ["sh", "-c", "python3 -m http.server 80 & exec python3 -m http.server 8080"];
            expose 80 as http;
            expose 8080 as other on host 20480;
        }
    };
    let tunnel = p.web.tunnel().await?;
    assert!(tunnel.address().ip().is_loopback());
    assert_eq!(tunnel.address(), tunnel.address_of::<80>());
    assert_eq!(tunnel.url("http"), format!("http://{}", tunnel.address()));
    for at in [tunnel.address_of::<80>(), tunnel.address_of::<8080>()] {
        let page = answer(at, b"GET /index.html HTTP/1.0\r\n\r\n").await?;
        assert!(page.ends_with(b"hello"), "{}", String::from_utf8_lossy(&page));
    }
    // `localhost` may be either.
    let six = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], tunnel.address().port()));
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert!(!answer(six, b"GET / HTTP/1.0\r\n\r\n").await?.is_empty());
    }
    let fixed = p.web.tunnel().on_host_ports().await?;
    assert_eq!(fixed.address_of::<8080>(), "127.0.0.1:20480".parse().unwrap());
    assert_ne!(fixed.address(), tunnel.address());
    Ok(())
}

#[bowline::test]
async fn bytes_ends_resets_and_datagrams_pass() -> Result<()> {
    let tunnel = echo().tunnel().await?;
    let at = |port: u16| tunnel.address_of_port(port).unwrap();
    // One side's end is not the other's: the answer comes after it.
    assert_eq!(answer(at(7000), b"hello").await?, b"helloend");

    let mut reset = TcpStream::connect(at(7001)).await?;
    reset.write_all(b"x\n").await?;
    let error = reset.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let many = answer(at(7003), b"50000000\n").await?;
    assert_eq!(many.len(), 50_000_000);
    assert!(
        many.chunks(256).all(|piece| piece.iter().enumerate().all(|(at, byte)| at == usize::from(*byte)))
    );

    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(tunnel.address_of_port(Port::udp(7000))?).await?;
    for size in [1, 1400, 9000] {
        let datagram = vec![7; size];
        let mut heard = vec![0; 10_000];
        let mut length = None;
        // A datagram may be lost.
        for _ in 0..20 {
            socket.send(&datagram).await?;
            if let Ok(heard) = timeout(Duration::from_secs(1), socket.recv(&mut heard)).await {
                length = Some(heard?);
                break;
            }
        }
        assert_eq!(length, Some(size));
    }
    Ok(())
}

#[bowline::test]
async fn who_never_reads_stops_the_other_side_and_nobody_else() -> Result<()> {
    let tunnel = echo().tunnel().await?;
    let mut stuck = TcpStream::connect(tunnel.address_of_port(7002)?).await?;
    let piece = vec![0; 1 << 20];
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_secs(1), stuck.write(&piece)).await {
        sent += written?;
        assert!(sent < 64 << 20, "somebody holds it all");
    }
    // The other way round: the client does not read.
    let mut deaf = TcpStream::connect(tunnel.address_of_port(7003)?).await?;
    deaf.write_all(b"500000000\n").await?;
    assert_eq!(answer(tunnel.address_of_port(7000)?, b"hello").await?, b"helloend");
    Ok(())
}

#[bowline::test]
async fn connections_leave_nothing_behind_many_at_once_or_one_after_another() -> Result<()> {
    let tunnel = echo().tunnel().await?;
    let at = tunnel.address_of_port(7000)?;
    assert_eq!(answer(at, b"hello").await?, b"helloend");
    let files = || std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap();
    let before = files();
    let at_once = (0..100).map(|_| tokio::spawn(answer(at, b"hello")));
    for answered in at_once.collect::<Vec<_>>() {
        assert_eq!(answered.await.unwrap()?, b"helloend");
    }
    for _ in 0..1000 {
        assert_eq!(answer(at, b"hello").await?, b"helloend");
    }
    // Sockets that the engine has made in advance are there for the next ones.
    tokio::task::spawn_blocking(move || eventually("files are closed", SOON, || files() <= before + 16))
        .await
        .unwrap();
    Ok(())
}

#[bowline::test]
async fn the_service_stays_until_the_last_connection_and_no_longer() -> Result<()> {
    let service = echo().linger(Duration::ZERO);
    let tunnel = service.tunnel().await?;
    let at = tunnel.address_of_port(7000)?;
    let mut open = TcpStream::connect(at).await?;
    open.write_all(b"a").await?;
    assert_eq!(open.read_u8().await?, b'a');
    drop(tunnel);
    // The listener closes at once; what is open goes on.
    tokio::task::spawn_blocking(move || {
        eventually("it is closed", SOON, || std::net::TcpStream::connect(at).is_err());
    })
    .await
    .unwrap();
    open.write_all(b"b").await?;
    assert_eq!(open.read_u8().await?, b'b');
    let session = Session::current().id();
    assert_eq!(inspector().running(&session).len(), 1);
    drop(open);
    let ended = move || inspector().running(&session).is_empty();
    tokio::task::spawn_blocking(move || eventually("the service has ended", SOON, ended)).await.unwrap();
    Ok(())
}

#[bowline::test]
async fn a_service_that_ends_closes_its_connections_and_the_tunnel_says_why() -> Result<()> {
    let tunnel = echo().tunnel().await?;
    let at = tunnel.address_of_port(7000)?;
    tunnel.check()?;
    let mut open = TcpStream::connect(at).await?;
    open.write_all(b"a").await?;
    assert_eq!(open.read_u8().await?, b'a');
    TcpStream::connect(at).await?.write_all(b"quit").await?;
    assert!(timeout(SOON, open.read_u8()).await.unwrap().is_err());
    let error = timeout(SOON, tunnel.ended()).await.unwrap();
    let Error::ServiceExited(exited) = &error else { panic!("{error}") };
    assert_eq!(exited.name, "echo");
    assert!(
        error.to_string().contains("exit code 3") && error.to_string().contains("it was told to quit"),
        "{error}"
    );
    assert_eq!(tunnel.check().unwrap_err().to_string(), error.to_string());
    tokio::task::spawn_blocking(move || {
        eventually("it is closed", SOON, || std::net::TcpStream::connect(at).is_err());
    })
    .await
    .unwrap();
    Ok(())
}

#[bowline::test]
async fn a_tunnel_and_steps_share_one_instance() -> Result<()> {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379);
    let tunnel = redis.tunnel().await?;
    assert_eq!(answer(tunnel.address(), b"set a 1\r\nquit\r\n").await?, b"+OK\r\n+OK\r\n");
    let get = Container::from_image("redis:7").env("NONCE", nonce()).bind("db", &redis).exec([
        "redis-cli",
        "-h",
        "db",
        "get",
        "a",
    ]);
    assert_eq!(get.stdout().await?, "1\n");
    Ok(())
}

#[bowline::test]
async fn what_cannot_be_forwarded_is_an_error_that_says_so() -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let service = echo();
    let error = service.tunnel().port(7000, port).await.unwrap_err();
    let Error::PortInUse { address, holder, .. } = &error else { panic!("{error}") };
    assert_eq!(address.port(), port);
    let holder = holder.as_deref().unwrap_or_default();
    assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
    assert!(
        error.to_string().contains(&format!("port {port} of this machine is taken by process")),
        "{error}"
    );
    assert_eq!(error.locations().len(), 1);
    // Nothing was started for it.
    assert!(inspector().containers(&Session::current().id()).is_empty());

    let error = service.tunnel().on(80).await.unwrap_err().to_string();
    assert!(
        error.contains("service `echo` does not expose port 80/tcp") && error.contains("it exposes 7000/tcp"),
        "{error}"
    );
    let silent = Service::from_image("redis:7").named("silent");
    let error = silent.tunnel().await.unwrap_err().to_string();
    assert!(
        error.contains("service `silent` exposes no port") && error.contains("help: add `expose"),
        "{error}"
    );
    let error = service.tunnel().port(7000, 48_001).port(7001, 48_001).await.unwrap_err().to_string();
    assert!(error.contains("port 48001 of this machine is to lead to two ports"), "{error}");

    let broken = busybox_service(["false"]).named("broken");
    let error = broken.tunnel().await.unwrap_err();
    assert!(matches!(error, Error::ServiceStart(_)), "{error}");
    Ok(())
}

fn busybox_service<const N: usize>(command: [&str; N]) -> Service {
    Service::from_container(&busybox()).run(command).expose(80)
}

#[bowline::test]
async fn the_end_of_the_session_closes_tunnels() -> Result<()> {
    let session = Session::new();
    let service = echo();
    let tunnel = session.scope(async { service.tunnel().await }).await?;
    let at = tunnel.address_of_port(7000)?;
    let mut open = TcpStream::connect(at).await?;
    open.write_all(b"a").await?;
    assert_eq!(open.read_u8().await?, b'a');
    timeout(SOON, session.close()).await.unwrap()?;
    assert!(timeout(SOON, open.read_u8()).await.unwrap().is_err());
    assert!(TcpStream::connect(at).await.is_err());
    let error = tunnel.check().unwrap_err();
    assert!(
        error.to_string().contains("a tunnel to service `echo` was cancelled: the session closed"),
        "{error}"
    );
    let error = session.scope(async { service.tunnel().await }).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    Ok(())
}
