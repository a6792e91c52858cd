//! TCP connections of containers to the world, forwarded over connections of the pipeline's own.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bounds::{Opening, Openings};
use super::reach::Reach;

/// Connect timeout: as long as the kernel itself tries (`tcp_syn_retries`).
const CONNECTED: Duration = Duration::from_secs(127);
/// After a container has ended, how long the rest of what it sent may take to be delivered.
const FLUSHED: Duration = Duration::from_secs(10);
/// Idle time before keep-alive probes, so that dead connections do not stay.
const SILENT: Duration = Duration::from_secs(2 * 60);
/// Pause before the next accept after the machine ran out of files, as some will be closed.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Accepts connections of containers, within the limits.
pub(super) async fn accept<F>(
    listener: TcpListener,
    openings: Arc<Openings>,
    serve: impl Fn(TcpStream, Opening) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((inside, SocketAddr::V4(from))) = listener.accept().await else {
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        };
        match openings.open(*from.ip()) {
            Some(opening) => drop(open.spawn(serve(inside, opening))),
            None => refuse(&inside),
        }
    }
}

/// Resets a connection, which had to be accepted to be known.
fn refuse(inside: &TcpStream) {
    let _ = inside.set_zero_linger();
}

/// Forwards a connection to its original destination. If connecting fails, the container's connection is reset.
pub(super) async fn forward(inside: TcpStream, reach: Arc<Reach>, opening: Opening) {
    let outside = match original(&inside).filter(|to| reach.leads_to(*to.ip())) {
        Some(to) => timeout(CONNECTED, TcpStream::connect(to)).await,
        None => return refuse(&inside),
    };
    match outside {
        Ok(Ok(outside)) => carry(inside, outside, opening, FLUSHED).await,
        _ => refuse(&inside),
    }
}

/// Copies until both sides have closed, or until `flushed` after the container's end.
async fn carry(mut inside: TcpStream, mut outside: TcpStream, opening: Opening, flushed: Duration) {
    let _ = (inside.set_nodelay(true), outside.set_nodelay(true));
    let _ = sockopt::set_socket_keepalive(&outside, true);
    let _ = sockopt::set_tcp_keepidle(&outside, SILENT);
    let copied = {
        let mut both_ways = std::pin::pin!(copy_bidirectional(&mut inside, &mut outside));
        tokio::select! {
            copied = &mut both_ways => copied,
            () = opening.ended() => timeout(flushed, both_ways).await.unwrap_or_else(|late| Err(late.into())),
        }
    };
    if copied.is_err() {
        let _ = (inside.set_zero_linger(), outside.set_zero_linger());
    }
}

/// The original destination of a redirected connection.
#[allow(unsafe_code)]
fn original(stream: &TcpStream) -> Option<SocketAddrV4> {
    let mut found = libc::sockaddr_in {
        sin_family: 0,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: 0 },
        sin_zero: [0; 8],
    };
    let mut length = u32::try_from(size_of_val(&found)).ok()?;
    // SAFETY: both pointers are to memory that outlives the call, and the length is that of the structure.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_IP,
            libc::SO_ORIGINAL_DST,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    let address = Ipv4Addr::from(u32::from_be(found.sin_addr.s_addr));
    (failed == 0).then(|| SocketAddrV4::new(address, u16::from_be(found.sin_port)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::bounds::Most;
    use super::*;

    /// Even if the peer never closes the connection; and nothing that was sent before is lost.
    #[tokio::test]
    async fn a_connection_ends_with_its_container() -> io::Result<()> {
        const CONTAINER: Ipv4Addr = Ipv4Addr::new(10, 204, 0, 2);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let pair = async || {
            let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
            io::Result::Ok((one?, other?.0))
        };
        let ((mut container, inside), (outside, mut world)) = (pair().await?, pair().await?);
        let openings = Openings::new("connections", Most { all: 9, one: 2 });
        let opening = openings.open(CONTAINER).unwrap();
        let carried = tokio::spawn(carry(inside, outside, opening, Duration::from_millis(50)));
        container.write_all(b"last words").await?;
        let mut space = [0; 10];
        world.read_exact(&mut space).await?;
        assert_eq!(&space, b"last words");
        openings.end(CONTAINER);
        drop(container);
        carried.await?;
        assert_eq!(world.read(&mut space).await.unwrap_or(0), 0);
        Ok(())
    }

    /// Open connections go on, and a new one is accepted when one has ended.
    #[tokio::test]
    async fn more_connections_than_may_be_are_refused() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let openings = Openings::new("connections", Most { all: 9, one: 2 });
        let echo = |mut stream: TcpStream, opening: Opening| async move {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            drop(opening);
        };
        let accepts = tokio::spawn(accept(listener, openings, echo));
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(at).await?;
            stream.write_all(b"x").await?;
            assert_eq!(stream.read_u8().await?, b'x');
            open.push(stream);
        }
        let mut more = TcpStream::connect(at).await?;
        assert!(more.read_u8().await.is_err());
        open[0].write_all(b"y").await?;
        assert_eq!(open[0].read_u8().await?, b'y');
        open[0].shutdown().await?;
        assert!(open[0].read_u8().await.is_err());
        // The server's end may close a moment later than the client's.
        let again = async {
            loop {
                let mut stream = TcpStream::connect(at).await?;
                if stream.write_all(b"z").await.is_ok() && stream.read_u8().await.is_ok() {
                    return io::Result::Ok(());
                }
            }
        };
        timeout(Duration::from_secs(20), again).await??;
        accepts.abort();
        Ok(())
    }
}
