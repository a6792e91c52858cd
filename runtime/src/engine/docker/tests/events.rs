//! Ends that the engine tells, and an engine that does not tell them: all is the same.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::*;
use crate::lock::lock;

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Passed,
    /// Answered with this, and then nothing.
    Answered(&'static str),
    /// Never answered.
    Silence,
}

/// Stands between a session and the engine. `fate` judges a request by its first line.
async fn behind(
    fate: impl Fn(&str) -> Fate + Copy + Send + 'static,
) -> Option<(tempfile::TempDir, Arc<Docker>)> {
    let real = match connect().await {
        Ok(connection) => {
            connection.address.strip_prefix("unix://").expect("it is of this machine").to_owned()
        }
        Err(_) if std::env::var_os("BOWLINE_SKIP_ENGINE_TESTS").is_some() => return None,
        Err(error) => panic!("{error}"),
    };
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let real = real.clone();
            std::thread::spawn(move || drop(pass(client, Path::new(&real), fate)));
        }
    });
    let connection = Connection::new(format!("unix://{}", socket.display()), None).negotiate().await.unwrap();
    let engine = Docker::open(&connection, SessionId::random(), None).await.unwrap();
    Some((directory, engine))
}

fn pass(mut client: UnixStream, real: &Path, fate: impl Fn(&str) -> Fate) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let length = client.read(&mut head)?;
    let first = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
    match fate(&first) {
        Fate::Passed => {}
        Fate::Answered(answer) => return client.write_all(answer.as_bytes()),
        Fate::Silence => return client.read_to_end(&mut Vec::new()).map(drop),
    }
    let mut engine = UnixStream::connect(real)?;
    engine.write_all(&head[..length])?;
    let (mut from_client, mut to_engine) = (client.try_clone()?, engine.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    std::io::copy(&mut engine, &mut client)?;
    client.shutdown(Shutdown::Both)
}

/// Runs a step and a service, and checks how they ended and what they wrote.
async fn ends_are_right(engine: &Docker) {
    let base = engine.image(BUSYBOX).await.snapshot;
    let (finished, output) = engine.run(script(&base, "echo out; echo err >&2; exit 3")).await;
    assert_eq!((finished.exit().code, output.stdout, output.stderr), (3, b"out\n".into(), b"err\n".into()));
    for number in 0..5 {
        let (finished, output) = engine.run(script(&base, &format!("echo {number}; exit {number}"))).await;
        assert_eq!((finished.exit().code, output.stdout), (number, format!("{number}\n").into_bytes()));
    }
    // The names of services are used again: the end of an earlier one is not that of a later one.
    for code in ["4", "5"] {
        let program = ["sh", "-c", &format!("sleep 0.3; echo said; exit {code}")];
        let (sink, heard) = recorder();
        let running = engine.start(service(&base, HOST, &program), sink).await.unwrap();
        assert_eq!(running.wait().await.unwrap().code.to_string(), code);
        assert_eq!(lock(&heard).stdout, b"said\n");
        running.remove().await.unwrap();
    }
    engine.close().await.unwrap();
    assert_eq!(left(engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_known_without_events() {
    for answer in [
        "",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"Type\": \"container\", \"Act",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhat\nis this\n{}\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"Action\": \"die\", \"Actor\": {\"ID\": \"other\", \"Attributes\": {\"exitCode\": \"9\"}}}\n",
    ] {
        let fate = move |request: &str| {
            if request.contains("/events") { Fate::Answered(answer) } else { Fate::Passed }
        };
        let Some((_directory, engine)) = behind(fate).await else { return };
        ends_are_right(&engine).await;
    }
    let silent = |request: &str| if request.contains("/events") { Fate::Silence } else { Fate::Passed };
    let Some((_directory, engine)) = behind(silent).await else { return };
    ends_are_right(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_known_from_events_alone() {
    let mute = |request: &str| if request.contains("/wait") { Fate::Silence } else { Fate::Passed };
    let Some((_directory, engine)) = behind(mute).await else { return };
    ends_are_right(&engine).await;
}

/// What the engine has of networks that sessions leave to each other, by name.
async fn has(engine: &Docker, network: &str) -> bool {
    engine.shared.client.inspect_network(network, None).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_at_once_have_networks_of_their_own_and_one_that_is_removed_is_made_again() {
    let (one, two) = (engine!(), engine!());
    let network = async |engine: &Docker| engine.shared.network.begin(&engine.shared).await.unwrap().name;
    let (of_one, of_two) = tokio::join!(network(&one), network(&two));
    assert_ne!(of_one, of_two);
    assert!(has(&one, &of_one).await && has(&two, &of_two).await);
    two.close().await.unwrap();
    // Somebody removes it, if it was left.
    let _ = one.shared.client.remove_network(&of_two).await;
    let three = engine!();
    let base = three.image(BUSYBOX).await.snapshot;
    let running = three.start(service(&base, HOST, &["sleep", "100"]), nothing()).await.unwrap();
    assert!(running.address().await.is_ok());
    assert_ne!(network(&three).await, of_one);
    drop(running);
    three.close().await.unwrap();
    one.close().await.unwrap();
    assert_eq!(left(&three).await + left(&one).await, 0);
}
