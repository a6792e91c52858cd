//! Servers that tests talk to, and who talks to them.

use bowline::{Container, Port, Service};

use crate::nonce;

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
