//! Tests of relays, without an engine: the program runs on this machine, and its stream is that of its own standard input
//! and output.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::stream::{End, Refused, carry};
use super::*;
use crate::engine::{Datagrams, Incoming, Relayed};

mod dial;
mod hostile;
mod listen;

/// Long enough for anything that happens at all on a busy machine.
const AT_MOST: Duration = Duration::from_secs(30);

/// Long enough for what must not happen.
const A_WHILE: Duration = Duration::from_millis(200);

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A relay that runs beside the test.
struct Program {
    link: Arc<Link>,
    child: Child,
    ports: Vec<mpsc::Receiver<Incoming>>,
    task: tokio::task::JoinHandle<()>,
}

fn command(args: &[&str]) -> Command {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/docker/helper");
    let mut command = Command::new(format!("{directory}/relay-{}", std::env::consts::ARCH));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Program {
    async fn dial() -> Self {
        Self::start(Side::Dial, &["dial"]).await.unwrap()
    }

    async fn listen(ports: &[PortNumber]) -> Result<Self, Refused> {
        let args: Vec<_> = ports.iter().map(|port| format!("{}/{}", port.number, port.protocol)).collect();
        let args: Vec<_> = std::iter::once("listen").chain(args.iter().map(String::as_str)).collect();
        Self::start(Side::Listen(ports.iter().map(|port| port.protocol).collect()), &args).await
    }

    async fn start(side: Side, args: &[&str]) -> Result<Self, Refused> {
        let mut child = command(args).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let output = stream::unfold(output, |mut output| async {
            let mut piece = vec![0; 32 << 10];
            let length = output.read(&mut piece).await.map_err(|error| error.to_string());
            match length {
                Ok(0) => None,
                Ok(length) => Some((Ok(Bytes::copy_from_slice(&piece[..length])), output)),
                Err(error) => Some((Err(error), output)),
            }
        });
        let (senders, ports) = args[1..].iter().map(|_| mpsc::channel(frame::MOST)).unzip();
        let link = Link::new(side);
        let (tell, ready) = oneshot::channel();
        let carried = link.clone();
        let task = tokio::spawn(async move {
            let (End::Closed(reason) | End::Broken(reason)) =
                carry(&carried, output, input, senders, tell).await;
            carried.over(&reason);
        });
        timeout(AT_MOST, ready).await.unwrap().unwrap()?;
        Ok(Self { link, child, ports, task })
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<Box<dyn Relayed>> {
        let Ok((handle, opened)) = self.link.open(Protocol::Tcp, to) else {
            return Err(errors::too_many());
        };
        timeout(AT_MOST, outcome(opened)).await.unwrap()?;
        Ok(relayed(carried::connection(handle)))
    }

    async fn flow(&self, to: SocketAddr) -> Datagrams {
        let Ok((handle, opened)) = self.link.open(Protocol::Udp, to) else { panic!("{:?}", self.link.end()) };
        timeout(AT_MOST, outcome(opened)).await.unwrap().unwrap();
        carried::datagrams(handle)
    }

    /// The next connection at a port.
    async fn accept(&mut self, port: usize) -> Box<dyn Relayed> {
        match timeout(AT_MOST, self.ports[port].recv()).await.unwrap().unwrap() {
            Incoming::Connection(connection) => relayed(connection),
            Incoming::Flow(_) => panic!("a flow"),
        }
    }

    /// The next flow at a port.
    async fn take(&mut self, port: usize) -> Datagrams {
        match timeout(AT_MOST, self.ports[port].recv()).await.unwrap().unwrap() {
            Incoming::Flow(flow) => flow,
            Incoming::Connection(_) => panic!("a connection"),
        }
    }

    /// How many files the program has open.
    fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id().unwrap())).unwrap().count()
    }

    /// Waits until nothing is carried, here and there, and the program has so many files open.
    async fn idle(&self, files: usize) {
        let idle = async {
            while self.link.carried() > 0 || self.files() > files {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = timeout(AT_MOST, idle).await;
        assert!(in_time.is_ok(), "{} carried, {} files", self.link.carried(), self.files());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn relayed(connection: Connection) -> Box<dyn Relayed> {
    match connection {
        Connection::Relayed(relayed) => relayed,
        Connection::Socket(_) => panic!("a socket"),
    }
}

/// A server's listener, and its address.
async fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that sends back what it receives.
async fn echo() -> SocketAddr {
    let (listener, address) = server().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

/// A port at which nobody listens.
async fn unused() -> u16 {
    let (listener, address) = server().await;
    drop(listener);
    address.port()
}

fn tcp(number: u16) -> PortNumber {
    PortNumber { protocol: Protocol::Tcp, number }
}

fn udp(number: u16) -> PortNumber {
    PortNumber { protocol: Protocol::Udp, number }
}

/// Bytes none of whose pieces are alike.
fn contents(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Reads until the end, at which it must arrive.
async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    timeout(AT_MOST, stream.read_to_end(&mut read)).await.unwrap()?;
    Ok(read)
}
