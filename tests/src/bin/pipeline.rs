//! A pipeline as a process of its own, for tests that end, cut off or switch off whole pipelines.

use std::time::Duration;

use bowline::Session;
use bowline::prelude::*;
use bowline_tests::{
    client, database, datagrams, echo, fetch, late, nonce, redis_says, server, shared_redis, stopping,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

/// Starts a service and a step that runs for long, says so, and waits for the end.
async fn run_for_long() -> Result<()> {
    let web = server("web");
    web.start().await?;
    let long = Container::from_image("busybox:1.35").env("NONCE", nonce()).exec(["sleep", "600"]);
    let session = Session::current();
    println!("session {}", session.id());
    let running = session.clone();
    tokio::task::spawn_blocking(move || {
        let up = || bowline_tests::running(&running) >= 2;
        bowline_tests::eventually("the step runs", Duration::from_secs(60), up);
        println!("running");
    });
    long.sync().await
}

#[bowline::main]
async fn owned() -> Result<()> {
    run_for_long().await
}

#[bowline::main]
async fn panics() {
    server("web").start().await.expect("it starts");
    println!("session {}", Session::current().id());
    panic!("as the test wants it");
}

#[tokio::main]
async fn plain() -> Result<()> {
    println!("session {}", Session::current().id());
    let web = server("web");
    print!("{}", fetch("www", &web, "/env").stdout().await?);
    Ok(())
}

#[tokio::main]
async fn plain_for_long() -> Result<()> {
    run_for_long().await
}

/// A service that runs and is never ready, and a client that waits for it.
#[bowline::main]
async fn never_ready() -> Result<()> {
    println!("session {}", Session::current().id());
    let web = server("web").ready(Ready::log("never said").within("10m"));
    let seen = web.clone();
    let waiting = tokio::spawn(async move { fetch("www", &seen, "/id").sync().await });
    let session = Session::current();
    let up = move || {
        bowline_tests::eventually("the service runs", Duration::from_secs(60), || {
            bowline_tests::is_running(&session, &web)
        })
    };
    tokio::task::spawn_blocking(up).await.expect("it runs");
    println!("running");
    waiting.await.expect("it does not panic")
}

/// Services that are ready in different ways, and one that never is.
#[bowline::main]
async fn ways_to_be_ready() -> Result<()> {
    let tcp = late(&["wait=1"]).expose(8080);
    client("www", &tcp, "get('http://www:8080/')").sync().await?;
    println!("late tcp");
    let udp = datagrams();
    let ask = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(b'pdu', ('dns', 5353)); print(s.recv(9).decode())";
    print!("{}", client("dns", &udp, ask).stdout().await?);
    let http = late(&["wait=1"]).expose(8080).ready(Ready::http("/"));
    client("www", &http, "get('http://www:8080/')").sync().await?;
    println!("http");
    let never = server("never").expose(9999).ready(Ready::port().within("2s"));
    match fetch("www", &never, "/id").sync().await {
        Err(Error::ServiceNotReady(error)) if error.to_string().contains("9999/tcp") => {
            println!("9999/tcp never opened");
        }
        other => println!("{other:?}"),
    }
    Ok(())
}

/// What a container's processes are limited to, and what a limit in a pipeline makes of it.
#[bowline::main]
async fn ulimits() -> Result<()> {
    let look =
        |debian: Container| debian.env("NONCE", nonce()).exec(["bash", "-c", "ulimit -Sa; ulimit -Ha"]);
    let debian = Container::from_image("debian:12");
    print!("{}{}", look(debian.clone()).stdout().await?, look(debian.limit_nofile(200)).stdout().await?);
    Ok(())
}

#[bowline::main]
async fn ping() -> Result<()> {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis");
    let ping = Container::from_image("redis:7").bind("db", &redis).exec(["redis-cli", "-h", "db", "ping"]);
    print!("{}", ping.stdout().await?);
    Ok(())
}

/// What takes connections of every kind: a service, standard input, much output, and a directory that is saved.
#[bowline::main]
async fn remote() -> Result<()> {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis");
    let ping = Container::from_image("redis:7").bind("db", &redis).exec(["redis-cli", "-h", "db", "ping"]);
    let shell = |script: &str| Container::from_image("busybox:1.35").env("NONCE", nonce()).shell(script);
    let given =
        Container::from_image("busybox:1.35").env("NONCE", nonce()).exec(Exec::new(["cat"]).stdin("stdin\n"));
    let much = shell("head -c 300000 /dev/zero | tr '\\0' x");
    let made = shell("mkdir /out && echo exported >/out/file");
    let (ping, given, much) = tokio::try_join!(ping.stdout(), given.stdout(), much.stdout())?;
    let to = std::env::temp_dir().join(format!("bowline-remote-{}", nonce()));
    made.directory("/out").save_to(&to).await?;
    print!("{ping}{given}{}\n{}", much.len(), std::fs::read_to_string(to.join("file")).expect("it is saved"));
    std::fs::remove_dir_all(&to).expect("it is there");
    Ok(())
}

/// Everything that connects this program with containers: tunnels to redis and to what sends back, and a server of this
/// program that a container asks.
#[bowline::main]
async fn reach() -> Result<()> {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis");
    let tunnel = redis.tunnel().await?;
    let mut client = TcpStream::connect(tunnel.address()).await?;
    client.write_all("INCR counter\r\n".repeat(10_000).as_bytes()).await?;
    let mut last = String::new();
    let mut replies = BufReader::new(&mut client);
    for _ in 0..10_000 {
        last.clear();
        replies.read_line(&mut last).await?;
    }
    println!("{}", last.trim_end());
    let long = "x".repeat(5 << 20);
    let set = format!("*3\r\n$3\r\nSET\r\n$4\r\nlong\r\n${}\r\n{long}\r\nGET long\r\nQUIT\r\n", long.len());
    let (mut replies, mut questions) = client.split();
    let mut said = Vec::new();
    tokio::try_join!(questions.write_all(set.as_bytes()), replies.read_to_end(&mut said))?;
    let expected = format!("+OK\r\n${}\r\n{long}\r\n+OK\r\n", long.len());
    println!(
        "{} bytes, {}",
        said.len(),
        if said == expected.as_bytes() { "as they were sent" } else { "changed" }
    );

    echoes(&echo()).await?;
    echoes(&echo().linger("0s").shared()).await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api = host_service(listener.local_addr()?.port()).port(80, listener.local_addr()?.port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"hello from the program\n").await;
        }
    });
    let ask = Container::from_image("busybox:1.35").bind("api", &api).exec(["nc", "api", "80"]);
    print!("{}", ask.stdout().await?);
    Ok(())
}

