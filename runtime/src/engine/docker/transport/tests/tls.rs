//! Tests of TLS, with certificates that are valid for a hundred years, of an authority whose key was thrown away.

use std::fs;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::*;

const CA: &str = include_str!("certificates/ca.pem");
const ANOTHER_CA: &str = include_str!("certificates/another-ca.pem");
/// A certificate for 127.0.0.1.
const SERVER: &str = include_str!("certificates/server.pem");
const SERVER_KEY: &str = include_str!("certificates/server-key.pem");
const CLIENT: &str = include_str!("certificates/client.pem");
const CLIENT_KEY: &str = include_str!("certificates/client-key.pem");

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        fs::write(directory.path().join(name), contents).unwrap();
    }
    directory
}

/// The port of an engine that requires a client certificate.
async fn listen(piece: &'static [u8], times: usize) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_slice(CA.as_bytes()).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider)).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SERVER.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, piece, times).await;
                }
            });
        }
    });
    port
}

async fn place(files: &[(&str, &str)], address: String) -> Result<Place, String> {
    let directory = directory(files);
    let connector = Connector::read(Some(directory.path().to_owned()), &address).await?;
    Ok(Place::Tls { address, connector })
}

const ALL: [(&str, &str); 3] = [("ca.pem", CA), ("cert.pem", CLIENT), ("key.pem", CLIENT_KEY)];

pub(super) async fn endless(piece: &'static [u8]) -> Docker {
    let address = format!("127.0.0.1:{}", listen(piece, usize::MAX).await);
    client(place(&ALL, address).await.unwrap(), "tcp://it", 60, VERSION).unwrap()
}

/// The result of a request.
async fn ask(host: &str, port: u16, files: &[(&str, &str)]) -> Result<(), String> {
    let place = place(files, format!("{host}:{port}")).await.unwrap();
    let engine = client(place, "tcp://it", 60, VERSION).unwrap();
    engine.version().await.map(drop).map_err(|error| message(&error))
}

#[tokio::test]
async fn who_is_there_and_who_comes_is_verified() {
    let port = listen(b"{}", 1).await;
    ask("127.0.0.1", port, &ALL).await.unwrap();
    for (host, files, expected) in [
        // The certificate is for another machine.
        ("localhost", &ALL[..], "not valid for name \"localhost\""),
        // The certificate's authority is unknown.
        ("127.0.0.1", &[("ca.pem", ANOTHER_CA)], "the authorities that it is held against are those of /"),
        ("127.0.0.1", &ALL[..1], "it was shown no certificate, as there is no /"),
        ("127.0.0.1", &ALL[..2], "/key.pem"),
    ] {
        let error = ask(host, port, files).await.unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn files_that_are_no_good_are_named() {
    for (files, expected) in [
        (vec![("ca.pem", "")], "/ca.pem: there is no certificate in it"),
        (vec![("ca.pem", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n")], "/ca.pem: "),
        (vec![ALL[0], ("cert.pem", "x"), ALL[2]], "/cert.pem: there is no certificate in it"),
        (vec![ALL[0], ALL[1], ("key.pem", CA)], "/key.pem: there is no key in it"),
        (vec![ALL[0], ALL[1], ("key.pem", SERVER_KEY)], "/key.pem: "),
    ] {
        let error = place(&files, "127.0.0.1:1".to_owned()).await.unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let error = Connector::read(Some("/none".into()), "host:1").await.unwrap_err();
    assert!(error.starts_with("/none: there is no such directory"), "{error}");
    let error = place(&ALL, "a b:1".to_owned()).await.unwrap_err();
    assert!(error.contains("`a b` is no name"), "{error}");
    for host in ["[::1]:1", "10.0.0.1:2376", "docker.example:2376"] {
        place(&ALL, host.to_owned()).await.unwrap();
    }
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, b"", 0));
        }
    });
    let error = place(&ALL, address).await.unwrap().reach().await.err().unwrap();
    assert!(error.to_string().contains("it does not speak TLS"), "{error}");
}
