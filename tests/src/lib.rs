//! What the conformance suite stands on: real services, and looking at the engine from outside.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bowline::{Container, Port, Service, Session};

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

/// The names of a session's containers, running or not, sorted.
#[must_use]
pub fn containers(session: &Session) -> Vec<String> {
    labelled("ps", &session.id())
}

/// How many of a session's containers have a running process.
#[must_use]
pub fn running(session: &Session) -> usize {
    let filter = format!("label=bowline.session={}", session.id());
    docker(&["ps", "--filter", &filter, "--format", "{{.Names}}"]).lines().count()
}

/// All that is left of a session in the engine: containers and networks.
#[must_use]
pub fn remains(session: &str) -> Vec<String> {
    [labelled("ps", session), labelled("network", session)].concat()
}

fn labelled(what: &str, session: &str) -> Vec<String> {
    let filter = format!("label=bowline.session={session}");
    let list = match what {
        "ps" => docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]),
        _ => docker(&["network", "ls", "--filter", &filter, "--format", "{{.Name}}"]),
    };
    let mut names: Vec<String> = list.lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// Whether a service has a running process in a session.
#[must_use]
pub fn is_running(session: &Session, service: &Service) -> bool {
    let filter = format!("label=bowline.session={}", session.id());
    let names = docker(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
    names.lines().any(|name| name.ends_with(&service.hostname()))
}

/// The address of a session's running service.
///
/// # Panics
/// When it is not running.
#[must_use]
pub fn address(session: &Session, service: &Service) -> String {
    let name =
        containers(session).into_iter().find(|name| name.ends_with(&service.hostname())).expect("it runs");
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    docker(&["inspect", "--format", format, &name]).trim().to_owned()
}

/// How many containers a session has created since a time, as the engine saw it.
#[must_use]
pub fn created_since(session: &Session, since: SystemTime) -> usize {
    let seconds = |time: SystemTime| {
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
    };
    let (since, until) = (seconds(since), seconds(SystemTime::now()));
    let session = format!("label=bowline.session={}", session.id());
    let events = docker(&[
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        "type=container",
        "--filter",
        "event=create",
        "--filter",
        &session,
    ]);
    events.lines().count()
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
