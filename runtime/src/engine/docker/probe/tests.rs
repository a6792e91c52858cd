//! Tests of probes against real services, both ways. The services are Python programs that print when they did what, by
//! the clock that this process reads too: engine and tests share a machine here, which the direct way needs anyway.

use std::future::Future;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
};
use futures_util::TryStreamExt as _;
use tokio::time::timeout;

use super::super::cleaner::Cleaner;
use super::super::connect;
use super::super::connection::Connection;
use super::super::watchdog::Watchdog;
use super::super::{labels, names};
use super::*;
use crate::model::SessionId;

/// Long enough for anything that happens at all on a busy machine.
const AT_MOST: Duration = Duration::from_secs(20);

/// Long enough for a wrong answer to arrive.
const A_WHILE: Duration = Duration::from_millis(600);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Direct,
    Helper,
}

const WAYS: [Way; 2] = [Way::Direct, Way::Helper];

/// A session with services. Its watchdog removes them, also when a test fails.
struct Session {
    connection: Connection,
    client: Docker,
    cleaner: Cleaner,
    id: SessionId,
    network: String,
    _watchdog: Watchdog,
}

impl Session {
    async fn open() -> Self {
        let connection = connect::connect().await.unwrap();
        let client = connection.client().await.unwrap();
        let id = SessionId::random();
        let watchdog = Watchdog::spawn(&connection, &id).unwrap();
        watchdog.armed().await.unwrap();
        let network = client
            .create_network(NetworkCreateRequest {
                name: names::prefix(&id),
                labels: Some(labels::of(&id, "network")),
                ..Default::default()
            })
            .await
            .unwrap()
            .id;
        Self { cleaner: Cleaner::new(client.clone()), connection, client, id, network, _watchdog: watchdog }
    }

    /// Starts a Python program; `say(…)` prints the time.
    async fn serve(&self, program: &str) -> Target {
        let program = format!("{PROLOGUE}\n{}\ntime.sleep(1000)", program.trim());
        self.start("python:3.11", vec!["python3", "-c", &program]).await
    }

    async fn start(&self, image: &str, command: Vec<&str>) -> Target {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(command.into_iter().map(str::to_owned).collect()),
            labels: Some(labels::of(&self.id, "served")),
            host_config: Some(HostConfig { network_mode: Some(self.network.clone()), ..Default::default() }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::default().build();
        let container = self.client.create_container(Some(options), body).await.unwrap().id;
        self.client.start_container(&container, None).await.unwrap();
        let known = self.client.inspect_container(&container, None).await.unwrap();
        let networks = known.network_settings.unwrap().networks.unwrap();
        let ip = networks.into_values().next().unwrap().ip_address.unwrap();
        let target = Target {
            is_seen: false,
            container,
            ip: ip.parse().unwrap(),
            pid: known.state.unwrap().pid,
            network_id: self.network.clone(),
        };
        assert!(target.is_near(), "these tests need an engine whose bridges are on this machine");
        target
    }

    async fn wait_ports(
        &self,
        way: Way,
        target: &Target,
        ports: &[Port],
        progress: &ProbeProgress,
    ) -> Result<()> {
        for port in ports {
            progress.note(&port.to_string(), Some(NO_ANSWER));
        }
        match way {
            Way::Direct => direct::wait_ports(target, ports, progress).await.map_err(|far| panic!("{far}")),
            Way::Helper => helper::wait_ports(self.prober("linux/amd64"), target, ports, progress).await,
        }
    }

    async fn wait_http(
        &self,
        way: Way,
        target: &Target,
        port: u16,
        path: &str,
        progress: &ProbeProgress,
    ) -> Result<()> {
        match way {
            Way::Direct => {
                direct::wait_http(target, port, path, progress).await.map_err(|far| panic!("{far}"))
            }
            Way::Helper => helper::wait_http(self.prober("linux/amd64"), target, port, path, progress).await,
        }
    }

    fn prober<'a>(&'a self, platform: &'a str) -> Prober<'a> {
        Prober { client: &self.client, cleaner: &self.cleaner, session: &self.id, platform }
    }

    /// The times that the service has printed so far, in seconds since 1970.
    async fn said(&self, target: &Target) -> Vec<f64> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let log = self.client.logs(&target.container, Some(options)).try_collect::<Vec<_>>().await.unwrap();
        let text: String = log.iter().map(ToString::to_string).collect();
        text.lines()
            .map(|line| line.parse().unwrap_or_else(|_| panic!("the service failed:\n{text}")))
            .collect()
    }

