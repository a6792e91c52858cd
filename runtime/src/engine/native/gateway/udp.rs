//! UDP datagrams to the world, and their answers.
//!
//! The datagrams from one address to another are a flow. Each flow has a socket of the pipeline's, connected to the
//! destination, so that only answers from there are accepted. A datagram that cannot be sent at once is dropped, as UDP
//! allows.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::bounds::{Most, Told};
use super::datagram::{Answers, Ends, SPACE, receive};
use super::reach::Reach;
use crate::lock::lock;

/// How long an idle flow is kept: the kernel's own timeouts, `nf_conntrack_udp_timeout` and …`_stream`.
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(2 * 60);
/// How many datagrams are forwarded before anything else is polled.
const AT_ONCE: usize = 64;

/// All flows of a session.
#[derive(Debug)]
pub(super) struct Datagrams {
    /// The socket at which containers' datagrams arrive.
    inside: tokio::net::UdpSocket,
    /// Sends to containers.
    answers: Arc<Mutex<Answers>>,
    reach: Arc<Reach>,
    /// The open flows.
    flows: HashMap<Ends, Flow>,
    most: Most,
    told: Told,
    /// The tasks that forward answers, each of which ends with its flow.
    open: JoinSet<Ends>,
    /// Addresses of containers that have ended.
    ended: mpsc::UnboundedReceiver<Ipv4Addr>,
}

#[derive(Debug)]
struct Flow {
    /// The socket connected to the flow's destination.
    outside: Arc<tokio::net::UdpSocket>,
    life: Arc<Life>,
    /// The task that forwards answers.
    task: AbortHandle,
}

/// When a datagram was last sent or received, and whether any was received.
#[derive(Debug)]
struct Life(Mutex<(Instant, bool)>);

impl Drop for Flow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Datagrams {
    /// Takes the sockets that the shim made: for what containers send, for answers, and for ICMP errors. `ended` receives
    /// the addresses of containers that have ended.
    pub(super) fn new(
        sockets: Vec<OwnedFd>,
        reach: Arc<Reach>,
        ended: mpsc::UnboundedReceiver<Ipv4Addr>,
    ) -> io::Result<Self> {
        let [inside, answers, messages] = super::three(sockets)?;
        Ok(Self {
            inside: tokio::net::UdpSocket::from_std(UdpSocket::from(inside))?,
            answers: Arc::new(Mutex::new(Answers::new(answers, messages))),
            reach,
            flows: HashMap::new(),
            most: Most::flows(),
            told: Told::default(),
            open: JoinSet::new(),
            ended,
        })
    }

    pub(super) async fn carry(mut self) {
        let mut space = vec![0; SPACE];
        loop {
            tokio::select! {
                Some(idle) = self.open.join_next() => {
                    if let Ok(ends) = idle
                        && self.flows.get(&ends).is_some_and(|flow| flow.task.is_finished())
                    {
                        self.flows.remove(&ends);
                    }
                }
                Some(container) = self.ended.recv() => {
                    self.flows.retain(|ends, _| *ends.container.ip() != container);
                }
                _ = self.inside.readable() => {
                    for _ in 0..AT_ONCE {
                        let arrived = self.inside.try_io(Interest::READABLE, || receive(&self.inside, &mut space));
                        let Ok((ends, length)) = arrived else { break };
                        self.pass(ends, &space[..length]);
                    }
                }
            }
        }
    }

    fn pass(&mut self, ends: Ends, datagram: &[u8]) {
        if self.flows.get(&ends).is_none_or(|flow| flow.task.is_finished()) {
            if !self.reach.leads_to(*ends.world.ip()) {
                return;
            }
            // The destination may be reachable later, if there is no route now or too many files are open.
            let Ok(flow) = self.open(ends) else { return };
            self.flows.insert(ends, flow);
        }
        if let Some(flow) = self.flows.get(&ends) {
            flow.life.goes_on(false);
            flow.send(datagram);
        }
    }

    fn open(&mut self, ends: Ends) -> io::Result<Flow> {
        self.make_room(*ends.container.ip());
        let outside = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // The kernel refuses this for a broadcast address.
        outside.connect(ends.world)?;
        outside.set_nonblocking(true)?;
        let outside = Arc::new(tokio::net::UdpSocket::from_std(outside)?);
        let life = Arc::new(Life(Mutex::new((Instant::now(), false))));
        let hears = hear(ends, Arc::clone(&outside), Arc::clone(&life), Arc::clone(&self.answers));
        Ok(Flow { outside, life, task: self.open.spawn(hears) })
    }
}

