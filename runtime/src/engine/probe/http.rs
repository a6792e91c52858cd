//! A `GET` of which only the status matters.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::dialer::{Dialer, Found, plain};
use super::tcp;

/// Timeout of one answer. A service that swallowed a request while it started must not stop the probe, and a slow page
/// must not be requested again and again.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

const NEVER_ANSWERS: &str = "it accepts connections and gives no answer to a request";

/// How long, and how much of, the rest of an answer is read: a service whose connections are closed early fills its log.
const REST_WITHIN: Duration = Duration::from_millis(100);
const REST_AT_MOST: usize = 64 << 10;

/// The probe's name in errors.
pub(crate) fn name(port: u16, path: &str) -> String {
    format!("GET :{port}{path}")
}

/// Whether a page is answered with 2xx or 3xx.
pub(super) async fn probe(dialer: &impl Dialer, address: SocketAddr, path: &str) -> Found {
    let mut stream = match tcp::connect(dialer, address).await {
        Ok(stream) => stream,
        Err(error) => return tcp::not_connected(&error),
    };
    match timeout(ANSWER_WITHIN, ask(&mut stream, &request(address, path))).await {
        Ok(Ok(head)) => {
            listen_to_rest(&mut stream).await;
            judge(&head)
        }
        Ok(Err(error)) => Found::NotYet(plain(&error)),
        Err(_) => Found::NotYet(NEVER_ANSWERS.to_owned()),
    }
}

/// The helper sends the same request: a change here needs a change in `docker/helper/probe.c`.
fn request(address: SocketAddr, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bowline\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
}

/// Sends the request and returns the beginning of the answer, up to its status.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(256);
    while head.len() < STATUS_ENDS {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

/// The length of `HTTP/1.1 200`.
const STATUS_ENDS: usize = 12;

fn judge(head: &[u8]) -> Found {
    let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| match rest {
        [_, b' ', a, b, c, ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => Some([*a, *b, *c]),
        _ => None,
    });
    match status {
        Some([b'2' | b'3', ..]) => Found::Ready,
        Some(status) => Found::NotYet(format!("status {}", String::from_utf8_lossy(&status))),
        None => Found::NotYet("the answer is not HTTP".to_owned()),
    }
}

async fn listen_to_rest(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let listen = async {
        while rest.len() < REST_AT_MOST && stream.read_buf(&mut rest).await.is_ok_and(|read| read > 0) {}
    };
    let _ = timeout(REST_WITHIN, listen).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_and_redirection_are_ready() {
        for head in ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 204\r\n", "HTTP/1.1 302 Found\r\nLocation: /"] {
            assert_eq!(judge(head.as_bytes()), Found::Ready, "{head}");
        }
        assert_eq!(judge(b"HTTP/1.1 503 Service Unavailable"), Found::NotYet("status 503".to_owned()));
        assert_eq!(judge(b"HTTP/1.1 103 Early Hints"), Found::NotYet("status 103".to_owned()));
        for head in [
            &b"SSH-2.0-OpenSSH_9.2"[..],
            b"HTTP/2 200 OK",
            b"HTTP/1.1 2x0 ",
            b"",
            b"\x15\x03\x01\0\x02\x02F\0\0\0\0\0",
        ] {
            assert_eq!(judge(head), Found::NotYet("the answer is not HTTP".to_owned()));
        }
    }
}