    /// The number of helpers, running or not.
    async fn helpers(&self) -> usize {
        let filters =
            [("label", vec![format!("{}={}", labels::SESSION, self.id), "bowline.kind=probe".to_owned()])];
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters.into()).build();
        self.client.list_containers(Some(options)).await.unwrap().len()
    }
}

const PROLOGUE: &str = "
import socket, time
def say(): print(time.time(), flush=True)
def tcp(port, address='0.0.0.0'):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port)); s.listen(); say(); return s
def udp(port, address='0.0.0.0', family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM); s.bind((address, port)); say(); return s
def http(port, *answers):
    s = tcp(port)
    for answer in answers:
        c, _ = s.accept(); c.recv(9999); c.sendall(answer.encode()); c.close(); say()
kept = []
";

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Runs a test with both ways concurrently, each in a session of its own.
async fn both_ways<F: Future<Output = ()>>(test: impl Fn(Way) -> F) {
    futures_util::future::join_all(WAYS.map(test)).await;
}

#[tokio::test]
async fn a_port_that_opens_is_seen_at_once() {
    for way in WAYS {
        // On a busy machine neither the probe nor the program that opens the port runs in time. The promise is for a
        // machine that is not busy, so the best of some rounds counts. It covers the path from the service to the
        // progress; each way's own poll interval is 10 ms at most, whatever the machine does.
        let mut medians = Vec::new();
        for _ in 0..10 {
            medians.push(delays(way).await);
            if medians.iter().any(|median| *median < 25.0) {
                break;
            }
        }
        assert!(medians.iter().any(|median| *median < 25.0), "{way:?}: {medians:?}");
    }
}

/// The median delay in milliseconds between a port's opening and its detection.
async fn delays(way: Way) -> f64 {
    let session = Session::open().await;
    let target = session
        .serve(
            "for port in range(7001, 7012): time.sleep(0.3); kept.append((tcp if port % 3 else udp)(port))",
        )
        .await;
    let ports: Vec<_> =
        (7001..7012).map(|port| if port % 3 == 0 { Port::udp(port) } else { Port::tcp(port) }).collect();
    let progress = ProbeProgress::default();
    let watch = async {
        let mut seen = Vec::new();
        while seen.len() < ports.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let open = ports.len() - progress.failing().len();
            seen.resize(open, now());
        }
        seen
    };
    let wait = timeout(AT_MOST, session.wait_ports(way, &target, &ports, &progress));
    // The wait is polled first, so that the ports are in its progress before anything reads that.
    let (ready, seen) = tokio::join!(biased; wait, watch);
    ready.unwrap().unwrap();
    assert_eq!(progress.failing(), [], "{way:?}");
    let opened = session.said(&target).await;
    let mut delays: Vec<_> =
        opened.iter().zip(&seen).map(|(opened, seen)| (seen - opened) * 1000.0).collect();
    eprintln!("{way:?}: seen after {delays:.1?} ms");
    // The first ones may have opened before the helper ran.
    delays.drain(..2);
    delays.sort_by(f64::total_cmp);
    assert!(delays[0] > 0.0, "{way:?}: seen before it opened: {delays:?}");
    delays[delays.len() / 2]
}

/// Checks that a wait goes on after it has found exactly this.
async fn goes_on(wait: crate::engine::Call<'_, ()>, progress: &ProbeProgress, found: &[(&str, &str)]) {
    let has_found = async {
        while sorted(progress)
            != found.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(A_WHILE).await;
    };
    tokio::select! {
        ended = wait => panic!("{ended:?}"),
        in_time = timeout(AT_MOST, has_found) => assert!(in_time.is_ok(), "found {progress:?}, not {found:?}"),
    }
}

