//! A web application while it is developed: its code from this machine, a Redis beside it, and an address to open in a
//! browser.
//!
//! Run it with `examples/run web_dev`, and end it with Ctrl-C. `examples/run web_dev once` asks for the page once, and ends.

use bowline::prelude::*;

/// The application's directory, wherever the program is started.
const APP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/visits");

#[bowline::main]
async fn main() -> Result<()> {
    let p = pipeline! {
        dir source = host(APP).exclude(["**/__pycache__"]);
        service redis {
            image "redis:7";
            expose 6379;
        }
        service app {
            image "python:3.11";
            bind redis;
            mount source at "/app" readonly;
            workdir "/app";
            env REDIS_HOST = "redis";
            env PYTHONDONTWRITEBYTECODE = 1;
            run ["python3", "-u", "server.py"];
            expose 8000 as http on host 8000;
        }
    };
    let once = std::env::args().any(|argument| argument == "once");
    // At the port that the definition names; a free one will do if nobody types it.
    let app = if once { p.app.tunnel().await? } else { p.app.tunnel().on_host_ports().await? };
    println!("open {}/", app.url("http"));
    if once {
        print!("{}", page(app.address()).await?);
        return Ok(());
    }
    // Until Ctrl-C, or until the application ends.
    Err(app.ended().await)
}

/// What the application answers.
async fn page(at: std::net::SocketAddr) -> Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(at).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(answer))
}
