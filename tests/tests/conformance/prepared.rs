//! Services that the program has prepared, and that start from what they left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bowline::prelude::*;
use bowline_tests::{busybox, inspector, nonce};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A redis that writes what it has to its disk when it is stopped.
fn redis(nonce: &str) -> Service {
    Service::from_image("redis:7")
        .env("NONCE", nonce)
        .run(["redis-server", "--save", "900 1", "--dir", "/tmp", "--bind", "*", "--protected-mode", "no"])
        .expose(6379)
        .named("store")
}

/// What redis answers to a command.
async fn ask(tunnel: &Tunnel, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect(tunnel.address()).await?;
    stream.write_all(format!("{command}\r\nquit\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned())
}

#[bowline::test]
async fn a_service_is_prepared_once_and_each_instance_has_its_own_copy() -> Result<()> {
    let nonce = nonce();
    let prepared = Arc::new(AtomicUsize::new(0));
    let with = |key: &str| {
        let (count, value) = (prepared.clone(), key.to_owned());
        redis(&nonce).prepared(key, move |store: Tunnel| {
            let (count, value) = (count.clone(), value.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                ask(&store, &format!("set a {value}")).await.map(drop)
            }
        })
    };
    // Nothing happens before it is needed.
    let one = with("one");
    assert_eq!(prepared.load(Ordering::SeqCst), 0);
    assert_ne!(one.hostname(), redis(&nonce).hostname());
    assert_eq!(one.hostname(), with("one").hostname());
    let own = Session::new();
    let [first, second] = [one.tunnel().await?, own.scope(async { with("one").tunnel().await }).await?];
    assert_eq!(ask(&first, "set a changed").await?, "+OK\r\n");
    assert_eq!(ask(&second, "get a").await?, "$3\r\none\r\n");
    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    let two = with("two").tunnel().await?;
    assert_eq!((ask(&two, "get a").await?, prepared.load(Ordering::SeqCst)), ("$3\r\ntwo\r\n".to_owned(), 2));
    // Only these three are left of it.
    drop(second);
    own.close().await?;
    assert_eq!(inspector().running(&Session::current().id()).len(), 2);
    // What is bound to it has its copy, too.
    let get =
        Container::from_image("redis:7").bind("store", &one).exec(["redis-cli", "-h", "store", "get", "a"]);
    assert_eq!(get.stdout().await?, "changed\n");
    Ok(())
}

async fn panic(_: Tunnel) -> Result<()> {
    panic!("of the program")
}

#[bowline::test]
async fn a_preparation_that_fails_is_an_error_and_is_tried_again() -> Result<()> {
    let nonce = nonce();
    let tries = Arc::new(AtomicUsize::new(0));
    let second_time = redis(&nonce).prepared("a", move |store: Tunnel| {
        let tries = tries.clone();
        async move {
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Error::other("the schema has a mistake")),
                _ => ask(&store, "set a b").await.map(drop),
            }
        }
    });
    let error = second_time.tunnel().await.unwrap_err().to_string();
    assert!(error.contains("prepare service `store` as \"a\": the schema has a mistake"), "{error}");
    assert!(inspector().running(&Session::current().id()).is_empty());
    assert_eq!(ask(&second_time.tunnel().await?, "get a").await?, "$1\r\nb\r\n");

    let panics = redis(&nonce).prepared("panics", panic);
    let error = panics.tunnel().await.unwrap_err().to_string();
    assert!(
        error.contains("prepare service `store` as \"panics\"") && error.contains("of the program"),
        "{error}"
    );
    Ok(())
}

#[bowline::test]
async fn what_has_to_be_killed_is_not_kept() -> Result<()> {
    let deaf = Service::from_container(&busybox())
        .run(["sh", "-c", "trap '' TERM; while :; do nc -l -p 80 -e true; done"])
        .expose(Port::tcp(80).unprobed())
        .ready(Ready::exec(["sh", "-c", "netstat -ltn | grep -q :80"]))
        .stop_with(bowline::Stop::signal("SIGTERM").within("200ms"))
        .named("deaf");
    let error =
        deaf.prepared("a", |_: Tunnel| async { Ok::<_, Error>(()) }).tunnel().await.unwrap_err().to_string();
    assert!(
        error.contains("keep what service `deaf` left: it did not end within its grace period"),
        "{error}"
    );
    Ok(())
}
