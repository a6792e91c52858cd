//! What a pipeline and its shim say to each other.
//!
//! A request is one byte with descriptors: a memory file with the request as JSON, then those that the request is about.
//! The first of these is always a socket of its own for the answers, a line of JSON each, so that nothing that takes
//! long keeps the next request waiting.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::address::{Audience, Network};
use super::capabilities::Users;
use super::model::{Changes, Root};
use crate::engine::oci::Packed;
use crate::engine::{Prune, Tallies};
use crate::model::{Limits, SecurityContext, WindowSize};

/// More than any request has.
const MOST_DESCRIPTORS: usize = 8;

/// How many sockets are made at once: making many costs what making one does.
pub(super) const SOCKETS: usize = MOST_DESCRIPTORS;

/// The kind of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SocketKind {
    Tcp,
    Udp,
}

/// What a shim is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// The first of all, once. Descriptors: answers, and the lock of the session, held until all that it made is gone.
    Begin { store: PathBuf, session: String },
    /// Makes a network namespace with an address, given as its last 16 bits, for one container at a time. Descriptors:
    /// answers, which it comes back on, with a file that says what it is like.
    Network { network: Network, address: u16, audience: Audience, has_gateway: bool, users: Users },
    /// Whether a network is like that still; answered with [`Answer::Done`] if so. Descriptors: answers, and the two that
    /// came back for `Network`.
    Inspect,
    /// Descriptors: answers, standard input, output and error, and the network; then, of what may be told to leave, the
    /// ends that its output is read at.
    Run(Box<Container>),
    /// Runs one more process in a container. Descriptors as for `Run`, without a network.
    Execute {
        /// What [`Answer::Started`] said.
        container: i32,
        process: Box<Process>,
    },
    /// Descriptors: answers, and where an archive goes or comes from.
    Files(Files),
    /// The tables of the sockets in a container's network, `/proc/net/tcp`, `udp`, `tcp6` and `udp6`, the latter two only
    /// where there is IPv6. Descriptors: answers, which they come back on.
    SocketTables { container: i32 },
    /// Whether no container can speak as another; answered with [`Answer::Done`] if so. Descriptors: answers.
    Guard,
    /// Lets what containers send to the world arrive at three sockets. Descriptors: answers, which they come back on: for
    /// connections, for questions for names by TCP, and by UDP.
    Gateway,
    /// Lets datagrams that containers send to the world arrive at a socket. Descriptors: answers, which three come back
    /// on: that one, a raw one for answers, and one for messages of ICMP.
    Datagrams,
    /// Sockets in the network of the services. Descriptors: answers, which [`SOCKETS`] come back on.
    Sockets { kind: SocketKind },
    /// Sockets that listen at these ports, in a network that [`Network`](Self::Network) gave: at most [`SOCKETS`].
    /// Descriptors: answers, which they come back on, and the network.
    Listen { ports: Vec<(SocketKind, u16)> },
    /// The pipeline is about to end: what was told to leave may end after it. Descriptors: answers, which nothing comes on.
    Detach,
}

/// A process in a world of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) root: Root,
    pub(super) mounts: Vec<Mount>,
    pub(super) hostname: String,
    /// The text of `/etc/hosts`.
    pub(super) hosts: String,
    /// The text of `/etc/resolv.conf`.
    pub(super) resolver: String,
    pub(super) process: Process,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mount {
    pub(super) path: String,
    pub(super) source: Source,
    pub(super) readonly: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Source {
    /// A cache volume, a directory of the store. Where there is none yet, the empty directory `fresh` becomes it, with
    /// what the container has at the path.
    Cache { volume: PathBuf, fresh: PathBuf },
    /// What another file system has at a path; what is written there is lost.
    Layers { layers: Vec<PathBuf>, from: String, scratch: Changes },
    /// An empty directory in memory.
    Memory,
    /// A file in memory with these contents, for the process's user alone.
    Secret(Vec<u8>),
    /// A socket of the machine.
    Socket(PathBuf),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) args: Vec<String>,
    /// Secrets included.
    pub(super) env: Vec<(String, String)>,
    pub(super) workdir: String,
    pub(super) user: String,
    pub(super) security: SecurityContext,
    pub(super) limits: Limits,
    /// The name of its control group, where its limits need one: no other container of the session has it.
    pub(super) group: String,
    /// The size of its terminal, if it has one. Then each of the three descriptors for its streams is a socket on which
    /// the terminal comes back before [`Answer::Started`].
    pub(super) terminal: Option<WindowSize>,
}

