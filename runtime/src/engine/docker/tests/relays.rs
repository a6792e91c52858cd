//! Relays: services are reached, and containers reach the pipeline, through the engine's connection alone.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;
use crate::engine::testing::instance;
use crate::engine::{Connection, Flow, Incoming, Instance, Listener, ProbeProgress, Relayed};
use crate::model::{Port, Protocol};

/// Long enough for anything that happens at all on a busy machine.
const AT_MOST: Duration = Duration::from_secs(30);

const OTHER: &str = "1123456789abcdefghijklmnop";

/// Echoes at 7001/tcp and 7002/udp.
const ECHO: &str = "
import socket, threading
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('', 7002))
def datagrams():
    while True:
        d, a = u.recvfrom(65536); u.sendto(d, a)
threading.Thread(target=datagrams, daemon=True).start()
def echo(c):
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while d := c.recv(1 << 18): c.sendall(d)
    c.close()
s = socket.create_server(('', 7001), backlog=500)
while True: threading.Thread(target=echo, args=[s.accept()[0]], daemon=True).start()
";

/// The echo service, and its address.
async fn echo(engine: &Docker) -> (Arc<dyn Instance>, IpAddr) {
    let image = engine.image("python:3.11").await.snapshot;
    let running = engine.start(service(&image, HOST, &["python3", "-c", ECHO]), nothing()).await.unwrap();
    let ports = [Port::tcp(7001), Port::udp(7002)];
    running.wait_ports(&ports, &ProbeProgress::default()).await.unwrap();
    let name = names::service(&engine.shared.session, &instance(HOST));
    let found = engine.shared.client.inspect_container(&name, None).await.unwrap();
    let networks = found.network_settings.unwrap().networks.unwrap();
    let ip = networks.into_values().next().unwrap().ip_address.unwrap().parse().unwrap();
    (running, ip)
}

/// A connection through the relay, also where there is a shorter way.
async fn connect(engine: &Docker, ip: IpAddr, port: u16) -> std::io::Result<Box<dyn Relayed>> {
    match timeout(AT_MOST, relay::connect(&engine.shared, ip, port)).await.unwrap()? {
        Connection::Relayed(relayed) => Ok(relayed),
        Connection::Socket(_) => panic!("a socket"),
    }
}

async fn ping(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin), sent: &[u8]) {
    let mut came = vec![0; sent.len()];
    stream.write_all(sent).await.unwrap();
    timeout(AT_MOST, stream.read_exact(&mut came)).await.unwrap().unwrap();
    assert!(came == sent);
}

