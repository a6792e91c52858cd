//! Datagrams: what arrives from one client at one port is a flow, with a socket of its own at the other side, so that
//! answers are told apart.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{AGAIN_AFTER, Dial, Life};
use crate::engine::{Datagrams, Flow};
use crate::lock::lock;

/// The largest datagram, and a little more.
const SPACE: usize = 64 << 10;
/// How long a flow is kept in which nothing is sent: the kernel's own timeout of one with answers
/// (`nf_conntrack_udp_timeout_stream`).
pub(in crate::session) const IDLE: Duration = Duration::from_secs(120);
/// How many flows a port has at most. The one that was idle for longest makes room for the next.
const MOST: usize = 1024;
/// How many datagrams may wait in a flow. More are dropped, as UDP allows.
const WAITING: usize = 64;

/// A client of a port.
struct Client {
    datagrams: mpsc::Sender<Vec<u8>>,
    last: Arc<Mutex<Instant>>,
}

/// Forwards what arrives at a socket, each client's datagrams in a flow of their own.
pub(super) async fn serve<D: Dial, L: Life>(socket: UdpSocket, port: u16, dial: &Arc<D>, life: &Arc<L>) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut space = vec![0; SPACE];
    loop {
        let (length, from) = match socket.recv_from(&mut space).await {
            Ok(received) => received,
            // An answer did not reach its client (ECONNREFUSED).
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
            Err(_) => {
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
        };
        let datagram = space.get(..length).unwrap_or_default().to_vec();
        if clients.get(&from).is_none_or(|client| client.datagrams.is_closed()) {
            make_room(&mut clients);
            let (sender, receiver) = mpsc::channel(WAITING);
            let last = Arc::new(Mutex::new(Instant::now()));
            let answers = Answers::Socket { socket: socket.clone(), to: from };
            tokio::spawn(carry(receiver, answers, port, dial.clone(), life.clone(), last.clone()));
            clients.insert(from, Client { datagrams: sender, last });
        }
        if let Some(client) = clients.get(&from) {
            let _ = client.datagrams.try_send(datagram);
        }
    }
}

fn make_room(clients: &mut HashMap<SocketAddr, Client>) {
    if clients.len() < MOST {
        return;
    }
    clients.retain(|_, client| !client.datagrams.is_closed());
    if clients.len() >= MOST {
        let idlest = clients.iter().min_by_key(|(_, client)| *lock(&client.last)).map(|(from, _)| *from);
        idlest.and_then(|from| clients.remove(&from));
    }
}

/// Forwards one flow that the engine carries.
pub(super) async fn flow<D: Dial, L: Life>(client: Datagrams, port: u16, dial: Arc<D>, life: Arc<L>) {
    let last = Arc::new(Mutex::new(Instant::now()));
    carry(client.receiver, Answers::Relayed(client.sender), port, dial, life, last).await;
}

/// Where answers go.
enum Answers {
    Socket { socket: Arc<UdpSocket>, to: SocketAddr },
    Relayed(mpsc::Sender<Vec<u8>>),
}

impl Answers {
    async fn send(&self, datagram: &[u8]) {
        // One that cannot be sent is lost, as any may be.
        match self {
            Self::Socket { socket, to } => drop(socket.send_to(datagram, to).await),
            Self::Relayed(sender) => drop(sender.try_send(datagram.to_vec())),
        }
    }
}

async fn carry<D: Dial, L: Life>(
    datagrams: mpsc::Receiver<Vec<u8>>,
    answers: Answers,
    port: u16,
    dial: Arc<D>,
    life: Arc<L>,
    last: Arc<Mutex<Instant>>,
) {
    let Ok(flow) = dial.flow(port).await else { return };
    tokio::select! {
        () = life.over() => {}
        () = carry_flow(datagrams, answers, flow, &last) => {}
    }
}

/// Forwards until nothing was sent either way for a while, or one side has gone.
async fn carry_flow(
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    answers: Answers,
    flow: Flow,
    last: &Mutex<Instant>,
) {
    let mut server = Server::of(flow);
    loop {
        let idle = *lock(last) + IDLE;
        tokio::select! {
            sent = timeout_at(idle, datagrams.recv()) => match sent {
                Ok(Some(datagram)) => server.send(datagram).await,
                Ok(None) => return,
                Err(_) if *lock(last) + IDLE <= Instant::now() => return,
                Err(_) => continue,
            },
            answer = server.receive() => match answer {
                Some(answer) => answers.send(&answer).await,
                None => return,
            },
        }
        *lock(last) = Instant::now();
    }
}

/// The other side of a flow.
enum Server {
    Socket { socket: UdpSocket, space: Vec<u8> },
    Relayed(Datagrams),
}

impl Server {
    fn of(flow: Flow) -> Self {
        match flow {
            Flow::Socket(socket) => Self::Socket { socket, space: vec![0; SPACE] },
            Flow::Relayed(datagrams) => Self::Relayed(datagrams),
        }
    }

    async fn send(&self, datagram: Vec<u8>) {
        match self {
            // An error about an earlier datagram has prevented this one from being sent.
            Self::Socket { socket, .. } => {
                if socket.send(&datagram).await.is_err() {
                    let _ = socket.send(&datagram).await;
                }
            }
            Self::Relayed(datagrams) => drop(datagrams.sender.try_send(datagram)),
        }
    }

    async fn receive(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Socket { socket, space } => loop {
                match socket.recv(space).await {
                    Ok(length) => return Some(space.get(..length).unwrap_or_default().to_vec()),
                    // Nobody listens yet, or any more: the client may try again.
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                    Err(_) => return None,
                }
            },
            Self::Relayed(datagrams) => datagrams.receiver.recv().await,
        }
    }
}
