//! A DNS server at port 53 of the bridge. It answers each container with the names that this container knows, which are
//! those in its `/etc/hosts`, and forwards everything else to the machine's name servers.
//!
//! The container is identified by its address, which no other container can send from (`shim/ports.rs`).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::address::{self, Network};
use super::bounds::{Opening, Openings};
use super::message::{
    A, ANY, NO_ERROR, NO_SUCH_NAME, PTR, Question, Record, failure, is_answer, is_question,
};
use crate::lock::lock;

/// The file with the machine's name servers.
const RESOLVERS: &str = "/etc/resolv.conf";
const DOMAIN: u16 = 53;
/// Timeout of one server, as resolvers have it (resolv.conf(5)).
const ANSWER: Duration = Duration::from_secs(5);
/// The most servers to ask (resolv.conf(5), `MAXNS`).
const SERVERS: usize = 3;
/// Idle timeout of a connection.
const SILENT: Duration = Duration::from_secs(10);
/// Larger than any query; an answer may have any length that fits into two bytes.
const QUESTION: usize = 4096;
const MESSAGE: usize = u16::MAX as usize;

/// The names that each container knows.
#[derive(Debug, Default)]
pub(in crate::engine::native) struct Names(Mutex<HashMap<Ipv4Addr, Known>>);

/// Addresses with their names.
pub(in crate::engine::native) type Known = Vec<(Ipv4Addr, Vec<String>)>;

/// The result of a lookup.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Records(Vec<Record>),
    NoSuchName,
    /// The machine's name servers may know.
    NotHere,
}

impl Names {
    /// Sets the names that the container with this address knows, in place of earlier ones.
    pub(in crate::engine::native) fn tell(&self, container: Ipv4Addr, known: Known) {
        lock(&self.0).insert(container, known);
    }

    pub(in crate::engine::native) fn forget(&self, container: Ipv4Addr) {
        lock(&self.0).remove(&container);
    }

    fn find(&self, container: Ipv4Addr, question: &Question) -> Found {
        let all = lock(&self.0);
        let known = all.get(&container).map(Vec::as_slice).unwrap_or_default();
        let name = question.name.as_str();
        let own = known.iter().find(|(_, names)| names.iter().any(|known| known.eq_ignore_ascii_case(name)));
        let is_loopback = name == "localhost" || name.ends_with(".localhost");
        if let Some(address) = own.map(|(address, _)| *address).or(is_loopback.then_some(Ipv4Addr::LOCALHOST))
        {
            // A known name has no other records: there is no IPv6, and nobody else need be asked.
            let is_asked = matches!(question.kind, A | ANY);
            return Found::Records(is_asked.then_some(Record::Address(address)).into_iter().collect());
        }
        if let Some(address) = question.reversed().filter(|address| address::is_of_session(*address)) {
            let names = known.iter().find(|(known, _)| *known == address);
            return match names.and_then(|(_, names)| names.first()) {
                Some(name) if matches!(question.kind, PTR | ANY) => {
                    Found::Records(vec![Record::Name(name.clone())])
                }
                Some(_) => Found::Records(Vec::new()),
                None => Found::NoSuchName,
            };
        }
        // No such name exists (RFC 6761).
        if name == "invalid" || name.ends_with(".invalid") { Found::NoSuchName } else { Found::NotHere }
    }

    /// The answer to a question about a name that is known here, else `None`.
    fn answer(&self, container: Ipv4Addr, message: &[u8]) -> Option<Vec<u8>> {
        let question = Question::read(message)?;
        match self.find(container, &question) {
            Found::Records(records) => Some(question.answer(message, NO_ERROR, &records)),
            Found::NoSuchName => Some(question.answer(message, NO_SUCH_NAME, &[])),
            Found::NotHere => None,
        }
    }
}

/// The text of a container's resolv.conf(5): it asks the gateway, and has the machine's search list and options.
pub(in crate::engine::native) fn resolver(network: Network) -> String {
    resolver_like(&std::fs::read_to_string(RESOLVERS).unwrap_or_default(), network)
}

/// `ndots` is 0 as with Docker, unless the machine's file sets it: a name without a dot is looked up as it is.
fn resolver_like(machine: &str, network: Network) -> String {
    let kept = machine.lines().filter(|line| line.starts_with("search ") || line.starts_with("options "));
    let mut text = format!("nameserver {}\n", network.bridge());
    text.extend(kept.flat_map(|line| [line, "\n"]));
    if !text.contains("ndots:") {
        text.push_str("options ndots:0\n");
    }
    text
}

/// The machine's name servers; read every time, as a machine moves between networks.
fn resolvers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(RESOLVERS).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let servers = servers.filter_map(|server| Some(SocketAddr::new(server.trim().parse().ok()?, DOMAIN)));
    servers.take(SERVERS).collect()
}

