//! What the conformance suite stands on: real services, and looking at the engine from outside.

use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bowline::{Container, Port, Service, Session};

mod docker;
pub mod kills;
mod native;

pub use docker::created_since;

/// A text that no other test, run or machine has: a definition that holds it is not in any cache.
#[must_use]
pub fn nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{time:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Runs the Docker command line, the suite's second pair of eyes.
///
/// # Panics
/// When it cannot be run or fails.
#[must_use]
pub fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("the docker command line can be run");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The engine's own platform, as `os/architecture`.
#[must_use]
pub fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

/// Whether the suite runs on the native engine, which no command line asks.
#[must_use]
pub fn on_native() -> bool {
    std::env::var("BOWLINE_ENGINE").is_ok_and(|engine| engine == "native")
}

/// Whether a test can go on; says so where it cannot. For what only Docker has, or only its command line shows.
#[must_use]
pub fn on_docker(why: &str) -> bool {
    if on_native() {
        // Not captured by the test's harness, so that it can be counted.
        let _ = writeln!(std::io::stderr().lock(), "skipped on the native engine: {why}");
    }
    !on_native()
}

/// Whether there is time for a test of ten seconds or more on Docker, whose promise a session keeps in the same way on every
/// engine; says so where there is not. On the native engine it takes one, and runs each time; on Docker `tests/run --long`
/// runs it, which sets `BOWLINE_TESTS_LONG`.
#[must_use]
pub fn has_time() -> bool {
    let has_time = on_native() || std::env::var_os("BOWLINE_TESTS_LONG").is_some();
    if !has_time {
        let _ =
            writeln!(std::io::stderr().lock(), "skipped on Docker: `tests/run --long` has the time for it");
    }
    has_time
}

/// Whether a test can go on that mounts something; says so where it cannot.
#[must_use]
pub fn may_mount() -> bool {
    if !is_root() {
        let _ = writeln!(
            std::io::stderr().lock(),
            "skipped on the native engine: without root nothing can be mounted"
        );
    }
    is_root()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().eq(["Uid:", "0", "0", "0", "0"]))
}

/// Whether containers can be limited; says so where they cannot: without root nobody may write control groups, unless
/// somebody gave this user some.
#[must_use]
pub fn may_limit() -> bool {
    if on_native() && !is_root() {
        let _ = writeln!(
            std::io::stderr().lock(),
            "skipped on the native engine: without root it has no control groups"
        );
        return false;
    }
    true
}

/// The names of a session's containers, sorted; with Docker, of those that have ended, too. Each ends in its host name.
#[must_use]
pub fn containers(session: &Session) -> Vec<String> {
    if on_native() { native::hostnames(&session.id()) } else { docker::labelled("ps", &session.id()) }
}

/// How many of a session's containers have a running process.
#[must_use]
pub fn running(session: &Session) -> usize {
    if on_native() { native::containers(&session.id()).len() } else { docker::running(session).len() }
}

/// All that is left of a session in the engine: containers and networks; on the native engine containers and files.
#[must_use]
pub fn remains(session: &str) -> Vec<String> {
    if on_native() {
        return [native::hostnames(session), native::files(session)].concat();
    }
    [docker::labelled("ps", session), docker::labelled("network", session)].concat()
}

/// Whether a service has a running process in a session.
#[must_use]
pub fn is_running(session: &Session, service: &Service) -> bool {
    let names = if on_native() { native::hostnames(&session.id()) } else { docker::running(session) };
    names.iter().any(|name| name.ends_with(&service.hostname()))
}

/// The address of a session's running service.
///
/// # Panics
/// When it is not running.
#[must_use]
pub fn address(session: &Session, service: &Service) -> String {
    if on_native() {
        return native::address(&session.id(), &service.hostname()).expect("it runs");
    }
    let name =
        containers(session).into_iter().find(|name| name.ends_with(&service.hostname())).expect("it runs");
    docker::address(&name)
}

/// Makes an empty file in a running service's file system.
///
/// # Panics
/// When it is not running.
pub fn touch(session: &Session, service: &str, path: &str) {
    if on_native() {
        let (root, _) = native::find(&session.id(), service).expect("it runs");
        std::fs::write(format!("{}{path}", root.display()), "").expect("the file can be written");
        return;
    }
    let name = containers(session).into_iter().find(|name| name.ends_with(service)).expect("it runs");
    let _ = docker(&["exec", &name, "touch", path]);
}

/// Whether a running service has something at a path.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn has(session: &Session, service: &str, path: &str) -> bool {
    if on_native() {
        return native::find(&session.id(), service).is_some_and(|(root, _)| root.join(&path[1..]).exists());
    }
    let name = containers(session).into_iter().find(|name| name.ends_with(service)).expect("it runs");
    let test = Command::new("docker").args(["exec", &name, "test", "-e", path]).status();
    test.is_ok_and(|status| status.success())
}

/// How many files of the native engine's store have a text in them.
///
/// # Panics
/// When it cannot be searched.
#[must_use]
pub fn stored(text: &str) -> usize {
    let mut grep = Command::new("grep");
    grep.args([
        "--recursive",
        "--text",
        "--fixed-strings",
        "--files-with-matches",
        "--devices=skip",
        "--",
        text,
    ]);
    let output = grep.arg(native::store()).output().expect("grep can be run");
    String::from_utf8_lossy(&output.stdout).lines().count()
}

/// Waits until something is so, looking often; the time it took.
///
/// # Panics
/// When it is not so in time.
pub fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}

/// A server that answers on 8080: `/id` with a text that tells its instances apart, `/env` with its variable `NAME`,
/// `/put/X` keeps X and `/get` waits for something kept and gives it, `/exit/N` ends it.
const SERVER: &str = r#"
import http.server, os, queue, sys, threading, uuid
kept, me = queue.Queue(), str(uuid.uuid4())
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        words = self.path.strip("/").split("/")
        answer = {
            "id": lambda: me,
            "env": lambda: os.environ.get("NAME", ""),
            "host": lambda: self.headers["Host"],
            "put": lambda: kept.put(words[1]) or "kept",
            "get": lambda: kept.get(timeout=60),
            "exit": lambda: os._exit(int(words[1])),
        }[words[0]]()
        self.send_response(200); self.end_headers(); self.wfile.write(answer.encode())
    def log_message(self, *args): print("served", self.path, flush=True)
print("server up", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"#;

/// A service of this Python program.
pub fn python_service(program: &str) -> Service {
    Service::from_image("python:3.11").with_file("/srv/main.py", program).run([
        "python3",
        "-u",
        "/srv/main.py",
    ])
}

/// The server above, as a service that no other test shares.
pub fn server(name: &str) -> Service {
    python_service(SERVER)
        .env("NAME", name)
        .env("NONCE", nonce())
        .expose(Port::tcp(8080).named("http"))
        .named(name)
}

/// A container that fetches a URL, once more than any cache knows.
pub fn fetch(alias: &str, service: &Service, path: &str) -> Container {
    client(alias, service, &format!("print(get('http://{alias}:8080{path}'), end='')"))
}

/// A container that runs a Python program with a service bound; `get(url)` fetches.
pub fn client(alias: &str, service: &Service, program: &str) -> Container {
    let get = "import urllib.request as u\ndef get(url): return u.urlopen(url, timeout=60).read().decode()\n";
    Container::from_image("python:3.11")
        .env("NONCE", nonce())
        .bind(alias, service)
        .exec(["python3", "-c", &format!("{get}{program}")])
        .named("client")
}
