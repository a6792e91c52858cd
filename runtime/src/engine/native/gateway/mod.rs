//! The way from containers to the world: through the pipeline.
//!
//! What a container sends to the world ends at sockets of the hub (`host/nft.rs`), which belong to the hub's network but
//! are held by the pipeline. So a connection goes on as one of the pipeline's own, by whatever way the machine's programs
//! have: nothing of the machine's network is changed, no right is needed for it, and nothing stays behind. TCP, UDP and
//! questions for names go through, and nothing else does.
//!
//! So a container reaches what the machine does, at the machine's own addresses too, but for its loopback ([`leads_out`]).

mod datagram;
mod udp;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::udp::Datagrams;
use super::address::{self, Network};

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
    tasks: JoinSet<()>,
    /// Takes the addresses of containers that have ended, where datagrams pass; else why they do not.
    ended: Result<mpsc::UnboundedSender<Ipv4Addr>, String>,
}

impl Gateway {
    /// Serves the sockets that the host made: connections, questions by TCP, questions by UDP.
    pub(super) fn serve(sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let [connections, by_tcp, by_udp] = three(sockets)?;
        let listener = |socket: OwnedFd| TcpListener::from_std(std::net::TcpListener::from(socket));
        let (connections, by_tcp) = (listener(connections)?, listener(by_tcp)?);
        let by_udp = UdpSocket::from_std(std::net::UdpSocket::from(by_udp))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(connections, original));
        tasks.spawn(accept(by_tcp, |_| resolvers().into_iter().next()));
        tasks.spawn(answer(by_udp));
        Ok(Self { tasks, ended: Err("nobody asked for it".to_owned()) })
    }

    /// Serves the sockets that the host made for datagrams, or knows why there are none.
    pub(super) fn serve_datagrams(&mut self, sockets: io::Result<Vec<OwnedFd>>) {
        let (tell, ended) = mpsc::unbounded_channel();
        let made = sockets.and_then(|sockets| Datagrams::new(sockets, ended));
        self.ended = made.map_err(|error| error.to_string()).map(|datagrams| {
            self.tasks.spawn(datagrams.carry());
            tell
        });
    }

    /// For who has an address of the session.
    pub(super) fn farewell(&self, container: Ipv4Addr) -> Option<Farewell> {
        let ended = self.ended.as_ref().ok()?.clone();
        Some(Farewell { container, ended })
    }

    /// What does not pass though it could, and why.
    pub(super) fn lacks(&self) -> Option<String> {
        self.ended.as_ref().err().map(|error| format!("a way to the world by UDP: {error}"))
    }
}

/// Ends all flows of datagrams with an address, when asked and when dropped.
#[derive(Debug)]
pub(super) struct Farewell {
    container: Ipv4Addr,
    ended: mpsc::UnboundedSender<Ipv4Addr>,
}

impl Farewell {
    pub(super) fn say(&self) {
        let _ = self.ended.send(self.container);
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.say();
    }
}

fn three(sockets: Vec<OwnedFd>) -> io::Result<[OwnedFd; 3]> {
    sockets.try_into().map_err(|_| io::Error::other("the host gave other sockets than it should"))
}

/// Whether this is an address of another machine, or one that this machine has in a network. What a container sends to its
/// own loopback, or to all in its network, does not come here; but whoever may forge packets or change its network can send
/// such things to the hub, and from the pipeline they would go to the machine's loopback. Addresses of a session are nowhere
/// else. To a broadcast address of a network of the machine no socket connects that was not made for it.
fn leads_out(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let [own, pair, ..] = address::ALL.octets();
    let in_session = (first, second & 0xfe) == (own, pair);
    !(in_session || first == 0 || address.is_loopback() || address.is_multicast() || address.is_broadcast())
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
    (failed == 0 && leads_out(address))
        .then(|| SocketAddrV4::new(address, u16::from_be(found.sin_port)).into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_elsewhere_leads_out() {
        let inside = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "224.0.0.251", "239.255.255.250"];
        let session = ["255.255.255.255", "10.204.0.1", "10.205.255.255"];
        for address in inside.into_iter().chain(session) {
            assert!(!leads_out(address.parse().unwrap()), "{address}");
        }
        for address in ["10.203.255.255", "10.206.0.0", "192.0.2.1", "172.17.0.1", "169.254.1.1"] {
            assert!(leads_out(address.parse().unwrap()), "{address}");
        }
    }
}