#[tokio::test]
async fn ports_are_open_when_all_are() {
    both_ways(|way| async move {
        let session = Session::open().await;
        let target = session.serve("a = tcp(7001); b = udp(7002)").await;
        let progress = ProbeProgress::default();
        let ports = [Port::tcp(7001), Port::udp(7002), Port::tcp(7003), Port::udp(7004)];
        let wait = session.wait_ports(way, &target, &ports, &progress);
        let found = [("7003/tcp", "connection refused"), ("7004/udp", "no socket is bound to it")];
        goes_on(Box::pin(wait), &progress, &found).await;
        timeout(AT_MOST, session.wait_ports(way, &target, &ports[..2], &progress)).await.unwrap().unwrap();
    })
    .await;
}

/// With each protocol and family, at each kind of address; without the engine's own resolver, which every container has.
#[tokio::test]
async fn what_waits_for_clients_is_found_both_ways() {
    let session = Session::open().await;
    let program = "
kept = [tcp(7001), tcp(7002, '127.0.0.1'), udp(7003), udp(7004, '127.0.0.1')]
six = socket.socket(socket.AF_INET6); six.bind(('::', 7005)); six.listen(); say()
kept += [socket.create_connection(('127.0.0.1', 7002))]
peer = udp(7006, '127.0.0.1'); peer.connect(('127.0.0.1', 7003)); say()
";
    let target = session.serve(program).await;
    while session.said(&target).await.len() < 7 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let prober = session.prober("linux/amd64");
    let direct = sockets::read(target.tables().unwrap()).unwrap();
    let through_helper = timeout(AT_MOST, helper::listening(prober, &target)).await.unwrap().unwrap();
    let texts = through_helper.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected =
        ["0.0.0.0:7001/tcp", "127.0.0.1:7002/tcp", "[::]:7005/tcp", "0.0.0.0:7003/udp", "127.0.0.1:7004/udp"];
    assert_eq!(texts, expected);
    assert_eq!(direct, through_helper);
    assert_eq!(prober.listening(&target).await.unwrap(), direct);
}

fn sorted(progress: &ProbeProgress) -> Vec<(String, String)> {
    let mut failing = progress.failing();
    failing.sort();
    failing
}

#[tokio::test]
async fn a_port_that_clients_cannot_reach_is_closed() {
    both_ways(|way| async move {
        let session = Session::open().await;
        let target = session
            .serve("a = tcp(7001, '127.0.0.1'); b = udp(7002, '127.0.0.1'); c = udp(7003); c.connect(('127.0.0.1', 9)); d = tcp(7004)")
            .await;
        let progress = ProbeProgress::default();
        // The last one opens after the others: they are there.
        timeout(AT_MOST, session.wait_ports(way, &target, &[Port::tcp(7004)], &progress)).await.unwrap().unwrap();
        let ports = [Port::tcp(7001), Port::udp(7002), Port::udp(7003), Port::tcp(7004)];
        let found = [
            ("7001/tcp", "connection refused"),
            ("7002/udp", "no socket is bound to it"),
            ("7003/udp", "no socket is bound to it"),
        ];
        goes_on(Box::pin(session.wait_ports(way, &target, &ports, &progress)), &progress, &found).await;
    })
    .await;
}

