//! Pipelines at whose terminal somebody sits.

use bowline::prelude::*;
use bowline_tests::nonce;

/// Ticks until it is told to die.
fn ticker() -> Service {
    let script =
        "n=0; while [ ! -e /die ]; do n=$((n+1)); echo tick $n; sleep 0.1; done; echo last words; exit 7";
    Service::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .env("GREETING", "hello")
        .run(["sh", "-c", script])
        .named("ticker")
}

fn web() -> Service {
    let script = "mkdir /www; echo page >/www/index.html; exec httpd -f -p 80 -h /www";
    Service::from_image("busybox:1.35")
        .env("NONCE", nonce())
        .run(["sh", "-c", script])
        .expose(80)
        .named("web")
}

async fn sit(place: &str) -> Result<i32> {
    let work = Container::from_image("busybox:1.35").env("NONCE", nonce()).env("GREETING", "hello");
    let work = work.user("1000").workdir("/tmp").bind("site", &web()).named("work");
    match place {
        "service" => ticker().terminal().await,
        "shared" => ticker().expose(Port::tcp(80).unprobed()).linger("0s").shared().terminal().await,
        "command" => ticker().terminal().command(["cat"]).await,
        "missing" => ticker().terminal().command(["no-such-program"]).await,
        "container" => work.shell("echo made >made").terminal().await,
        "failed" => {
            let failing = work.shell("echo left >left; wget -qO- http://site/ >got; exit 3");
            let error = failing.sync().await.expect_err("it fails");
            error.container().expect("it left something").terminal().await
        }
        "two" => {
            let ticker = ticker();
            let (first, second) = tokio::join!(ticker.terminal(), ticker.terminal());
            let ((Err(refused), opened) | (opened, Err(refused))) = (first, second) else {
                panic!("there is one terminal")
            };
            println!("{refused}");
            opened
        }
        other => panic!("no such place: {other}"),
    }
}

#[bowline::main]
async fn main() -> Result<()> {
    println!("session {}.", Session::current().id());
    match sit(&std::env::args().nth(1).expect("a place")).await {
        Ok(code) => println!("left with {code}."),
        Err(error) => println!("failed: {error}."),
    }
    Ok(())
}
