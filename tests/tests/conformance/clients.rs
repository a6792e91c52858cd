//! Programs that know nothing of bowline: clients of this machine through tunnels, and a proxy in a container.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bowline::prelude::*;
use bowline_tests::{has_program, has_time, nonce, redis_says};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[bowline::test]
async fn redis_benchmark_has_a_tunnel_for_a_redis() -> Result<()> {
    if !has_program("redis-benchmark") {
        return Ok(());
    }
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379);
    let tunnel = redis.tunnel().await?;
    let mut command = Command::new("redis-benchmark");
    let port = tunnel.address().port().to_string();
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-c",
        "100",
        "-n",
        "20000",
        "-d",
        "4000",
        "-P",
        "16",
        "--csv",
    ]);
    command.args(["-t", "set,get,lpush,lrange_100"]);
    let output = output(command).await;
    let said = text(&output);
    assert!(output.status.success() && !said.contains("Error"), "{said}");
    // Requests a second of each test, after its name.
    let of = |test: &str| {
        let line = said.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("\"{test}")));
        line.and_then(|line| line.split('"').nth(3)?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    assert!(["set", "get", "lpush", "lrange_100"].iter().all(|test| of(test) > 100.0), "{said}");
    assert!(redis_says(tunnel.address(), "DBSIZE").await?.parse::<u32>().is_ok_and(|keys| keys > 0));
    Ok(())
}

#[bowline::test]
async fn a_browser_shows_a_page_of_a_service() -> Result<()> {
    if !has_time() || !has_program("chromium") {
        return Ok(());
    }
    let page = "<title>before</title><img src=dot.svg><script>fetch('/data.json').then(r => r.json()).then(d => document.title = d.title)</script>";
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            env NONCE = nonce();
            file "/usr/share/nginx/html/index.html" = page;
            file "/usr/share/nginx/html/data.json" = r#"{"title": "fetched by the page"}"#;
            file "/usr/share/nginx/html/dot.svg" = "<svg xmlns='http://www.w3.org/2000/svg'/>";
            expose 80 as http;
        }
    };
    let tunnel = p.web.tunnel().await?;
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=5000",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.args(["--dump-dom", &tunnel.url("http")]);
    let said = text(&output(command).await);
    assert!(said.contains("<title>fetched by the page</title>"), "{said}");
    Ok(())
}

/// A page of an HTTP server, without its head.
async fn page(at: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map_or(answer.clone(), |(_, body)| body.to_owned()))
}

#[bowline::test]
async fn nginx_in_a_container_is_a_proxy_for_a_server_of_this_machine() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut question = vec![0; 4096];
                let Ok(length @ 1..) = stream.read(&mut question).await else { return };
                let line =
                    String::from_utf8_lossy(&question[..length]).lines().next().unwrap_or("").to_owned();
                let body = format!("{} {line}\n", count.fetch_add(1, Ordering::SeqCst) + 1).repeat(20_000);
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes()).await;
            });
        }
    });
    let api = host_service(port).port(8000, port);
    let config = "server { listen 80; location /api/ { proxy_pass http://api:8000/; proxy_buffering off; } location / { return 200 own; } }";
    let p = pipeline! {
        service api = api;
        service web {
            image "nginx:1.22";
            env NONCE = nonce();
            file "/etc/nginx/conf.d/default.conf" = config;
            bind api;
            expose 80;
        }
    };
    let tunnel = p.web.tunnel().await?;
    assert_eq!(page(tunnel.address(), "/").await?, "own");
    for number in 1..=3 {
        let body = page(tunnel.address(), &format!("/api/{number}")).await?;
        assert_eq!(body.lines().count(), 20_000);
        assert!(
            body.starts_with(&format!("{number} GET /{number} HTTP/1.")),
            "{}",
            &body[..100.min(body.len())]
        );
    }
    Ok(())
}