/// Something about a file system that nothing runs in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Files {
    /// Answered with [`Answer::Stat`] or [`Answer::NoSuchPath`].
    Stat { root: Root, path: String },
    /// As an archive, to the descriptor.
    Read { root: Root, path: String },
    /// What is in a directory, to the descriptor: of each entry a byte for its [`Kind`], its name, and a NUL.
    List { root: Root, path: String },
    /// Puts files into it. More descriptors: what they are made of.
    Place { root: Root, placements: Vec<Placement> },
    /// Makes one layer of several, the lowest first, in an empty directory of the store.
    Merge { layers: Vec<PathBuf>, into: PathBuf },
    /// Writes a layer as an archive, compressed, to the descriptor. Answered with [`Answer::Packed`].
    Pack { layer: PathBuf },
    /// Removes what is not needed from the store; an empty directory of it is for what is on its way out. Answered with
    /// [`Answer::Pruned`].
    Prune { what: Prune, aside: PathBuf },
    /// Empties a cache volume, as if it had never been there, by way of an empty directory.
    Empty { volume: PathBuf, aside: PathBuf },
    /// Removes a directory of the store, whoever owns what is in it.
    Remove { path: PathBuf },
    /// Unpacks so many bytes of an archive from where the descriptor stands, into a directory of the store. It may be
    /// compressed, with gzip or zstd; what it is then has to be of this SHA-256 digest, as 64 hex digits.
    Unpack { into: PathBuf, size: u64, digest: Option<String> },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Placement {
    File {
        path: String,
        contents: Piece,
    },
    /// What is at `to` goes where it `replaces`; else a directory stays.
    Copy {
        layers: Vec<PathBuf>,
        from: String,
        to: String,
        replaces: bool,
    },
}

/// A part of what one of a request's descriptors has open.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Which one, of those after the answers.
    pub(super) descriptor: usize,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// What an entry of a directory is, as one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Directory = b'd',
    File = b'f',
    Symlink = b'l',
    Other = b'o',
}

impl From<rustix::fs::FileType> for Kind {
    fn from(kind: rustix::fs::FileType) -> Self {
        match kind {
            rustix::fs::FileType::Directory => Self::Directory,
            rustix::fs::FileType::RegularFile => Self::File,
            rustix::fs::FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

/// What a container's answers socket takes: a line of JSON each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Order {
    Signal(i32),
    /// Answered with [`Answer::Alive`] where the process runs, and not at all where it does not.
    Ask,
    /// The last one.
    Detach(Detach),
}

/// How a container ends without its pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Detach {
    pub(super) signal: i32,
    /// From the signal to SIGKILL.
    pub(super) within: Duration,
    /// The containers that end first, as [`Answer::Started`] named them.
    pub(super) users: Vec<i32>,
}

/// What a shim says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The program runs: the process that everything in the container descends from.
    Started {
        container: i32,
    },
    /// The process runs.
    Alive,
    /// The process has ended, and all that it had started.
    Exited {
        code: i32,
        out_of_memory: bool,
    },
    /// The program could not be executed.
    CannotRun {
        errno: i32,
    },
    Stat(Stat),
    Pruned(Tallies),
    Packed(Packed),
    NoSuchPath,
    /// What was asked for is done.
    Done,
    /// It could not be; in words.
    Failed(String),
}

/// As stat(2) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stat {
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime: i64,
}

