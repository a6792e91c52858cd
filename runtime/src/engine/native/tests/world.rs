//! The gateway to the world, and where it must not lead.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use super::*;

/// The address of this machine in its network.
fn own_address() -> Ipv4Addr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    match socket.local_addr().unwrap().ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("{address}"),
    }
}

fn listener(address: Ipv4Addr) -> (UdpSocket, u16) {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn heard(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut space = [0; 100];
    let (length, from) = socket.recv_from(&mut space).unwrap();
    (text(&space[..length]), from)
}

/// The number of sockets of this machine that are connected to an address.
fn connected_to(address: Ipv4Addr, port: u16) -> usize {
    let peer = format!("{:08X}:{port:04X}", u32::from_ne_bytes(address.octets()));
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    table.lines().filter(|line| line.split_whitespace().nth(2) == Some(&peer)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_of_the_world_does_not_leave() {
    let engine = engine!();
    let base = image(&*engine, "python:3.11").await.snapshot;
    let (loopback, hidden) = listener(Ipv4Addr::LOCALHOST);
    let (everywhere, open) = listener(Ipv4Addr::UNSPECIFIED);
    // A container with raw sockets can forge the destination, and send the packet to the gateway anyway.
    let program = format!(
        "import struct
from socket import *
own = '{}'
raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW)
def forge(to, port, data):
  ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 0, 0, 0, 64, 17, 0, bytes(4), inet_aton(to))
  raw.sendto(ip + struct.pack('!HHHH', 4444, port, 8 + len(data), 0) + data, (own, 0))
for to in ['127.0.0.1', '127.0.0.2', '0.0.0.0', '255.255.255.255', '224.0.0.1', '10.205.0.1', own]:
  forge(to, {hidden}, b'hidden')
  forge(to, {open}, to.encode())
s = socket(AF_INET, SOCK_DGRAM)
s.setsockopt(SOL_SOCKET, SO_BROADCAST, 1)
s.sendto(b'broadcast', ('255.255.255.255', {open}))
s.sendto(b'last', (own, {open}))",
        own_address()
    );
    let (_, output) = run(&*engine, step(&base, &["python3", "-c", &program])).await;
    assert_eq!(output.exit_code, 0, "{}", text(&output.stderr));
    // They are forwarded one after another.
    assert_eq!(heard(&everywhere).0, own_address().to_string());
    assert_eq!(heard(&everywhere).0, "last");
    loopback.set_nonblocking(true).unwrap();
    assert_eq!(loopback.recv(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    engine.close().await.unwrap();
}

/// Nor from a container that may change its own network.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_does_not_reach_the_loopback_of_the_machine() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let hidden = TcpListener::bind("127.0.0.2:0").unwrap();
    hidden.set_nonblocking(true).unwrap();
    let open = TcpListener::bind((own_address(), 0)).unwrap();
    let mut step = script(
        &base,
        &format!(
            "for i in all eth0; do echo 1 > /proc/sys/net/ipv4/conf/$i/route_localnet; done
            ip route del table local 127.0.0.0/8 dev lo
            ip route add 127.0.0.0/8 via {} && echo around
            timeout 5 nc {} {} < /dev/null
            timeout 5 nc 127.0.0.2 {} < /dev/null
            true",
            Network::Others.bridge(),
            own_address(),
            open.local_addr().unwrap().port(),
            hidden.local_addr().unwrap().port()
        ),
    );
    step.process.as_mut().unwrap().security.privileged = true;
    let accepted = tokio::task::spawn_blocking(move || open.accept().map(|_| ()));
    let (_, output) = run(&*engine, step).await;
    assert_eq!(text(&output.stdout), "around\n", "{}", text(&output.stderr));
    accepted.await.unwrap().unwrap();
    assert_eq!(hidden.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_container_opened_is_closed_when_it_has_ended() {
    let engine = engine!();
    let base = image(&*engine, "python:3.11").await.snapshot;
    let (sink, port) = listener(own_address());
    let program = format!(
        "from socket import *
all = [socket(AF_INET, SOCK_DGRAM) for i in range(20)]
for s in all: s.sendto(b'x', ('{}', {port}))
s.settimeout(20)
s.recv(9)",
        own_address()
    );
    let step = step(&base, &["python3", "-c", &program]);
    let by = Arc::clone(&engine);
    let runs = tokio::spawn(async move { run(&*by, step).await.1 });
    let (open, sink) = tokio::task::spawn_blocking(move || {
        let from: Vec<SocketAddr> = (0..20).map(|_| heard(&sink).1).collect();
        let open = connected_to(own_address(), port);
        for from in from {
            sink.send_to(b"enough", from).unwrap();
        }
        (open, sink)
    })
    .await
    .unwrap();
    let output = runs.await.unwrap();
    assert_eq!((open, output.exit_code), (20, 0), "{}", text(&output.stderr));
    assert!(soon(|| connected_to(own_address(), port) == 0));
    drop(sink);
    engine.close().await.unwrap();
}

/// Containers on Docker's networks, including `--internal` ones, which Docker's own containers on other networks do not
/// reach either.
#[tokio::test(flavor = "multi_thread")]
async fn containers_of_another_engine_are_not_reached() {
    struct Removed<'a>([&'a str; 3], &'a str);
    impl Drop for Removed<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("docker").args(self.0).arg(self.1).output();
        }
    }
    let docker = |args: &[&str]| {
        let output = std::process::Command::new("docker").args(args).output().unwrap();
        assert!(output.status.success(), "docker {args:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    let engine = engine!();
    let base = busybox(&engine).await;
    let name = format!("bowline-test-{}", SessionId::random());
    docker(&["network", "create", "--internal", &name]);
    let _network = Removed(["network", "rm", "--"], &name);
    let serves = "echo page > /index.html; exec httpd -f -p 80 -h /";
    docker(&["run", "-d", "--name", &name, "--network", &name, BUSYBOX, "sh", "-c", serves]);
    let _container = Removed(["rm", "-f", "--"], &name);
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}";
    let address = docker(&["inspect", "-f", format, &name]);
    let address = address.split_whitespace().next().unwrap();
    let reached = || std::net::TcpStream::connect((address, 80)).is_ok();
    assert!(soon(reached), "the machine itself reaches it");
    let look = format!("wget -qO- http://{address}/ || echo none");
    let (_, output) = run(&*engine, script(&base, &look)).await;
    assert_eq!(text(&output.stdout), "none\n");
    engine.close().await.unwrap();
}
