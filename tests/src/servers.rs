//! Servers that tests talk to, and who talks to them. The programs are files: what each answers stands at its head.

use std::io;
use std::net::SocketAddr;

use bowline::{CacheVolume, Container, Port, Service};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::nonce;

/// Something to run commands in, once more than any cache knows.
pub fn busybox() -> Container {
    Container::from_image("busybox:1.35").env("NONCE", nonce())
}

/// A service of a Python program.
pub fn python_service(program: &str) -> Service {
    python(program, &[])
}

fn python(program: &str, args: &[&str]) -> Service {
    let command = ["python3", "-u", "/srv/main.py"].iter().chain(args).copied();
    Service::from_image("python:3.11").with_file("/srv/main.py", program).run(command)
}

/// `servers/web.py`, as a service that no other test shares.
pub fn server(name: &str) -> Service {
    python_service(include_str!("servers/web.py"))
        .env("NAME", name)
        .env("NONCE", nonce())
        .expose(Port::tcp(8080).named("http"))
        .named(name)
}

/// `servers/staged.py`: does these things before it answers on 8080.
pub fn late(stages: &[&str]) -> Service {
    python(include_str!("servers/staged.py"), stages).env("NONCE", nonce())
}

/// `servers/staged.py`: does these things before it answers on 8080, and those when it is told to stop.
pub fn stopping(stages: &[&str], at_the_end: &[&str]) -> Service {
    late(&[stages, &["--"], at_the_end].concat())
}

/// `servers/age.py`: answers with its age on these paths, in time.
pub fn age(paths: &[&str]) -> Service {
    python(include_str!("servers/age.py"), paths).env("NONCE", nonce()).expose(Port::tcp(8080).named("web"))
}

/// `servers/relay.py`: answers with what these URLs do.
pub fn relay(urls: &[&str]) -> Service {
    python(include_str!("servers/relay.py"), urls).env("NONCE", nonce()).expose(8080)
}

/// `servers/datagrams.py`: sends datagrams to 5353 back, a second after it was started.
pub fn datagrams() -> Service {
    python(include_str!("servers/datagrams.py"), &["1"]).env("NONCE", nonce()).expose(Port::udp(5353))
}

/// `servers/echo.py`: ports that send back, reset, never read, and send.
pub fn echo() -> Service {
    let ports = [7000, 7001, 7002, 7003].into_iter().map(Port::tcp).chain([Port::udp(7000)]);
    ports
        .fold(python(include_str!("servers/echo.py"), &[]).env("NONCE", nonce()), Service::expose)
        .named("echo")
}

/// A redis that all processes share that know a text; it lingers for three seconds.
pub fn shared_redis(key: &str) -> Service {
    Service::from_image("redis:7").env("KEY", key).expose(6379).linger("3s").shared().named("shared")
}

/// What a redis answers to a command, without its kind.
///
/// # Errors
/// Those of the connection.
pub async fn redis_says(at: SocketAddr, command: &str) -> io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(at).await?);
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    Ok(answer.trim_end().get(1..).unwrap_or_default().to_owned())
}

/// `servers/database.py`: takes so long to set up what a cache is for, and may end with a code instead.
pub fn database(cache: &CacheVolume, seconds: &str, code: Option<&str>) -> Service {
    let args: Vec<&str> = [seconds].into_iter().chain(code).collect();
    python(include_str!("servers/database.py"), &args)
        .env("NONCE", nonce())
        .mount("/data", cache)
        .expose(8080)
        .named("db")
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
