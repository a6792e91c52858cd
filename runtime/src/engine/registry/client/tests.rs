//! Tests with servers of a few lines that answer as they are told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use super::*;

/// The requests so far: the request line, and the credentials.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// How a server answers a request: status, headers with their line ends, body; `{here}` is the server's address.
type Answers = fn(&str, bool) -> (u16, String, Vec<u8>);

struct Server {
    at: SocketAddr,
    asked: Asked,
}

impl Server {
    /// Starts at an address of this machine that no other test uses.
    fn start(address: &str, answers: Answers) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Asked::default());
        let record = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, record) = (stream.unwrap(), Arc::clone(&record));
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let line = lines.next().unwrap().unwrap();
                    let headers: Vec<String> =
                        lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                    let shown = headers.iter().find_map(|line| {
                        let (name, value) = line.split_once(": ")?;
                        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
                    });
                    record.lock().unwrap().push((line.clone(), shown.clone()));
                    let (status, headers, body) = answers(&line, shown.is_some());
                    let headers = headers.replace("{here}", &at.to_string());
                    let head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{headers}\r\n");
                    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
                });
            }
        });
        Self { at, asked }
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }
}

/// A logged-in client of a registry at an address.
async fn remote(at: SocketAddr) -> Remote {
    let endpoint = Endpoint { name: at.to_string(), prefix: String::new(), is_plain: true };
    let remote = Remote::new(Doing::Pull, &endpoint, "a/b:1", Some(Duration::from_secs(5))).await.unwrap();
    let shown = Shown::Basic { user: "user".to_owned(), password: "password".to_owned() };
    Remote { shown, ..remote }
}

fn ok(body: &[u8]) -> (u16, String, Vec<u8>) {
    (200, format!("Content-Length: {}\r\n", body.len()), body.to_vec())
}

fn challenge(realm: &str) -> (u16, String, Vec<u8>) {
    let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"\r\nContent-Length: 0\r\n");
    (401, header, Vec::new())
}

const SHOWN: &str = "Basic dXNlcjpwYXNzd29yZA==";

#[tokio::test]
async fn credentials_go_to_the_registry_itself_and_the_token_to_nobody_else() {
    let server = Server::start("127.0.0.1", |line, is_shown| match line {
        _ if line.contains("/token?") => ok(br#"{"token": "T"}"#),
        _ if is_shown => ok(b"found"),
        _ => challenge("http://{here}/token"),
    });
    let found = remote(server.at).await.manifest("1").await.unwrap();
    assert_eq!(found.text, b"found");
    let asked = server.asked();
    let lines: Vec<&str> = asked.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /v2/a/b/manifests/1 HTTP/1.1",
            "GET /token?scope=repository%3Aa%2Fb%3Apull&service=s HTTP/1.1",
            "GET /v2/a/b/manifests/1 HTTP/1.1"
        ]
    );
    let shown: Vec<Option<&str>> = asked.iter().map(|(_, shown)| shown.as_deref()).collect();
    assert_eq!(shown, [None, Some(SHOWN), Some("Bearer T")]);
}