#[tokio::test]
async fn udp_of_six_serves_four() {
    both_ways(|way| async move {
        let session = Session::open().await;
        let target = session.serve("a = udp(7001, '::', socket.AF_INET6)").await;
        let progress = ProbeProgress::default();
        timeout(AT_MOST, session.wait_ports(way, &target, &[Port::udp(7001)], &progress))
            .await
            .unwrap()
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_page_is_there_when_it_is_answered_well() {
    both_ways(|way| async move {
        let session = Session::open().await;
        let target = session
            .serve(
                "time.sleep(0.3)
unavailable = 'HTTP/1.1 503 Service Unavailable\\r\\nContent-Length: 4\\r\\n\\r\\nbusy'
http(8080, unavailable, 'nonsense nonsense', '', unavailable, unavailable, 'HTTP/1.1 302 Found\\r\\nLocation: /\\r\\n\\r\\n')",
            )
            .await;
        let progress = ProbeProgress::default();
        timeout(AT_MOST, session.wait_http(way, &target, 8080, "/health", &progress)).await.unwrap().unwrap();
        assert_eq!(progress.failing(), [], "{way:?}");
        // Every answer was asked for. The service prints that a moment after it answered.
        let all = async { while session.said(&target).await.len() < 7 {} };
        assert!(timeout(AT_MOST, all).await.is_ok(), "{way:?}: {:?}", session.said(&target).await);
    })
    .await;
}

#[tokio::test]
async fn a_page_that_is_not_there_says_why() {
    both_ways(|way| async move {
        let session = Session::open().await;
        let target = session.serve("http(8080, *['HTTP/1.1 503 Busy\\r\\n\\r\\n'] * 1000)").await;
        let progress = ProbeProgress::default();
        let wait = session.wait_http(way, &target, 8080, "/x?y=z", &progress);
        goes_on(Box::pin(wait), &progress, &[("GET :8080/x?y=z", "status 503")]).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_ended_is_for_others_to_report() {
    let session = Session::open().await;
    let target = session.serve("").await;
    session.client.kill_container(&target.container, None).await.unwrap();
    session.client.wait_container(&target.container, None).try_collect::<Vec<_>>().await.unwrap_err(); // 137
    let progress = ProbeProgress::default();
    for way in WAYS {
        let early = timeout(2 * A_WHILE, session.wait_ports(way, &target, &[Port::tcp(1)], &progress)).await;
        assert!(early.is_err(), "{way:?}: {early:?}");
    }
}

#[tokio::test]
async fn a_helper_goes_with_its_probe() {
    let session = Session::open().await;
    let target = session.serve("a = tcp(7001)").await;
    let progress = ProbeProgress::default();
    // Dropped at any moment of its life.
    for after in [0, 5, 20, 60, 150, 400] {
        let closed = [Port::tcp(7002)];
        let wait = session.wait_ports(Way::Helper, &target, &closed, &progress);
        assert!(timeout(Duration::from_millis(after), wait).await.is_err());
    }
    let open = [Port::tcp(7001)];
    timeout(AT_MOST, session.wait_ports(Way::Helper, &target, &open, &progress)).await.unwrap().unwrap();
    session.cleaner.settle(0).await;
    assert_eq!(session.helpers().await, 0);
}

#[tokio::test]
async fn the_way_is_found_out() {
    let session = Session::open().await;
    let platform = session.connection.describe().platform;
    let prober = session.prober(&platform);
    let near = session.serve("a = tcp(7001); b = udp(7002)").await;
    let ports = [Port::tcp(7001), Port::udp(7002)];
    let progress = ProbeProgress::default();
    let time = async |target: &Target| {
        let began = Instant::now();
        timeout(AT_MOST, prober.wait_ports(target, &ports, &progress)).await.unwrap().unwrap();
        began.elapsed()
    };
    let direct = time(&near).await;
    // A network that is not one of ours, and a process number that means another process here.
    let far = Target { network_id: "0".repeat(64), ..near.clone() };
    assert!(!far.is_near());
    let helper = time(&far).await;
    let unknown = Target { pid: Some(i64::from(std::process::id())), ..near.clone() };
    let unknown = time(&unknown).await;
    let again = time(&near).await;
    eprintln!("direct {direct:?}, by helper {helper:?}, UDP by helper {unknown:?}, direct {again:?}");
    assert!(again < helper);
}

/// A way that leads nowhere is replaced by the other one: nobody on this network has the address.
#[tokio::test]
async fn silence_is_no_answer() {
    let session = Session::open().await;
    let near = session.serve("a = tcp(7001)").await;
    let IpAddr::V4(own) = near.ip else { panic!("{near:?}") };
    let [a, b, c, _] = own.octets();
    let nobody = Target { ip: std::net::Ipv4Addr::new(a, b, c, 99).into(), ..near };
    let progress = ProbeProgress::default();
    let began = Instant::now();
    let far = timeout(AT_MOST, direct::wait_ports(&nobody, &[Port::tcp(7001)], &progress)).await.unwrap();
    assert!(far.is_err());
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
}
