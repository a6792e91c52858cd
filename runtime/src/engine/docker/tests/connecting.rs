//! Connecting: what is tried, and the message when nothing answers. Each case runs this program again, since the
//! environment belongs to the whole process.

use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::event::{EventKind, Verb};
use crate::lock::lock;

/// Connects and prints the result; run by the other tests.
#[tokio::test]
#[ignore = "not a test: the other tests run it, in a process of its own"]
async fn connects() {
    let began = Instant::now();
    match connect().await {
        Ok(connection) => println!("connected: {:?}", connection.describe()),
        Err(error) => println!("{error}"),
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

fn connect_with(environment: &[(&str, &str)]) -> String {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args([
        "--exact",
        "engine::docker::tests::connecting::connects",
        "--include-ignored",
        "--nocapture",
    ]);
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG"] {
        program.env_remove(name);
    }
    let output = program.envs(environment.iter().copied()).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    said
}

#[test]
fn what_was_chosen_and_fails_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let gone = format!("unix://{}/none.sock", directory.path().display());
    let said = connect_with(&[("DOCKER_HOST", &gone)]);
    assert!(
        said.contains("tried unix://") && said.contains("(DOCKER_HOST): there is no such socket"),
        "{said}"
    );

    let refused = directory.path().join("refused.sock");
    drop(std::os::unix::net::UnixListener::bind(&refused).unwrap());
    let said = connect_with(&[("DOCKER_HOST", &format!("unix://{}", refused.display()))]);
    assert!(said.contains("nothing listens there"), "{said}");

    // A server that accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let said = connect_with(&[("DOCKER_HOST", &format!("tcp://{}", silent.local_addr().unwrap()))]);
    assert!(said.contains("no answer within"), "{said}");

    assert!(connect_with(&[("DOCKER_HOST", "what")]).contains("an address starts with"));
    #[cfg(not(feature = "tls"))]
    {
        let tls = [("DOCKER_HOST", "tcp://127.0.0.1:1"), ("DOCKER_TLS_VERIFY", "1")];
        assert!(connect_with(&tls).contains("feature `tls`"));
    }
}

#[test]
fn contexts_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().to_str().unwrap();
    let said = connect_with(&[("DOCKER_CONFIG", config), ("DOCKER_CONTEXT", "mine")]);
    assert!(said.contains("DOCKER_CONTEXT=mine: there is no context of this name"), "{said}");

    let id = data_encoding::HEXLOWER.encode(&crate::sha256::Sha256::digest(b"mine"));
    let meta = directory.path().join("contexts/meta").join(id);
    std::fs::create_dir_all(&meta).unwrap();
    let text = r#"{"Name":"mine","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://127.0.0.1:1","SkipTLSVerify":false}}}"#;
    std::fs::write(meta.join("meta.json"), text).unwrap();
    std::fs::write(directory.path().join("config.json"), r#"{"currentContext":"mine"}"#).unwrap();
    let said = connect_with(&[("DOCKER_CONFIG", config)]);
    assert!(said.contains("tcp://127.0.0.1:1 (Docker context `mine`): Connection refused"), "{said}");
}

#[tokio::test]
async fn old_and_odd_engines_are_told_apart() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nApi-Version: 1.40\r\n\r\nOK", "it speaks version 1.40 of the API"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "it does not speak Docker's API: `SSH-2.0-OpenSSH_9.2`"),
        ("", "does it expect TLS?"),
        (
            "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 4.3.1\r\nServer: Libpod/4.3.1 (linux)\r\n\r\nOK",
            "it is Podman, which is not supported yet",
        ),
    ] {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("tcp://{}", server.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        let said =
            tokio::task::spawn_blocking(move || connect_with(&[("DOCKER_HOST", &host)])).await.unwrap();
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn an_engine_is_described() {
    let engine = engine!();
    let described = engine.describe();
    let version = engine.shared.client.version().await.unwrap();
    assert_eq!(Some(&described.version), version.version.as_ref());
    assert_eq!(described.platform, format!("{}/{}", version.os.unwrap(), version.arch.unwrap()));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn an_image_nobody_has_is_told() {
    let engine = engine!();
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&told);
    let progress = move |kind| lock(&into).push(kind);
    let image = ImageName::new("localhost:1/no/such:image");
    let (one, two) = tokio::join!(engine.resolve(&image, &progress), engine.resolve(&image, &progress));
    for error in [one.unwrap_err(), two.unwrap_err()] {
        assert!(matches!(error, Error::ImageNotFound { .. }), "{error}");
    }
    assert!(lock(&told).iter().all(|kind| *kind == EventKind::begins(Verb::Pulling)));
    engine.close().await.unwrap();
}