impl Datagrams {
    /// Makes room for one more flow of a container: its own oldest is closed if the container has as many as it may, and
    /// if all together have, the oldest of the container with the most.
    fn make_room(&mut self, container: Ipv4Addr) {
        let mut open: HashMap<Ipv4Addr, usize> = HashMap::new();
        self.flows.keys().for_each(|ends| *open.entry(*ends.container.ip()).or_default() += 1);
        let from = if open.get(&container).is_some_and(|open| *open >= self.most.one) {
            container
        } else if self.flows.len() >= self.most.all {
            open.into_iter().max_by_key(|(_, open)| *open).map_or(container, |(of, _)| of)
        } else {
            return;
        };
        self.told.say("flows of datagrams", self.most);
        let of = self.flows.iter().filter(|(ends, _)| *ends.container.ip() == from);
        let oldest = of.min_by_key(|(_, flow)| flow.life.last()).map(|(ends, _)| *ends);
        oldest.and_then(|ends| self.flows.remove(&ends));
    }
}

impl Flow {
    fn send(&self, datagram: &[u8]) {
        let send = || rustix::net::send(&self.outside, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        // An error about an earlier datagram has prevented this one from being sent.
        if send() == Err(rustix::io::Errno::CONNREFUSED) {
            let _ = send();
        }
    }
}

impl Life {
    fn goes_on(&self, heard: bool) {
        let mut life = lock(&self.0);
        *life = (Instant::now(), life.1 || heard);
    }

    fn last(&self) -> Instant {
        lock(&self.0).0
    }

    fn end(&self) -> Instant {
        let (last, answered) = *lock(&self.0);
        last + if answered { ANSWERED } else { UNANSWERED }
    }
}

/// Forwards answers, until nothing has been sent or received for a while.
async fn hear(
    ends: Ends,
    outside: Arc<tokio::net::UdpSocket>,
    life: Arc<Life>,
    answers: Arc<Mutex<Answers>>,
) -> Ends {
    loop {
        let pass_on = || lock(&answers).pass_on(&outside, ends);
        let heard = outside.async_io(Interest::READABLE | Interest::ERROR, pass_on);
        match timeout_at(life.end(), heard).await {
            Ok(Ok(())) => life.goes_on(true),
            Ok(Err(error)) => {
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    lock(&answers).refuse(ends);
                }
                return ends;
            }
            Err(_) if life.end() <= Instant::now() => return ends,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddrV4};

    use super::*;

    #[tokio::test]
    async fn the_flow_that_was_silent_for_longest_makes_room() {
        let bind = || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let (sink, own) = (bind(), bind());
        own.connect("192.0.2.1:9").unwrap();
        let IpAddr::V4(address) = own.local_addr().unwrap().ip() else { panic!("{own:?}") };
        let world = SocketAddrV4::new(address, sink.local_addr().unwrap().port());
        let from = |port| Ends { container: SocketAddrV4::new(Ipv4Addr::new(10, 204, 0, 2), port), world };
        let sockets = std::iter::repeat_with(|| OwnedFd::from(bind())).take(3).collect();
        let mut datagrams = Datagrams::new(sockets, Arc::default(), mpsc::unbounded_channel().1).unwrap();
        datagrams.most = Most { all: 9, one: 3 };
        for port in [1, 2, 3, 1, 4, 5] {
            datagrams.pass(from(port), b"x");
        }
        let mut ports: Vec<u16> = datagrams.flows.keys().map(|ends| ends.container.port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 4, 5]);
        // Nothing that was sent before is lost.
        sink.set_nonblocking(false).unwrap();
        let mut heard = std::collections::BTreeSet::new();
        for _ in 0..6 {
            heard.insert(sink.recv_from(&mut [0; 9]).unwrap().1);
        }
        assert_eq!(heard.len(), 5);
    }

    #[tokio::test]
    async fn no_datagram_is_passed_on_to_what_only_machines_reach() {
        let sockets = std::iter::repeat_with(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            OwnedFd::from(socket)
        });
        let sockets = sockets.take(3).collect();
        let mut datagrams = Datagrams::new(sockets, Arc::default(), mpsc::unbounded_channel().1).unwrap();
        for address in ["169.254.169.254:80", "127.0.0.1:53", "224.0.0.251:5353", "10.205.0.2:9"] {
            let ends = Ends {
                container: SocketAddrV4::new(Ipv4Addr::new(10, 204, 0, 2), 9),
                world: address.parse().unwrap(),
            };
            datagrams.pass(ends, b"x");
            assert!(datagrams.flows.is_empty(), "{address}");
        }
    }
}
