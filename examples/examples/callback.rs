//! A container that calls back: the program serves a web hook, and a container of the pipeline reports to it.
//!
//! Run it with `examples/run callback`.

use bowline::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers one request that has a body, and returns the body.
async fn one_report(listener: &TcpListener) -> std::io::Result<String> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = String::new();
        let mut piece = [0; 1024];
        // A client that sends nothing only looks whether somebody listens.
        while !request.ends_with("done\n") {
            match stream.read(&mut piece).await? {
                0 => break,
                length => request += &String::from_utf8_lossy(&piece[..length]),
            }
        }
        if let Some((_, body)) = request.split_once("\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
            return Ok(body.to_owned());
        }
    }
}

#[bowline::main]
async fn main() -> Result<()> {
    // On the loopback address only, which no container could reach without the host service.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let hook = host_service(listener.local_addr()?).named("hook");
    let url = hook.endpoint()?.with_scheme("http").to_string();
    let p = pipeline! {
        service hook = hook;
        container build {
            image "python:3.11";
            bind hook;
            env HOOK = url;
            exec ["python3", "-c", "import os, urllib.request as u; u.urlopen(os.environ['HOOK'], b'build 7: done\\n')"];
        }
    };
    let (built, report) = tokio::join!(p.build.sync(), one_report(&listener));
    built?;
    print!("the hook was told: {}", report?);
    Ok(())
}