/// A hundred connections at once, one that is reset, and datagrams.
async fn echoes(service: &Service) -> Result<()> {
    let tunnel = service.tunnel().await?;
    let at = tunnel.address_of_port(7000)?;
    let ask = || async move {
        let mut client = TcpStream::connect(at).await?;
        client.write_all(b"hello").await?;
        client.shutdown().await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        Ok::<_, Error>(answer)
    };
    let asking: Vec<_> = (0..100).map(|_| tokio::spawn(ask())).collect();
    let mut answered = 0;
    for asked in asking {
        answered += usize::from(asked.await.expect("it does not panic")? == "helloend");
    }
    println!("{answered} answers");
    let mut client = TcpStream::connect(tunnel.address_of_port(7001)?).await?;
    client.write_all(b"\n").await?;
    println!("{}", client.read_u8().await.map_err(|error| error.kind()).expect_err("it is reset"));
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(tunnel.address_of_port(Port::udp(7000))?).await?;
    let mut heard = vec![0; 65536];
    let mut length = None;
    // A datagram may be lost.
    for _ in 0..20 {
        socket.send(&[7; 9000]).await?;
        if let Ok(heard) = timeout(Duration::from_secs(1), socket.recv(&mut heard)).await {
            length = Some(heard?);
            break;
        }
    }
    println!("a datagram of {length:?} bytes");
    Ok(())
}

