//! `up`: services that somebody uses from the host.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use bowline_tests::{eventually, nonce, remains};

/// A running `up`.
struct Up {
    program: Child,
    stdout: BufReader<ChildStdout>,
    events: PathBuf,
}

impl Up {
    fn start(directory: &Path, args: &[&str]) -> Self {
        let events = directory.join("events.jsonl");
        let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
        command.arg("up").args(args).args(["--nonce", &nonce(), "--events"]).arg(&events);
        command
            .env("BOWLINE_PROGRESS", "log")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut program = command.spawn().unwrap();
        let stdout = BufReader::new(program.stdout.take().unwrap());
        Self { program, stdout, events }
    }

    /// The address that it says next, of a service's port.
    fn address(&mut self, service: &str, port: &str) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let said = line.trim_end().strip_prefix(&format!("{service}: "));
        let address = said.and_then(|said| said.strip_suffix(&format!(" ({port})")));
        address.unwrap_or_else(|| panic!("{line:?} is no address of {service}")).to_owned()
    }

    fn session(&self) -> String {
        let events = std::fs::read_to_string(&self.events).unwrap();
        let first: serde_json::Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
        first["session"].as_str().unwrap().to_owned()
    }

    /// Presses Ctrl-C; the signal that it ends by.
    fn interrupt(&mut self) -> Option<i32> {
        let id = self.program.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
        let mut status = None;
        eventually("it ends", Duration::from_secs(60), || {
            status = self.program.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().signal()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// What a server answers, once it closes the connection or has sent this much.
fn ask(address: &str, question: &str, most: u64) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.take(most).read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_service_that_is_up_is_reached_from_the_host_until_ctrl_c_and_then_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut up = Up::start(directory.path(), &["redis"]);
    let address = up.address("redis", "6379/tcp");
    assert_eq!(ask(&address, "PING\r\n", 7), "+PONG\r\n");
    let session = up.session();
    assert!(!remains(&session).is_empty());
    assert_eq!(up.interrupt(), Some(2), "by the signal itself, as shells expect");
    eventually("nothing is left", Duration::from_secs(15), || remains(&session).is_empty());
    assert!(TcpStream::connect(&address).is_err(), "nobody listens there any more");
}

#[test]
fn an_edit_of_a_file_starts_anew_what_is_made_of_it_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("www");
    std::fs::create_dir(&files).unwrap();
    let index = files.join("index.html");
    let (first, second) = (nonce(), nonce());
    std::fs::write(&index, &first).unwrap();
    let args = ["redis", "page", "--watch", "--dir", files.to_str().unwrap()];
    let mut up = Up::start(directory.path(), &args);
    let page = |address: &str| ask(address, "GET / HTTP/1.0\r\n\r\n", 10_000);
    let store = up.address("redis", "6379/tcp");
    assert!(page(&up.address("page", "80/tcp")).ends_with(&first));
    assert_eq!(ask(&store, "SET kept yes\r\n", 5), "+OK\r\n");
    std::fs::write(&index, &second).unwrap();
    // It says all of them again, once they are there.
    let store = up.address("redis", "6379/tcp");
    assert!(page(&up.address("page", "80/tcp")).ends_with(&second));
    assert_eq!(ask(&store, "GET kept\r\n", 9), "$3\r\nyes\r\n", "it is the same instance");
    let session = up.session();
    assert_eq!(up.interrupt(), Some(2));
    eventually("nothing is left", Duration::from_secs(15), || remains(&session).is_empty());
}
