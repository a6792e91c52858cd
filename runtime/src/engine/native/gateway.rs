//! The way from containers to the world: through the pipeline.
//!
//! What a container sends to the world ends at sockets of the hub (`host/nft.rs`), which belong to the hub's network but
//! are held by the pipeline. So a connection goes on as one of the pipeline's own, by whatever way the machine's programs
//! have: nothing of the machine's network is changed, no right is needed for it, and nothing stays behind. TCP and
//! questions for names go through, and nothing else does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::address::Network;

/// As long as resolvers wait for one server (resolv.conf(5)).
const ANSWER: Duration = Duration::from_secs(5);
/// Where the machine keeps its name servers.
const RESOLVERS: &str = "/etc/resolv.conf";
const DOMAIN: u16 = 53;
/// As many questions may be open at once.
const QUESTIONS: usize = 1024;

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Gateway {
    _tasks: JoinSet<()>,
}

impl Gateway {
    /// Serves the sockets that the host made: connections, questions by TCP, questions by UDP.
    pub(super) fn serve(sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let [connections, by_tcp, by_udp] = <[OwnedFd; 3]>::try_from(sockets)
            .map_err(|_| io::Error::other("the host gave other sockets than it should"))?;
        let listener = |socket: OwnedFd| TcpListener::from_std(std::net::TcpListener::from(socket));
        let (connections, by_tcp) = (listener(connections)?, listener(by_tcp)?);
        let by_udp = UdpSocket::from_std(std::net::UdpSocket::from(by_udp))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(connections, original));
        tasks.spawn(accept(by_tcp, |_| resolvers().into_iter().next()));
        tasks.spawn(answer(by_udp));
        Ok(Self { _tasks: tasks })
    }
}

/// Lets every connection go on to where it is for.
async fn accept(listener: TcpListener, target: impl Fn(&TcpStream) -> Option<SocketAddr>) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((inside, _)) = listener.accept().await else {
            // Too many open files, most likely: some will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let to = target(&inside);
        open.spawn(forward(inside, to));
    }
}

/// A connection that cannot be made is one that is reset: it had to be accepted to be seen.
async fn forward(mut inside: TcpStream, to: Option<SocketAddr>) {
    let outside = match to {
        Some(to) => TcpStream::connect(to).await.ok(),
        None => None,
    };
    let Some(mut outside) = outside else {
        let _ = inside.set_zero_linger();
        return;
    };
    let _ = (inside.set_nodelay(true), outside.set_nodelay(true));
    if copy_bidirectional(&mut inside, &mut outside).await.is_err() {
        let _ = (inside.set_zero_linger(), outside.set_zero_linger());
    }
}

/// Where a connection was for before it was redirected.
#[allow(unsafe_code)]
fn original(stream: &TcpStream) -> Option<SocketAddr> {
    let mut found = libc::sockaddr_in {
        sin_family: 0,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: 0 },
        sin_zero: [0; 8],
    };
    let mut length = u32::try_from(size_of_val(&found)).ok()?;
    // SAFETY: both pointers are to memory that outlives the call, and the length is that of the structure.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_IP,
            libc::SO_ORIGINAL_DST,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    let address = Ipv4Addr::from(u32::from_be(found.sin_addr.s_addr));
    (failed == 0).then(|| SocketAddrV4::new(address, u16::from_be(found.sin_port)).into())
}

/// The text of a container's resolv.conf(5): it asks the gateway, and completes names as the machine does.
pub(super) fn resolver(network: Network) -> String {
    let text = std::fs::read_to_string(RESOLVERS).unwrap_or_default();
    let kept = text.lines().filter(|line| line.starts_with("search ") || line.starts_with("options "));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    format!("nameserver {}\n{kept}", network.hub())
}

/// The machine's name servers; read every time, as a machine moves from network to network.
fn resolvers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(RESOLVERS).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|server| Some(SocketAddr::new(server.trim().parse().ok()?, DOMAIN))).collect()
}

async fn answer(socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut asked = JoinSet::new();
    let mut question = vec![0; 64 << 10];
    loop {
        while asked.try_join_next().is_some() {}
        let Ok((length, peer)) = socket.recv_from(&mut question).await else { continue };
        if asked.len() >= QUESTIONS {
            continue; // they ask again
        }
        let question = question.get(..length).unwrap_or_default().to_vec();
        let socket = Arc::clone(&socket);
        asked.spawn(async move {
            let mut answer = None;
            for resolver in resolvers() {
                if let Ok(Ok(found)) = tokio::time::timeout(ANSWER, ask(resolver, &question)).await {
                    answer = Some(found);
                    break;
                }
            }
            if let Some(answer) = answer.or_else(|| failure(question)) {
                let _ = socket.send_to(&answer, peer).await;
            }
        });
    }
}

async fn ask(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut answer = vec![0; 64 << 10];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

/// Says that no server answered (RFC 1035, 4.1.1: a response, "server failure"), so that nobody waits for one.
fn failure(mut question: Vec<u8>) -> Option<Vec<u8>> {
    *question.get_mut(2)? |= 0x80;
    let flags = question.get_mut(3)?;
    *flags = (*flags & 0xf0) | 2;
    Some(question)
}