/// Two containers at once of the image that a variable names; prints what each of them says.
#[bowline::main]
async fn run_image() -> Result<()> {
    let image = std::env::var("IMAGE").expect("IMAGE names an image");
    let container = |name: &str| {
        let nonce = nonce();
        Container::from_image(&image).env("NONCE", nonce).exec(["echo", "ran", name]).named(name)
    };
    let (first, second) = (container("first"), container("second"));
    let (first, second) = tokio::try_join!(first.stdout(), second.stdout())?;
    print!("{first}{second}");
    Ok(())
}

/// Two services, one of which uses the other to its last moment, and takes two seconds and more output than a pipe holds to
/// stop. Both write down how they ended, on the cache volume that a variable names.
#[bowline::main]
async fn leave() -> Result<()> {
    let volume = CacheVolume::new(std::env::var("KEY").expect("KEY names a cache volume"));
    let notes = |service: Service| service.mount("/state", &volume).expose(8080);
    let below = notes(stopping(&[], &["note=/state/log,below", "exit=0"])).named("below");
    let asks = "ask=/state/log,http://below:8080/";
    let above = stopping(&[], &["fill=200000", "wait=2", "note=/state/log,above", asks, "exit=0"]);
    let above = notes(above).bind("below", &below).named("above");
    println!("session {}", Session::current().id());
    client("above", &above, "get('http://above:8080/')").sync().await
}

/// A step that takes a moment and writes down that it ran, on the cache volume that a variable names.
#[bowline::main]
async fn once() -> Result<()> {
    let key = std::env::var("KEY").expect("KEY names a cache volume");
    let volume = CacheVolume::new(&key);
    let step = Container::from_image("busybox:1.35").env("NONCE", key).mount("/state", &volume);
    print!("{}", step.shell("echo ran >>/state/log; sleep 1; echo done").stdout().await?);
    Ok(())
}

/// What sets up a directory unless that has been begun before, as entry points of databases do, on the cache volume that a
/// variable names; setting up takes as many seconds as another one says.
#[bowline::main]
async fn initialise() -> Result<()> {
    let volume = CacheVolume::new(std::env::var("KEY").expect("KEY names a cache volume"));
    let takes = std::env::var("TAKES").expect("TAKES is a number of seconds");
    let database = database(&volume, &takes, None);
    print!("{}", client("db", &database, "get('http://db:8080/'); print('served')").stdout().await?);
    Ok(())
}

/// A database that the world knows, with its data on the cache volume that a variable names, and a client of it.
#[bowline::main]
async fn postgres() -> Result<()> {
    let volume = CacheVolume::new(std::env::var("KEY").expect("KEY names a cache volume"));
    let database = Service::from_image("postgres:15")
        .env("POSTGRES_PASSWORD", "word")
        .env("POSTGRES_DB", "app")
        .mount("/var/lib/postgresql/data", &volume)
        .expose(5432)
        .ready(Ready::exec(["pg_isready", "-h", "127.0.0.1", "-U", "postgres"]).within("3m"))
        .named("db");
    let ask = Container::from_image("postgres:15").env("PGPASSWORD", "word").env("NONCE", nonce());
    let ask = ask.bind("db", &database).exec([
        "psql",
        "-h",
        "db",
        "-U",
        "postgres",
        "-d",
        "app",
        "-tAc",
        "select 'served'",
    ]);
    print!("{}", ask.stdout().await?);
    Ok(())
}

