//! What a tunnel costs beside a connection to the service's own address.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use bowline::{Service, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Result, Run, say, this_run};

const MEBIBYTES: u16 = 2048;
const ROUND_TRIPS: usize = 10_000;
const CONNECTIONS: usize = 1_000;
const AT_ONCE: usize = 100;
/// What each of many connections gets, in MiB.
const EACH: u16 = 20;

/// How the server is reached.
#[derive(Clone, Copy)]
pub(crate) enum Path {
    Direct,
    Tunnel,
}

fn server(run: &Run) -> Service {
    Service::from_image("python:3.11")
        .with_file("/server.py", include_str!("server.py"))
        .env("RUN", &run.id)
        .run(["python3", "-u", "/server.py"])
        .expose(9000u16)
        .expose(9001u16)
        .named(format!("{}-server", run.id))
}

/// Connections to one of the server's ports.
#[derive(Clone)]
struct To {
    at: SocketAddr,
    /// The network that the address is in, if it is not the machine's own.
    network: Option<PathBuf>,
}

impl To {
    async fn connect(&self) -> Result<TcpStream> {
        let stream = match &self.network {
            None => TcpStream::connect(self.at).await?,
            Some(network) => {
                let (network, at) = (network.clone(), self.at);
                let stream = tokio::task::spawn_blocking(move || {
                    // A thread of its own, which leaves the machine's network for good.
                    std::thread::spawn(move || -> Result<std::net::TcpStream> {
                        let network = std::fs::File::open(network)?;
                        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), kind)?;
                        Ok(std::net::TcpStream::connect(at)?)
                    })
                    .join()
                    .unwrap_or_else(|_| Err("a thread panicked".into()))
                });
                let stream = stream.await??;
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn get(&self, mebibytes: u16) -> Result<()> {
        let mut stream = self.connect().await?;
        stream.write_all(&mebibytes.to_le_bytes()).await?;
        let mut space = vec![0; 256 << 10];
        let mut left = usize::from(mebibytes) << 20;
        while left > 0 {
            match stream.read(&mut space).await? {
                0 => return Err(format!("{left} bytes are missing").into()),
                length => left -= length,
            }
        }
        Ok(())
    }
}

/// The network of the process that made the server's container: the services' bridge is there.
fn network_of(run: &Run) -> Result<PathBuf> {
    let mark = format!("RUN={}\0", run.id);
    for entry in std::fs::read_dir("/proc")?.filter_map(std::result::Result::ok) {
        let process = entry.path();
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
        if command.ends_with(b"/server.py\0")
            && environment.windows(mark.len()).any(|text| text == mark.as_bytes())
        {
            let mut namespace = std::fs::read_link(process.join("ns/net"))?;
            let own = namespace.clone();
            let mut at = process;
            // Up to the first process in another network.
            while namespace == own {
                let status = std::fs::read_to_string(at.join("status"))?;
                let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or("0").trim();
                at = PathBuf::from("/proc").join(parent);
                namespace = std::fs::read_link(at.join("ns/net"))?;
            }
            return Ok(at.join("ns/net"));
        }
    }
    Err("the server's process was not found".into())
}

async fn with<F: Future<Output = Result<()>>>(
    path: Path,
    port: u16,
    work: impl FnOnce(To) -> F,
) -> Result<()> {
    say(&format!("owns {}", Session::current().id()));
    let run = this_run();
    let server = server(&run);
    let tunnel = server.tunnel().await?;
    let to = match path {
        Path::Tunnel => To { at: tunnel.address_of_port(port)?, network: None },
        Path::Direct => {
            let ip: IpAddr = server.address().await?;
            let is_native = std::env::var("BOWLINE_ENGINE").is_ok_and(|engine| engine == "native");
            let network = if is_native { Some(network_of(&run)?) } else { None };
            To { at: (ip, port).into(), network }
        }
    };
    // The first connection may meet what is made once.
    drop(to.connect().await?);
    say("begin");
    work(to).await?;
    say("result kept");
    Ok(())
}

macro_rules! ways {
    ($($direct:ident $tunnel:ident = $port:literal, $work:expr;)*) => { $(
        pub(crate) fn $direct(_: &Run) -> Result<()> {
            #[bowline::main]
            async fn main() -> Result<()> {
                with(Path::Direct, $port, $work).await
            }
            main()
        }

        pub(crate) fn $tunnel(_: &Run) -> Result<()> {
            #[bowline::main]
            async fn main() -> Result<()> {
                with(Path::Tunnel, $port, $work).await
            }
            main()
        }
    )* };
}

ways! {
    bulk_direct bulk_tunnel = 9000, async |to: To| to.get(MEBIBYTES).await;
    trips_direct trips_tunnel = 9001, async |to: To| {
        let mut stream = to.connect().await?;
        let mut byte = [0];
        for _ in 0..ROUND_TRIPS {
            stream.write_all(b"x").await?;
            stream.read_exact(&mut byte).await?;
        }
        Ok(())
    };
    connects_direct connects_tunnel = 9001, async |to: To| {
        let mut byte = [0];
        for _ in 0..CONNECTIONS {
            let mut stream = to.connect().await?;
            stream.write_all(b"x").await?;
            stream.read_exact(&mut byte).await?;
        }
        Ok(())
    };
    many_direct many_tunnel = 9000, async |to: To| {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let to = to.clone();
            all.spawn(async move { to.get(EACH).await });
        }
        while let Some(done) = all.join_next().await {
            done??;
        }
        Ok(())
    };
}