#[tokio::test]
async fn credentials_go_to_no_other_host_without_tls() {
    static REALM: std::sync::OnceLock<SocketAddr> = std::sync::OnceLock::new();
    let realm = Server::start("127.0.0.2", |_, is_shown| {
        if is_shown {
            ok(br#"{"token": "T"}"#)
        } else {
            (401, "Content-Length: 0\r\n".to_owned(), Vec::new())
        }
    });
    REALM.set(realm.at).unwrap();
    let server =
        Server::start("127.0.0.1", |_, _| challenge(&format!("http://{}/token", REALM.get().unwrap())));
    let remote = remote(server.at).await;
    let refusal = remote.manifest("1").await.err().expect("nobody gave it a token");
    let error = remote.refusal("r/a/b:1", &refusal).await.to_string();
    assert!(error.contains(&format!("not sent to http://{}", realm.at)), "{error}");
    assert_eq!(realm.asked().iter().map(|(_, shown)| shown.clone()).collect::<Vec<_>>(), [None]);
    assert!(server.asked().iter().all(|(_, shown)| shown.is_none()));
}

#[test]
fn a_realm_is_shown_credentials_by_tls_or_where_the_registry_is() {
    let may = |realm: &str, registry: &str| {
        may_be_shown(&Url::parse(realm).unwrap(), &Url::parse(registry).unwrap())
    };
    assert!(may("https://auth.example/token", "https://r.example/v2/"));
    assert!(may("https://auth.example/token", "http://r.example/v2/"));
    assert!(may("http://r.example:81/token", "http://r.example/v2/"));
    assert!(!may("http://auth.example/token", "http://r.example/v2/"));
    assert!(!may("http://r.example/token", "https://r.example/v2/"), "the registry has TLS");
}

#[tokio::test]
async fn no_answer_is_read_without_end() {
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    /// An answer without a length, twice as large as any document.
    fn large(status: u16) -> (u16, String, Vec<u8>) {
        let mut body = Vec::new();
        for _ in 0..(DOCUMENT_AT_MOST >> 19) {
            body.extend_from_slice(b"100000\r\n");
            body.resize(body.len() + 0x0010_0000, b' ');
            body.extend_from_slice(b"\r\n");
        }
        (status, CHUNKED.to_owned(), body)
    }
    use crate::regular::DOCUMENT_AT_MOST;
    let digest = ContentDigest::of(b"x");
    for answers in [
        (|_: &str, _: bool| large(200)) as Answers,
        |_, _| large(500),
        |_, _| (200, format!("Content-Length: {}\r\n", 1_u64 << 40), Vec::new()),
        |line, _| if line.contains("/token") { large(200) } else { challenge("http://{here}/token") },
        |line, _| if line.contains("/token") { large(403) } else { challenge("http://{here}/token") },
    ] {
        let remote = remote(Server::start("127.0.0.1", answers).at).await;
        for refusal in [remote.manifest("1").await.err(), remote.document(&digest).await.err()] {
            let refusal = refusal.expect("it has no end");
            assert!(matches!(&refusal, Refusal::Unusable(why) if why.contains("8 MiB")), "{refusal:?}");
        }
    }
}

#[tokio::test]
async fn what_the_registry_sends_elsewhere_goes_there_without_credentials() {
    static OTHER: std::sync::OnceLock<SocketAddr> = std::sync::OnceLock::new();
    let other = Server::start("127.0.0.2", |_, _| ok(b"taken"));
    OTHER.set(other.at).unwrap();
    let server = Server::start("127.0.0.1", |line, is_shown| {
        let location =
            format!("Location: http://{}/there?x=1\r\nContent-Length: 0\r\n", OTHER.get().unwrap());
        match line {
            _ if !is_shown => {
                (401, "WWW-Authenticate: Basic\r\nContent-Length: 0\r\n".to_owned(), Vec::new())
            }
            _ if line.starts_with("POST") => (202, location, Vec::new()),
            _ => (307, location, Vec::new()),
        }
    });
    let remote = remote(server.at).await;
    let digest = ContentDigest::of(b"taken");
    assert_eq!(remote.document(&digest).await.unwrap(), b"taken");
    remote.put_blob(&digest, 5, b"taken".as_slice().into()).await.unwrap();
    let asked = other.asked();
    assert!(asked.iter().all(|(_, shown)| shown.is_none()), "{asked:?}");
    assert!(
        asked[1].0.starts_with(&format!("PUT /there?x=1&digest=sha256%3A{}", digest.hash())),
        "{asked:?}"
    );
    assert_eq!(server.asked().last().unwrap().1.as_deref(), Some(SHOWN));
}

#[test]
fn only_names_of_registries_become_parts_of_urls() {
    let digest = ContentDigest::of(b"x");
    for (rest, repository, reference) in [
        ("a/b:1.2", "a/b", "1.2".to_owned()),
        ("a", "a", "latest".to_owned()),
        (&format!("a/b@{digest}"), "a/b", digest.to_string()),
        (&format!("a/b:1@{digest}"), "a/b", digest.to_string()),
    ] {
        assert_eq!(split(rest), Some((repository.to_owned(), reference)), "{rest}");
    }
    for rest in ["", "../b", "a/..", "a//b", "a b", "a?x", "a#x", "a%2e", "a:", "a:b/c", "a@sha512:1", "a@x"]
    {
        assert_eq!(split(rest), None, "{rest}");
    }
}
