//! The entry point for fuzzing engines' answers; see [`crate::engine::fuzz`].

#![cfg_attr(not(fuzzing), allow(unreachable_pub))]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::IntoRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{Mode, OFlags};

use super::ends::Died;
use super::{Docker, SessionId, attach, connection};
use crate::engine::{ImageStore as _, ResultStore as _, Sink};
use crate::lock::lock;
use crate::model::{Digest, ImageName};

/// An engine that answers as it is told.
struct Liar {
    engine: Arc<Docker>,
    says: Arc<Mutex<Vec<u8>>>,
    runtime: tokio::runtime::Runtime,
}

/// Answers of an engine: the first byte chooses the call, the second how it is answered, the rest is the answer.
pub fn answers(data: &[u8]) {
    static LIAR: OnceLock<Liar> = OnceLock::new();
    let [call, _, ..] = data else { return };
    let liar = LIAR.get_or_init(Liar::new);
    *lock(&liar.says) = data[1..].to_vec();
    let engine = &liar.engine;
    liar.runtime.block_on(async {
        match call % 5 {
            0 => drop(engine.resolve(&ImageName::new("liar:1"), &|_| {}).await),
            1 => drop(engine.lookup(&Digest([7; 32])).await),
            2 => drop(super::facts::inspect(&engine.shared.client, "liar:1").await),
            3 => drop(engine.shared.client.inspect_container("liar", None).await),
            _ => {
                let nobody: Sink = Arc::new(|_, _| {});
                if let Ok((output, _)) = attach::attach(&engine.shared, "liar", false).await {
                    drop(attach::hear_out(&engine.shared, "liar", output, Died::default(), &nobody).await);
                }
            }
        }
    });
}

impl Liar {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("bowline-liar-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a socket can be made");
        // It is reached by its descriptor, so that no file is left, however the process ends.
        let socket = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let socket = socket.expect("it is there").into_raw_fd();
        std::fs::remove_file(&path).expect("it can be removed");
        let says = Arc::new(Mutex::new(Vec::new()));
        let for_thread = Arc::clone(&says);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let says = lock(&for_thread).clone();
                std::thread::spawn(move || drop(answer(&stream, &says)));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let connection = connection::Connection::new(format!("unix:///proc/self/fd/{socket}"), None);
        let engine = runtime.block_on(Docker::open(&connection, SessionId::random(), None));
        Self { engine: engine.expect("opening does no I/O"), says, runtime }
    }
}

/// Answers each request of a connection once, and closes it.
fn answer(stream: &UnixStream, says: &[u8]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (how, body) = says.split_first().unwrap_or((&0, &[]));
    let head = match how % 8 {
        _ if request.contains("/attach") => {
            "101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp"
        }
        0 => "404 Not Found\r\nContent-Type: application/json\r\nConnection: close",
        1 => "500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close",
        _ => "200 OK\r\nContent-Type: application/json\r\nConnection: close",
    };
    let mut stream = stream;
    stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes())?;
    stream.write_all(body)
}