/// Steps that build on each other, kept under what a variable says: however much of it is found, it comes to the same.
#[bowline::main]
async fn counted() -> Result<()> {
    let key = std::env::var("KEY").expect("KEY tells runs apart");
    let made = Container::from_image("busybox:1.35").env("NONCE", key);
    let made =
        made.shell("seq 20000 > /numbers; seq 3000").shell("sort -rn /numbers > /sorted; head -3 /sorted");
    let look = Container::from_image("busybox:1.35").mount_readonly("/in", made.file("/sorted"));
    let count = look.exec(["wc", "-l", "/in"]);
    let (head, count) = tokio::try_join!(made.stdout(), count.stdout())?;
    print!("{head}{count}");
    Ok(())
}

/// What is on the cache volume that a variable names.
#[bowline::main]
async fn left() -> Result<()> {
    let volume = CacheVolume::new(std::env::var("KEY").expect("KEY names a cache volume"));
    let look = Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/state", &volume);
    print!("{}", look.exec(["cat", "/state/log"]).stdout().await?);
    Ok(())
}

/// What the image that a variable names says when it is run as its own configuration has it.
#[bowline::main]
async fn serve_image() -> Result<()> {
    let image = std::env::var("IMAGE").expect("IMAGE names an image");
    let service = Service::from_image(image).expose(Port::tcp(1));
    match service.start().await {
        Err(Error::ServiceStart(error)) => print!("{}", error.log.join("\n") + "\n"),
        other => panic!("it was to end: {other:?}"),
    }
    Ok(())
}

/// Publishes a small image under the reference that a variable holds; prints its reference by digest.
#[bowline::main]
async fn publish() -> Result<()> {
    let to = std::env::var("IMAGE").expect("IMAGE is a reference");
    let made = Container::from_image("busybox:1.35").shell("echo made >/made");
    println!("{}", made.publish(to).await?);
    Ok(())
}

/// A step that has the cache volume that a variable names alone, for as many seconds as another one says; it fails if another
/// works there meanwhile. With `stop` it only takes what somebody may have left.
#[bowline::main]
async fn lock_cache() -> Result<()> {
    let volume = CacheVolume::new(std::env::var("KEY").expect("KEY names a cache volume")).locked();
    let takes = std::env::var("TAKES").expect("TAKES is a number of seconds");
    let script = match takes.as_str() {
        "stop" => "rmdir /cache/busy".to_owned(),
        seconds => {
            format!("mkdir /cache/busy || exit 9; echo it is locked; sleep {seconds}; rmdir /cache/busy")
        }
    };
    let busybox = Container::from_image("busybox:1.35").env("NONCE", nonce()).mount("/cache", &volume);
    busybox.shell(script).named("lock").sync().await
}

/// A service with the cache volume that a variable names, until standard input ends.
#[bowline::main]
async fn hold_cache() -> Result<()> {
    let volume = CacheVolume::new(std::env::var("KEY").expect("KEY names a cache volume"));
    let holder = Service::from_image("busybox:1.35").mount("/state", &volume);
    holder.run(["sleep", "600"]).named("holder").start().await?;
    println!("held");
    let mut nothing = String::new();
    std::io::stdin().read_line(&mut nothing).expect("it can be read");
    Ok(())
}

#[bowline::main]
async fn prune() -> Result<()> {
    println!("{}", bowline::prune(bowline::Prune::all()).await?);
    Ok(())
}

/// A redis that processes share, a client of it, and a step that runs against it before that, all told apart by a variable.
/// Does what the lines of standard input say: counts by a tunnel, or in a container, or after a migration.
#[bowline::main]
async fn share() -> Result<()> {
    let key = std::env::var("KEY").expect("KEY tells services apart");
    let redis = shared_redis(&key);
    let tunnel = redis.tunnel().await?;
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.expect("it can be read");
        let (what, name) = line.split_once(' ').unwrap_or((&line, ""));
        match what {
            "count" => println!("{}", redis_says(tunnel.address(), &format!("INCR {name}")).await?),
            "contained" => {
                let count =
                    redis_client(&redis).env("NONCE", nonce()).exec(["redis-cli", "-h", "db", "INCR", name]);
                print!("{}", count.stdout().await?);
            }
            "migrated" => {
                let migrate =
                    redis_client(&redis).shell(format!("sleep 1; redis-cli -h db INCR migrated-{key}"));
                let test = redis_client(&redis).after(&migrate).env("NONCE", name);
                print!(
                    "{}",
                    test.exec(["redis-cli", "-h", "db", "GET", &format!("migrated-{key}")]).stdout().await?
                );
            }
            other => panic!("cannot do: {other}"),
        }
    }
    Ok(())
}

