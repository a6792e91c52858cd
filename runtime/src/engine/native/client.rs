//! The pipeline's side of the socket to its shim.

use std::fs::File;
use std::io::{self, BufRead as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::OnceCell;

use super::address::{Audience, Network};
use super::capabilities::Users;
use super::shim;
use super::wire::{self, Answer, Order, Request, SOCKETS, SocketKind};
use crate::engine::sockets::TABLES;
use crate::lock::lock;
use crate::model::{Protocol, SessionId};
use crate::reexec;

/// A session's shim, started for the first who asks: whoever finds all results needs none. It ends, with all that runs in
/// it, when this is dropped.
#[derive(Debug)]
pub(super) struct Shim {
    /// Its working directory.
    store: PathBuf,
    session: SessionId,
    /// Stays open until all of the session is gone.
    lock: OwnedFd,
    started: OnceCell<Started>,
    /// Sockets that nobody has taken yet: they are made several at a time.
    spare_tcp: Mutex<Vec<OwnedFd>>,
    spare_udp: Mutex<Vec<OwnedFd>>,
    has_ended: AtomicBool,
}

#[derive(Debug)]
struct Started {
    /// Empty once the session is closed.
    channel: Mutex<Option<UnixStream>>,
    /// Open as long as anything of the shim is there.
    there: tokio::sync::Mutex<Option<Heard>>,
}

impl Started {
    fn ask(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> io::Result<Answers> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut all = vec![theirs.as_fd()];
        all.extend_from_slice(descriptors);
        {
            let channel = lock(&self.channel);
            let channel = channel.as_ref().ok_or_else(closed)?;
            // A request is one byte and some descriptors: it never waits for long.
            wire::send(channel, request, &all)?;
        }
        ours.set_nonblocking(true)?;
        Ok(Answers { socket: tokio::net::UnixStream::from_std(ours)? })
    }
}

fn closed() -> io::Error {
    io::Error::other("the session is closed")
}

impl Shim {
    pub(super) fn new(store: &Path, session: &SessionId, lock: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self {
            store: store.to_owned(),
            session: session.clone(),
            lock: lock.try_clone_to_owned()?,
            started: OnceCell::new(),
            spare_tcp: Mutex::default(),
            spare_udp: Mutex::default(),
            has_ended: AtomicBool::new(false),
        })
    }

    /// Returns once it is there.
    pub(super) async fn ready(&self) -> io::Result<()> {
        self.started().await.map(drop)
    }

    async fn started(&self) -> io::Result<&Started> {
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(closed());
        }
        self.started.get_or_try_init(|| self.start()).await
    }

    async fn start(&self) -> io::Result<Started> {
        let channel = tokio::task::spawn_blocking(|| reexec::spawn(&shim::ROLE)).await??;
        let started = Started { channel: Mutex::new(Some(channel)), there: tokio::sync::Mutex::default() };
        let begin = Request::Begin { store: self.store.clone(), session: self.session.clone().into() };
        let mut heard = started.ask(&begin, &[self.lock.as_fd()])?.split().0;
        match heard.next().await? {
            Answer::Done => {
                *started.there.lock().await = Some(heard);
                Ok(started)
            }
            Answer::Failed(text) => Err(io::Error::other(text)),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a request. The answers come when they come; to drop them is to end what was asked for.
    pub(super) async fn ask(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> io::Result<Answers> {
        self.started().await?.ask(request, descriptors)
    }

    /// Sends a request that nobody waits for the answer to, where there is a shim.
    pub(super) fn tell(&self, request: &Request) {
        if let Some(started) = self.started.get() {
            let _ = started.ask(request, &[]);
        }
    }

    /// A request with one answer.
    pub(super) async fn ask_once(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Answer> {
        self.ask(request, descriptors).await?.split().0.next().await
    }

    /// The tables of the sockets in a container's network, open, each with its protocol.
    pub(super) async fn socket_tables(&self, container: i32) -> io::Result<Vec<(Protocol, File)>> {
        let tables = self.ask_for_descriptors(&Request::SocketTables { container }, &[]).await?;
        Ok(TABLES.into_iter().zip(tables).map(|((_, protocol), table)| (protocol, table.into())).collect())
    }

    /// A network for a container, and what it is like as long as nobody has changed it.
    pub(super) async fn network(
        &self,
        network: Network,
        address: u16,
        audience: Audience,
        has_gateway: bool,
        users: Users,
    ) -> io::Result<(OwnedFd, OwnedFd)> {
        let request = Request::Network { network, address, audience, has_gateway, users };
        let made: Result<[OwnedFd; 2], _> = self.ask_for_descriptors(&request, &[]).await?.try_into();
        let made = made.map_err(|_| io::Error::other("the shim gave no network"))?;
        Ok(made.into())
    }

    /// Whether a network is still as it was when it was made.
    pub(super) async fn is_as_new(&self, network: &OwnedFd, condition: &OwnedFd) -> io::Result<bool> {
        match self.ask_once(&Request::Inspect, &[network.as_fd(), condition.as_fd()]).await? {
            Answer::Done => Ok(true),
            Answer::Failed(_) => Ok(false),
            other => Err(unexpected(&other)),
        }
    }

    /// The sockets of a gateway, in the networks of the session.
    pub(super) async fn gateway(&self) -> io::Result<Vec<OwnedFd>> {
        self.ask_for_descriptors(&Request::Gateway, &[]).await
    }

    /// The sockets of a gateway that datagrams pass, where the kernel can do that.
    pub(super) async fn datagrams(&self) -> io::Result<Vec<OwnedFd>> {
        self.ask_for_descriptors(&Request::Datagrams, &[]).await
    }

    /// A request that is answered with descriptors.
    async fn ask_for_descriptors(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Vec<OwnedFd>> {
        let answers = self.ask(request, descriptors).await?;
        answers.socket.readable().await?;
        let socket = answers.socket.into_std()?;
        let received = wire::receive_descriptors(&socket)?.unwrap_or_default();
        if !received.is_empty() {
            return Ok(received);
        }
        // What came was the first character of an answer in words.
        socket.set_nonblocking(false)?;
        let mut text = "{".to_owned();
        io::BufReader::new(socket).read_line(&mut text)?;
        match serde_json::from_str(&text) {
            Ok(Answer::Failed(text)) => Err(io::Error::other(text)),
            Ok(other) => Err(unexpected(&other)),
            Err(_) => Err(io::Error::other("the shim ended")),
        }
    }

    /// A TCP socket, connected to nothing yet, in the network of the services.
    pub(super) async fn tcp_socket(&self) -> io::Result<tokio::net::TcpSocket> {
        let socket = self.socket(SocketKind::Tcp).await?;
        Ok(tokio::net::TcpSocket::from_std_stream(std::net::TcpStream::from(socket)))
    }

    /// A UDP socket, bound to nothing yet, in the network of the services.
    pub(super) async fn udp_socket(&self) -> io::Result<std::net::UdpSocket> {
        Ok(self.socket(SocketKind::Udp).await?.into())
    }

    async fn socket(&self, kind: SocketKind) -> io::Result<OwnedFd> {
        let spare = match kind {
            SocketKind::Tcp => &self.spare_tcp,
            SocketKind::Udp => &self.spare_udp,
        };
        if let Some(socket) = lock(spare).pop() {
            return Ok(socket);
        }
        let mut sockets = self.ask_for_descriptors(&Request::Sockets { kind }, &[]).await?;
        let socket = sockets.pop();
        lock(spare).append(&mut sockets);
        socket.ok_or_else(|| io::Error::other("the shim gave no socket"))
    }

    /// Sockets that listen at these ports in a network.
    pub(super) async fn listen(
        &self,
        network: BorrowedFd<'_>,
        ports: &[(SocketKind, u16)],
    ) -> io::Result<Vec<OwnedFd>> {
        let mut listeners = Vec::with_capacity(ports.len());
        for some in ports.chunks(SOCKETS) {
            let request = Request::Listen { ports: some.to_vec() };
            listeners.extend(self.ask_for_descriptors(&request, &[network]).await?);
        }
        if listeners.len() == ports.len() {
            Ok(listeners)
        } else {
            Err(io::Error::other("the shim gave too few sockets"))
        }
    }

    /// Waits until everything of the shim is gone, with what it had in the store.
    pub(super) async fn gone(&self) {
        let Some(started) = self.started.get() else { return };
        if let Some(mut heard) = started.there.lock().await.take() {
            let _ = heard.next().await;
        }
    }

    /// Lets the shim see to the end of what was told to leave.
    pub(super) async fn detach(&self) -> io::Result<()> {
        self.ask(&Request::Detach, &[]).await?;
        self.end();
        Ok(())
    }

    /// Ends the shim and everything in it.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
        // They keep the network in being.
        lock(&self.spare_tcp).clear();
        lock(&self.spare_udp).clear();
        if let Some(started) = self.started.get() {
            lock(&started.channel).take();
        }
    }
}

/// Where the answers to a request arrive.
pub(super) struct Answers {
    socket: tokio::net::UnixStream,
}

impl Answers {
    /// To be heard, and to give orders by.
    pub(super) fn split(self) -> (Heard, Orders) {
        let (read, write) = self.socket.into_split();
        (Heard(BufReader::new(read)), Orders(write))
    }
}

#[derive(Debug)]
pub(super) struct Heard(BufReader<OwnedReadHalf>);

impl Heard {
    pub(super) async fn next(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the shim ended"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

pub(super) struct Orders(OwnedWriteHalf);

impl Orders {
    pub(super) async fn give(&mut self, order: Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        match self.0.write_all(&line).await {
            // What has ended takes no orders, and needs none.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

pub(super) fn unexpected(answer: &Answer) -> io::Error {
    io::Error::other(format!("an answer that fits no question: {answer:?}"))
}