/// Answers queries over UDP.
pub(super) async fn answer(socket: UdpSocket, names: Arc<Names>, openings: Arc<Openings>) {
    let socket = Arc::new(socket);
    let mut asked = JoinSet::new();
    let mut space = vec![0; QUESTION + 1];
    loop {
        while asked.try_join_next().is_some() {}
        let Ok((length, peer)) = socket.recv_from(&mut space).await else { continue };
        let message = &space[..length];
        let IpAddr::V4(container) = peer.ip() else { continue };
        if length > QUESTION || !is_question(message) {
            continue;
        }
        if let Some(answer) = names.answer(container, message) {
            // An answer that cannot be sent at once is dropped, as UDP allows.
            let _ = socket.try_send_to(&answer, peer);
            continue;
        }
        // A client without an answer asks again.
        let Some(opening) = openings.open(container) else { continue };
        let (message, socket) = (message.to_vec(), Arc::clone(&socket));
        asked.spawn(async move {
            let answer = ask_all(&message, ask).await;
            let _ = timeout(ANSWER, socket.send_to(&answer, peer)).await;
            drop(opening);
        });
    }
}

/// Answers queries over TCP, one after another.
pub(super) async fn serve(mut stream: TcpStream, names: Arc<Names>, opening: Opening) {
    let Ok(SocketAddr::V4(peer)) = stream.peer_addr() else { return };
    let ended = opening.ended();
    let talk = async {
        while let Ok(Ok(message)) = timeout(SILENT, hear(&mut stream)).await {
            if message.len() > QUESTION || !is_question(&message) {
                return;
            }
            let answer = match names.answer(*peer.ip(), &message) {
                Some(answer) => answer,
                None => ask_all(&message, ask_by_connection).await,
            };
            let Ok(Ok(())) = timeout(SILENT, say(&mut stream, &answer)).await else { return };
        }
    };
    tokio::select! {
        () = talk => {}
        () = ended => {}
    }
}

/// The first answer of the machine's name servers, or a failure.
async fn ask_all<F>(message: &[u8], ask: impl Fn(SocketAddr, Vec<u8>) -> F) -> Vec<u8>
where
    F: Future<Output = io::Result<Vec<u8>>>,
{
    for resolver in resolvers() {
        if let Ok(Ok(found)) = timeout(ANSWER, ask(resolver, message.to_vec())).await {
            return found;
        }
    }
    failure(message)
}

async fn ask(resolver: SocketAddr, question: Vec<u8>) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(&question).await?;
    let mut answer = vec![0; MESSAGE];
    loop {
        let length = socket.recv(&mut answer).await?;
        if is_answer(&answer[..length], &question) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn ask_by_connection(resolver: SocketAddr, question: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    say(&mut stream, &question).await?;
    let answer = hear(&mut stream).await?;
    if is_answer(&answer, &question) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Over TCP, each message is preceded by its length.
async fn hear(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn say(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut whole = length.to_be_bytes().to_vec();
    whole.extend(message);
    stream.write_all(&whole).await
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::asking;
    use super::*;

    const AAAA: u16 = 28;
    const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 205, 0, 3);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 205, 0, 4);
    const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 205, 0, 2);

    fn names() -> Names {
        let names = Names::default();
        let service = vec!["db".to_owned(), "content-addressed".to_owned()];
        names.tell(CLIENT, vec![(CLIENT, vec!["bowline".to_owned()]), (SERVICE, service)]);
        names.tell(OTHER, vec![(OTHER, vec!["bowline".to_owned()])]);
        names
    }

    fn find(names: &Names, who: Ipv4Addr, name: &str, kind: u16) -> Found {
        names.find(who, &Question::read(&asking(name, kind)).unwrap())
    }

    #[test]
    fn a_container_is_told_its_own_names_and_no_other_is() {
        let names = names();
        let is = |address| Found::Records(vec![Record::Address(address)]);
        for name in ["db", "DB", "dB", "content-addressed"] {
            assert_eq!(find(&names, CLIENT, name, A), is(SERVICE), "{name}");
            assert_eq!(find(&names, CLIENT, name, AAAA), Found::Records(Vec::new()), "{name}");
            assert_eq!(find(&names, OTHER, name, A), Found::NotHere, "{name}");
        }
        assert_eq!(find(&names, CLIENT, "bowline", A), is(CLIENT));
        assert_eq!(find(&names, OTHER, "bowline", A), is(OTHER));
        assert_eq!(find(&names, OTHER, "localhost", A), is(Ipv4Addr::LOCALHOST));
        assert_eq!(find(&names, CLIENT, "db.example", A), Found::NotHere);
        assert_eq!(find(&names, CLIENT, "nowhere.invalid", A), Found::NoSuchName);
        names.forget(CLIENT);
        assert_eq!(find(&names, CLIENT, "db", A), Found::NotHere);
    }

    #[test]
    fn an_address_has_its_name_where_that_is_known() {
        let names = names();
        let reversed = "2.0.205.10.in-addr.arpa";
        assert_eq!(find(&names, CLIENT, reversed, PTR), Found::Records(vec![Record::Name("db".to_owned())]));
        assert_eq!(find(&names, OTHER, reversed, PTR), Found::NoSuchName);
        assert_eq!(find(&names, CLIENT, "4.4.8.8.in-addr.arpa", PTR), Found::NotHere);
    }

    #[test]
    fn names_without_a_dot_are_asked_for_as_they_are() {
        let like = |machine| resolver_like(machine, Network::Services);
        assert_eq!(like("nameserver 127.0.0.53\n"), "nameserver 10.205.0.1\noptions ndots:0\n");
        assert_eq!(
            like("search a.example\noptions edns0\n"),
            "nameserver 10.205.0.1\nsearch a.example\noptions edns0\noptions ndots:0\n"
        );
        assert_eq!(like("options ndots:5\n"), "nameserver 10.205.0.1\noptions ndots:5\n");
    }
}
