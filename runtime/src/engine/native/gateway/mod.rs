//! Containers reach the world through the pipeline.
//!
//! What a container sends to the world arrives at sockets in the bridge's network namespace (`shim/nft.rs`), which the
//! pipeline holds. The pipeline forwards it over connections of its own, by whatever route the machine's programs have:
//! the machine's network is not changed, no privilege is needed, and nothing stays behind. TCP, UDP and DNS queries are
//! forwarded, and nothing else.
//!
//! So a container reaches what the machine does, including the machine's own addresses, except what is meant for the
//! machine alone (`reach.rs`). The number of open connections is limited (`bounds.rs`), and every wait has a timeout.

mod bounds;
mod connections;
mod datagram;
mod message;
mod names;
mod reach;
mod routes;
mod udp;

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::bounds::{Most, Openings};
#[cfg(all(any(test, fuzzing), feature = "docker"))]
pub(super) use self::message::fuzz as question;
pub(super) use self::names::{Names, resolver};
pub(super) use self::reach::Reach;
use self::udp::Datagrams;

/// The gateway's tasks, which end when this is dropped.
#[derive(Debug)]
pub(super) struct Gateway {
    tasks: JoinSet<()>,
    reach: Arc<Reach>,
    connections: Arc<Openings>,
    /// Takes the addresses of containers that have ended; or the reason why UDP does not pass.
    ended: Result<mpsc::UnboundedSender<Ipv4Addr>, String>,
}

impl Gateway {
    /// Serves the sockets that the shim made: for connections, for DNS over TCP, for DNS over UDP.
    pub(super) fn serve(sockets: Vec<OwnedFd>, reach: Arc<Reach>, names: Arc<Names>) -> io::Result<Self> {
        let [connections, by_tcp, by_udp] = three(sockets)?;
        let listener = |socket: OwnedFd| TcpListener::from_std(std::net::TcpListener::from(socket));
        let (connections, by_tcp) = (listener(connections)?, listener(by_tcp)?);
        let by_udp = UdpSocket::from_std(std::net::UdpSocket::from(by_udp))?;
        let openings = Openings::new("connections", Most::connections());
        let questions = Openings::new("questions for names", Most::questions());
        let mut tasks = JoinSet::new();
        let to = Arc::clone(&reach);
        tasks.spawn(connections::accept(connections, Arc::clone(&openings), move |inside, opening| {
            connections::forward(inside, Arc::clone(&to), opening)
        }));
        let known = Arc::clone(&names);
        tasks.spawn(connections::accept(by_tcp, Arc::clone(&openings), move |inside, opening| {
            names::serve(inside, Arc::clone(&known), opening)
        }));
        tasks.spawn(names::answer(by_udp, names, questions));
        Ok(Self { tasks, reach, connections: openings, ended: Err("nobody asked for it".to_owned()) })
    }

    /// Serves the sockets that the shim made for datagrams, or records why there are none.
    pub(super) fn serve_datagrams(&mut self, sockets: io::Result<Vec<OwnedFd>>) {
        let (tell, ended) = mpsc::unbounded_channel();
        let reach = Arc::clone(&self.reach);
        let made = sockets.and_then(|sockets| Datagrams::new(sockets, reach, ended));
        self.ended = made.map_err(|error| error.to_string()).map(|datagrams| {
            self.tasks.spawn(datagrams.carry());
            tell
        });
    }

    /// A guard for a container with an address of the session.
    pub(super) fn flows(&self, container: Ipv4Addr) -> FlowGuard {
        let ended = self.ended.as_ref().ok().cloned();
        FlowGuard { container, connections: Arc::clone(&self.connections), ended }
    }

    /// What does not pass although it could, and why.
    pub(super) fn lacks(&self) -> Option<String> {
        self.ended.as_ref().err().map(|error| format!("a way to the world by UDP: {error}"))
    }
}

/// Closes everything that an address has open to the world, when asked and when dropped.
#[derive(Debug)]
pub(super) struct FlowGuard {
    container: Ipv4Addr,
    connections: Arc<Openings>,
    ended: Option<mpsc::UnboundedSender<Ipv4Addr>>,
}

impl FlowGuard {
    pub(super) fn say(&self) {
        self.connections.end(self.container);
        if let Some(ended) = &self.ended {
            let _ = ended.send(self.container);
        }
    }
}

impl Drop for FlowGuard {
    fn drop(&mut self) {
        self.say();
    }
}

fn three(sockets: Vec<OwnedFd>) -> io::Result<[OwnedFd; 3]> {
    sockets.try_into().map_err(|_| io::Error::other("the shim gave other sockets than it should"))
}