fn redis_client(redis: &Service) -> Container {
    Container::from_image("redis:7").bind("db", redis)
}

/// Streams what a step writes whose command a variable holds, and prints how many bytes that were, how many milliseconds it
/// took, and the most memory that the process ever had, in KiB.
#[bowline::main]
async fn stream() -> Result<()> {
    let command = std::env::var("COMMAND").expect("COMMAND is a shell's");
    let step = Container::from_image("busybox:1.35").env("NONCE", std::env::var("NONCE").unwrap_or_default());
    let began = std::time::Instant::now();
    let mut reader = step.shell(command).stdout_reader().await?;
    let bytes = std::io::copy(&mut reader, &mut std::io::sink()).expect("it can be read");
    println!("{bytes} {} {}", began.elapsed().as_millis(), most_memory());
    Ok(())
}

/// In KiB.
fn most_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    most.trim().trim_end_matches(" kB").to_owned()
}

/// Reads the directory that a variable names, and prints its hash, how many files it has, how many milliseconds it took, and
/// the most memory that the process ever had, in KiB.
fn read_files() -> Result<()> {
    let path = std::env::var_os("DIRECTORY").expect("DIRECTORY is to be read");
    let plan = Container::from_image("busybox:1.35").mount("/src", host(path)).exec(["true"]).plan();
    let began = std::time::Instant::now();
    let plan = plan.with_files()?;
    let took = began.elapsed().as_millis();
    let found = plan.files.first().expect("there is a directory");
    println!("{} {} {took} {}", found.contents, found.files, most_memory());
    Ok(())
}

/// A chain of 20 steps that each leave 10 MB, of which half can be compressed; prints how many milliseconds it took until
/// the last file was read.
#[bowline::main]
async fn chain() -> Result<()> {
    let nonce = std::env::var("NONCE").unwrap_or_else(|_| nonce());
    let began = std::time::Instant::now();
    let mut chain = Container::from_image("busybox:1.35").env("NONCE", nonce);
    for number in 0..20 {
        chain = chain.shell(format!(
            "head -c 5000000 /dev/urandom >/{number}; head -c 5000000 /dev/zero >>/{number}; echo {number}"
        ));
    }
    let last = chain.file("/19").bytes().await?;
    println!("{} {}", last.len(), began.elapsed().as_millis());
    Ok(())
}

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("hostname") => {
            println!("{}", Service::from_image("redis:7").env("A", "1").expose(6379).hostname());
            Ok(())
        }
        Some("hold-cache") => hold_cache(),
        Some("lock-cache") => lock_cache(),
        Some("initialise") => initialise(),
        Some("chain") => chain(),
        Some("counted") => counted(),
        Some("leave") => leave(),
        Some("left") => left(),
        Some("never-ready") => never_ready(),
        Some("once") => once(),
        Some("owned") => owned(),
        Some("panics") => {
            panics();
            Ok(())
        }
        Some("plain") => plain(),
        Some("plain-for-long") => plain_for_long(),
        Some("ping") => ping(),
        Some("reach") => reach(),
        Some("remote") => remote(),
        Some("ulimits") => ulimits(),
        Some("postgres") => postgres(),
        Some("prune") => prune(),
        Some("publish") => publish(),
        Some("read-files") => read_files(),
        Some("run-image") => run_image(),
        Some("share") => share(),
        Some("serve-image") => serve_image(),
        Some("stream") => stream(),
        Some("ways-to-be-ready") => ways_to_be_ready(),
        other => panic!("no such pipeline: {other:?}"),
    }
}