/// The containers of a kind that the session has.
async fn of_kind(engine: &Docker, kind: &str) -> Vec<String> {
    let label = |name: &str, value: &str| format!("{name}={value}");
    let wanted = vec![label(labels::SESSION, engine.shared.session.as_str()), label(labels::KIND, kind)];
    let options = bollard::query_parameters::ListContainersOptions {
        filters: Some(std::collections::HashMap::from([("label".to_owned(), wanted)])),
        ..Default::default()
    };
    let found = engine.shared.client.list_containers(Some(options)).await.unwrap();
    found.into_iter().filter_map(|container| container.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_reached_through_one_relay() {
    let engine = engine!();
    let (running, ip) = echo(&engine).await;
    // All at once, so that each would start a relay.
    let streams = (0..50).map(|_| connect(&engine, ip, 7001));
    for stream in futures_util::future::join_all(streams).await {
        let mut stream = stream.unwrap();
        ping(&mut stream, &[1; 5000]).await;
        stream.shutdown().await.unwrap();
        assert_eq!(timeout(AT_MOST, stream.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
    }
    let refused = connect(&engine, ip, 7003).await.err().unwrap();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let Ok(Flow::Relayed(mut flow)) = relay::flow(&engine.shared, ip, 7002).await else { panic!("no flow") };
    for length in [0, 65507] {
        flow.sender.send(vec![2; length]).await.unwrap();
        assert!(timeout(AT_MOST, flow.receiver.recv()).await.unwrap().unwrap() == vec![2; length]);
    }

    // One that is removed is replaced, and what it carried ends.
    let mut stream = connect(&engine, ip, 7001).await.unwrap();
    let relays = of_kind(&engine, "relay").await;
    assert_eq!(relays.len(), 1);
    engine.shared.cleaner.remove_container(&relays[0]).await.unwrap();
    let lost = timeout(AT_MOST, stream.read(&mut [0; 1])).await.unwrap().unwrap_err();
    assert_eq!(lost.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(lost.to_string().ends_with("has ended: its container was killed or removed"), "{lost}");
    assert_eq!(timeout(AT_MOST, flow.receiver.recv()).await.unwrap(), None);
    ping(&mut connect(&engine, ip, 7001).await.unwrap(), b"again").await;

    running.remove().await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
    assert!(relay::connect(&engine.shared, ip, 7001).await.is_err());
    assert_eq!(left(&engine).await, 0);
}

/// At ports that are root's elsewhere, by a name that only who is linked to it knows.
#[tokio::test(flavor = "multi_thread")]
async fn containers_reach_the_pipeline() {
    let engine = engine!();
    let ports = [
        PortNumber { protocol: Protocol::Tcp, number: 80 },
        PortNumber { protocol: Protocol::Udp, number: 53 },
    ];
    let mut ingress = engine.listen("api", &instance(HOST), &ports).await.unwrap();
    let mut listeners = ingress.listeners.drain(..).map(|listener| match listener {
        Listener::Relayed(incoming) => incoming,
        _ => panic!("a socket"),
    });
    let (mut tcp, mut udp) = (listeners.next().unwrap(), listeners.next().unwrap());
    let serve = async {
        let Some(Incoming::Connection(Connection::Relayed(mut client))) = tcp.recv().await else { panic!() };
        let mut asked = String::new();
        client.read_to_string(&mut asked).await.unwrap();
        client.write_all(format!("you said {asked}").as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let Some(Incoming::Flow(mut flow)) = udp.recv().await else { panic!() };
        let asked = flow.receiver.recv().await.unwrap();
        flow.sender.send([b"you sent ", &asked[..]].concat()).await.unwrap();
        // Kept until the client has its answer.
        flow
    };
    let python = engine.image("python:3.11").await.snapshot;
    let mut client = step(
        &python,
        &[
            "python3",
            "-c",
            "
import socket
s = socket.create_connection(('api', 80)); s.sendall(b'hello'); s.shutdown(1); print(s.makefile().read())
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(('api', 53)); u.send(b'hi'); print(u.recv(99).decode())
try: socket.create_connection(('api', 81))
except ConnectionRefusedError as e: print('refused')
",
        ],
    );
    client.links = vec![link(HOST, "api")];
    let (flow, (_, output)) =
        timeout(AT_MOST, async { tokio::join!(serve, engine.run(client)) }).await.unwrap();
    assert_eq!(text(&output.stdout), "you said hello\nyou sent hi\nrefused\n", "{}", text(&output.stderr));
    drop(flow);

    // Twice at one address; what is lost says why.
    let twice = [ports[0], ports[0]];
    let error = engine.listen("other", &instance(OTHER), &twice).await.err().unwrap().to_string();
    assert!(error.contains("serve other to containers") && error.contains("port 80/tcp: "), "{error}");
    engine.shared.cleaner.settle(0).await;
    let container = names::service(&engine.shared.session, &instance(HOST));
    engine.shared.cleaner.remove_container(&container).await.unwrap();
    let lost = timeout(AT_MOST, ingress.place.lost()).await.unwrap().unwrap_err().to_string();
    assert!(
        lost.contains("serve api to containers") && lost.contains("its container was killed or removed"),
        "{lost}"
    );
    ingress.place.remove().await.unwrap();

    // The name is free again.
    let again = engine.listen("api", &instance(HOST), &ports).await.unwrap();
    again.place.remove().await.unwrap();
    drop(again);
    drop(engine.listen("api", &instance(HOST), &ports).await.unwrap());
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

/// Not a test of anything that must hold on every machine: what the relay costs, beside sockets.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures; run it by name, with --nocapture"]
async fn measured_beside_sockets() {
    let engine = engine!();
    let (_running, ip) = echo(&engine).await;
    let began = Instant::now();
    drop(connect(&engine, ip, 7001).await.unwrap());
    eprintln!("first connection, with the start of the relay: {:?}", began.elapsed());
    let direct = async || Box::new(tokio::net::TcpStream::connect((ip, 7001)).await.unwrap());
    let relayed = async || connect(&engine, ip, 7001).await.unwrap();
    measure("direct", direct).await;
    measure("relayed", relayed).await;
    engine.close().await.unwrap();
}

/// How much is sent and comes back, in MiB.
const MUCH: usize = 200;

async fn measure<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    way: &str,
    connect: impl AsyncFn() -> S,
) {
    let mut times: Vec<_> = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        let stream = connect().await;
        times.push(began.elapsed());
        drop(stream);
    }
    let connects = median(&mut times);
    let mut stream = connect().await;
    times.clear();
    for _ in 0..1000 {
        let began = Instant::now();
        ping(&mut stream, b"x").await;
        times.push(began.elapsed());
    }
    let turns = median(&mut times);
    let began = Instant::now();
    let (mut from, mut to) = tokio::io::split(stream);
    let write = async {
        let piece = vec![1; 1 << 16];
        for _ in 0..MUCH * 16 {
            to.write_all(&piece).await.unwrap();
        }
        to.shutdown().await.unwrap();
    };
    let read = async {
        let (mut came, mut space) = (0, vec![0; 1 << 16]);
        while let length @ 1.. = from.read(&mut space).await.unwrap() {
            came += length;
        }
        assert_eq!(came, MUCH << 20);
    };
    tokio::join!(write, read);
    let speed = MUCH * 1000 / usize::try_from(began.elapsed().as_millis()).unwrap();
    eprintln!("{way}: connect {connects:?}, round trip {turns:?}, echo of {MUCH} MiB {speed} MiB/s each way");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
