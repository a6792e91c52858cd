//! The way from containers to the world: through the pipeline.
//!
//! What a container sends to the world ends at sockets of the hub (`host/nft.rs`), which belong to the hub's network but
//! are held by the pipeline. So a connection goes on as one of the pipeline's own, by whatever way the machine's programs
//! have: nothing of the machine's network is changed, no right is needed for it, and nothing stays behind. TCP, UDP and
//! questions for names go through, and nothing else does.
//!
//! So a container reaches what the machine does, at the machine's own addresses too, but for what is the machine's alone
//! (`reach.rs`). What is open is bounded (`bounds.rs`), and so is every wait.

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
pub(super) use self::reach::{Reach, VARIABLE as REACH};
use self::udp::Datagrams;

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Gateway {
    tasks: JoinSet<()>,
    reach: Arc<Reach>,
    connections: Arc<Openings>,
    /// Takes the addresses of containers that have ended, where datagrams pass; else why they do not.
    ended: Result<mpsc::UnboundedSender<Ipv4Addr>, String>,
}

impl Gateway {
    /// Serves the sockets that the host made: connections, questions by TCP, questions by UDP.
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

    /// Serves the sockets that the host made for datagrams, or knows why there are none.
    pub(super) fn serve_datagrams(&mut self, sockets: io::Result<Vec<OwnedFd>>) {
        let (tell, ended) = mpsc::unbounded_channel();
        let reach = Arc::clone(&self.reach);
        let made = sockets.and_then(|sockets| Datagrams::new(sockets, reach, ended));
        self.ended = made.map_err(|error| error.to_string()).map(|datagrams| {
            self.tasks.spawn(datagrams.carry());
            tell
        });
    }

    /// For who has an address of the session.
    pub(super) fn farewell(&self, container: Ipv4Addr) -> Farewell {
        let ended = self.ended.as_ref().ok().cloned();
        Farewell { container, connections: Arc::clone(&self.connections), ended }
    }

    /// What does not pass though it could, and why.
    pub(super) fn lacks(&self) -> Option<String> {
        self.ended.as_ref().err().map(|error| format!("a way to the world by UDP: {error}"))
    }
}

/// Ends all that an address has open to the world, when asked and when dropped.
#[derive(Debug)]
pub(super) struct Farewell {
    container: Ipv4Addr,
    connections: Arc<Openings>,
    ended: Option<mpsc::UnboundedSender<Ipv4Addr>>,
}

impl Farewell {
    pub(super) fn say(&self) {
        self.connections.end(self.container);
        if let Some(ended) = &self.ended {
            let _ = ended.send(self.container);
        }
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
