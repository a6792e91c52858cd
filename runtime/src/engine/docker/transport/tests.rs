//! Tests with engines that send anything, over every kind of connection.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::pin;

use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateImageOptionsBuilder};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::super::failure::message;
use super::*;

mod ssh;
#[cfg(feature = "tls")]
mod tls;

const VERSION: &ClientVersion = bollard::API_DEFAULT_VERSION;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
/// Followed by the header of a frame of the largest possible length.
const UPGRADED: &[u8] =
    b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x01\0\0\0\xff\xff\xff\xff";

/// Answers a request with the same piece, this many times or until the client stops reading.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, piece: &[u8], times: usize) {
    let mut asked = [0; 4096];
    let length = stream.read(&mut asked).await.unwrap_or_default();
    let is_attach = String::from_utf8_lossy(&asked[..length]).contains("/attach");
    let mut sent = stream.write_all(if is_attach { UPGRADED } else { OK }).await;
    for _ in 0..times {
        if sent.is_err() {
            return;
        }
        sent = stream.write_all(piece).await;
    }
    let _ = stream.shutdown().await;
}

/// An engine at a socket.
fn endless(directory: &Path, piece: &'static [u8], times: usize) -> Docker {
    let path = directory.join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, piece, times));
        }
    });
    client(Place::Socket(path), "unix://socket", 60, VERSION).unwrap()
}

/// An engine behind an `ssh` that is this shell script.
fn behind_ssh(directory: &Path, script: &str) -> Docker {
    const ANSWERS: &str = r#"
        # What is asked.
        hear() { read -r asked; while read -r line && [ "${#line}" -gt 1 ]; do :; done; }
        # The answer that the engine is there.
        greet() { hear; printf 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'; }
        # An answer in full.
        say() { printf 'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' "${#1}" "$1"; }
    "#;
    let program = directory.join("ssh");
    let script = format!("#!/bin/sh\ncd '{}'\n{ANSWERS}\n{script}\n", directory.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut destination = Destination::parse("me@host").unwrap();
    destination.call(program.to_str().unwrap());
    client(Place::Ssh(destination), "ssh://me@host", 60, VERSION).unwrap()
}

fn endless_behind_ssh(directory: &Path, piece: &[u8]) -> Docker {
    for (name, contents) in [("ok", OK), ("upgraded", UPGRADED), ("piece", piece)] {
        std::fs::write(directory.join(name), contents).unwrap();
    }
    let script =
        r"greet; hear; case $asked in *attach*) cat upgraded;; *) cat ok;; esac; while cat piece; do :; done";
    behind_ssh(directory, script)
}

/// Checks how answers without an end are refused.
async fn refuses_what_has_no_end(engine: Docker, way: &str) {
    let error = message(&engine.inspect_image("x").await.unwrap_err());
    assert!(error.contains("8 MiB"), "{way}: {error}");
    let options = AttachContainerOptionsBuilder::default().stdout(true).stream(true).build();
    // The header of the frame may arrive together with the head of the answer.
    let error = match engine.attach_container("x", Some(options)).await {
        Ok(mut attached) => attached.output.next().await.unwrap().unwrap_err(),
        Err(error) => error,
    };
    assert!(message(&error).contains("16 MiB"), "{way}: {error}");
}

#[tokio::test]
async fn nothing_of_an_engine_is_read_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let piece = &[b'['; 1 << 14];
    refuses_what_has_no_end(endless(directory.path(), piece, usize::MAX), "unix").await;
    refuses_what_has_no_end(endless_behind_ssh(directory.path(), piece), "ssh").await;
    #[cfg(feature = "tls")]
    refuses_what_has_no_end(tls::endless(piece).await, "tls").await;
}

#[tokio::test]
async fn news_of_an_engine_are_not_read_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let engine =
        endless(directory.path(), b"{\"status\": \"pulling, and pulling, and pulling\"}\n", usize::MAX);
    let options = CreateImageOptionsBuilder::default().from_image("x").build();
    let news = engine.create_image(Some(options), None, None);
    // bollard does not say why a stream broke.
    let error = message(&news.try_for_each(|_| async { Ok(()) }).await.unwrap_err());
    assert!(error.contains("error reading a body"), "{error}");
}

#[tokio::test]
async fn contents_have_no_bound() {
    const PIECES: usize = 6000;
    let directory = tempfile::tempdir().unwrap();
    let engine = endless(directory.path(), &[7; 1 << 14], PIECES);
    let mut length = 0;
    let mut contents = pin!(engine.export_image("x"));
    while let Some(piece) = contents.next().await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, PIECES << 14);
}

#[tokio::test]
async fn an_engine_that_is_lost_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none");
    let engine = client(Place::Socket(path), "unix:///none", 60, VERSION).unwrap();
    let error = message(&engine.ping().await.unwrap_err());
    assert!(error.contains("(unix:///none: No such file or directory"), "{error}");
    // A server that hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let engine = client(Place::Tcp(address), "tcp://it", 60, VERSION).unwrap();
    let error = message(&engine.ping().await.unwrap_err());
    assert!(error.contains("does not answer any more (tcp://it: "), "{error}");
}