/// Sends a request.
pub(super) fn send(
    channel: &UnixStream,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(request)?;
    let memory = rustix::fs::memfd_create(c"request", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut memory = std::fs::File::from(memory);
    memory.write_all(&text)?;
    memory.rewind()?;
    let mut all = vec![memory.as_fd()];
    all.extend_from_slice(descriptors);
    send_marked(channel, if let Request::Detach = request { DETACH } else { OTHER }, &all)
}

/// What a message with descriptors says by itself.
const DETACH: u8 = b'.';
const OTHER: u8 = b'!';

/// A request that has come. The shim itself reads none but the first: there may be secrets in it, and every container's first
/// process is a copy of the shim.
pub(super) struct Unread {
    mark: u8,
    descriptors: Vec<OwnedFd>,
}

impl Unread {
    /// Whether it is [`Request::Detach`].
    pub(super) fn is_leave(&self) -> bool {
        self.mark == DETACH
    }

    pub(super) fn read(mut self) -> io::Result<(Request, Vec<OwnedFd>)> {
        if self.descriptors.is_empty() {
            return Err(io::Error::other("a request without descriptors"));
        }
        let mut text = Vec::new();
        std::fs::File::from(self.descriptors.remove(0)).read_to_end(&mut text)?;
        Ok((serde_json::from_slice(&text)?, self.descriptors))
    }
}

/// Receives a request with its descriptors; `None` at the end.
pub(super) fn receive(channel: &UnixStream) -> io::Result<Option<Unread>> {
    Ok(receive_marked(channel)?.map(|(mark, descriptors)| Unread { mark, descriptors }))
}

pub(super) fn send_descriptors(channel: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_marked(channel, OTHER, descriptors)
}

fn send_marked(channel: &UnixStream, mark: u8, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors"));
    }
    let sent = sendmsg(channel, &[IoSlice::new(&[mark])], &mut ancillary, SendFlags::NOSIGNAL)?;
    if sent == 1 { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

pub(super) fn receive_descriptors(channel: &UnixStream) -> io::Result<Option<Vec<OwnedFd>>> {
    Ok(receive_marked(channel)?.map(|(_, descriptors)| descriptors))
}

fn receive_marked(channel: &UnixStream) -> io::Result<Option<(u8, Vec<OwnedFd>)>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut byte)];
    let received =
        rustix::io::retry_on_intr(|| recvmsg(channel, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(Some((byte[0], descriptors)))
}

/// Sends an answer or an order.
pub(super) fn say(socket: &UnixStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut socket = socket;
    socket.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_with_its_descriptors() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (left, right) = UnixStream::pair().unwrap();
        let root = Root { layers: vec!["l/a".into()], changes: None };
        // Larger than what a socket takes at once.
        let long = "x".repeat(1 << 20);
        let contents = Piece { descriptor: 0, offset: 7, length: 1 };
        let placements = vec![Placement::File { path: long.clone(), contents }];
        send(&ours, &Request::Files(Files::Place { root, placements }), &[left.as_fd()]).unwrap();
        let request = receive(&theirs).unwrap().unwrap();
        assert!(!request.is_leave());
        let (request, mut descriptors) = request.read().unwrap();
        let Request::Files(Files::Place { root, placements }) = request else { panic!("{request:?}") };
        assert_eq!(root.layers, [PathBuf::from("l/a")]);
        assert!(matches!(&placements[..], [Placement::File { path, .. }] if *path == long));
        say(&UnixStream::from(descriptors.remove(0)), &Answer::Done).unwrap();
        let mut line = [0; 7];
        (&right).read_exact(&mut line).unwrap();
        assert_eq!(&line, b"\"Done\"\n");
        send(&ours, &Request::Detach, &[left.as_fd()]).unwrap();
        assert!(receive(&theirs).unwrap().unwrap().is_leave());
        drop(ours);
        assert!(receive(&theirs).unwrap().is_none());
    }
}
