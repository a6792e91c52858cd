//! Connections to services.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_comes_back_and_ends_pass_through() {
    let program = Program::dial().await;
    let files = program.files();
    let echo = echo().await;
    let sent = contents(9 << 20);
    for length in [0, 1, frame::LONGEST, frame::WINDOW + 1, sent.len()] {
        let mut stream = program.connect(echo).await.unwrap();
        let (mut from, mut to) = tokio::io::split(&mut stream);
        let write = async {
            to.write_all(&sent[..length]).await.unwrap();
            to.shutdown().await.unwrap();
        };
        let ((), came) = tokio::join!(write, read(&mut from));
        assert!(came.unwrap() == sent[..length], "{length} bytes");
        assert_eq!(to.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
    program.idle(files).await;
}

#[tokio::test]
async fn a_half_that_has_ended_leaves_the_other_open() {
    let program = Program::dial().await;
    let (listener, address) = server().await;
    let (client, server) = tokio::join!(program.connect(address), listener.accept());
    let (mut client, (mut server, _)) = (client.unwrap(), server.unwrap());

    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"question");
    tokio::time::sleep(A_WHILE).await;
    server.write_all(b"answer").await.unwrap();
    let mut came = [0; 6];
    timeout(AT_MOST, client.read_exact(&mut came)).await.unwrap().unwrap();
    assert_eq!(&came, b"answer");

    // The other way round.
    let (client, server_too) = tokio::join!(program.connect(address), listener.accept());
    let (mut client, (mut server_too, _)) = (client.unwrap(), server_too.unwrap());
    server_too.shutdown().await.unwrap();
    assert_eq!(read(&mut client).await.unwrap(), b"");
    client.write_all(b"still").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut server_too).await.unwrap(), b"still");
}

#[tokio::test]
async fn errors_are_those_of_the_network() {
    let program = Program::dial().await;
    let files = program.files();
    let refused = program.connect((Ipv4Addr::LOCALHOST, unused().await).into()).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // No machine has this address, and no route leads there.
    let nowhere = program.connect("[100::1]:9".parse().unwrap()).await.err().unwrap();
    assert!(
        matches!(nowhere.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable),
        "{nowhere}"
    );

    let (listener, address) = server().await;
    let (client, server) = tokio::join!(program.connect(address), listener.accept());
    let (mut client, (mut server, _)) = (client.unwrap(), server.unwrap());
    server.write_all(b"before").await.unwrap();
    // Otherwise the reset may overtake what was sent before.
    tokio::time::sleep(A_WHILE).await;
    server.set_zero_linger().unwrap();
    drop(server);
    let mut came = [0; 6];
    timeout(AT_MOST, client.read_exact(&mut came)).await.unwrap().unwrap();
    assert_eq!(read(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    drop(client);

    // A connection that is dropped is reset.
    let (client, server) = tokio::join!(program.connect(address), listener.accept());
    let (client, (mut server, _)) = (client.unwrap(), server.unwrap());
    drop(client);
    assert_eq!(read(&mut server).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    program.idle(files).await;
}

/// A server that resets the connection while the client writes, and reads nothing: the client learns of it.
#[tokio::test]
async fn a_writer_learns_of_a_reset() {
    let program = Program::dial().await;
    let (listener, address) = server().await;
    let (client, server) = tokio::join!(program.connect(address), listener.accept());
    let (mut client, (server, _)) = (client.unwrap(), server.unwrap());
    server.set_zero_linger().unwrap();
    drop(server);
    let write = async {
        loop {
            if let Err(error) = client.write_all(&[1; 4096]).await {
                return error;
            }
        }
    };
    assert_eq!(timeout(AT_MOST, write).await.unwrap().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_stops_nobody_else() {
    let program = Program::dial().await;
    let (listener, address) = server().await;
    let mut idle = Vec::new();
    let mut written = Vec::new();
    for _ in 0..4 {
        let (client, server) = tokio::join!(program.connect(address), listener.accept());
        let (mut client, (mut server, _)) = (client.unwrap(), server.unwrap());
        // Each side writes as much as it can, and neither reads.
        let piece = vec![7; 64 << 10];
        let mut sent = 0;
        while let Ok(Ok(length)) = timeout(A_WHILE, server.write(&piece)).await {
            sent += length;
        }
        while let Ok(Ok(length)) = timeout(A_WHILE, client.write(&piece)).await {
            sent += length;
        }
        written.push(sent);
        idle.push((client, server));
    }
    // Two windows, and what the kernel has room for.
    assert!(written.iter().all(|sent| (2 * frame::WINDOW..40 << 20).contains(sent)), "{written:?}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id().unwrap())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: usize = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 4 * frame::WINDOW / 1024 + 2048, "{kilobytes} kB");

    let echo = echo().await;
    let mut stream = program.connect(echo).await.unwrap();
    for round in 0..100_u8 {
        stream.write_all(&[round; 1000]).await.unwrap();
        let mut came = [0; 1000];
        timeout(AT_MOST, stream.read_exact(&mut came)).await.unwrap().unwrap();
        assert_eq!(came, [round; 1000]);
    }
    // They go on where they stopped.
    let (mut client, mut server) = idle.pop().unwrap();
    client.shutdown().await.unwrap();
    assert!(read(&mut server).await.unwrap().len() >= frame::WINDOW);
    let mut came = vec![0; 2 * frame::WINDOW];
    timeout(AT_MOST, client.read_exact(&mut came)).await.unwrap().unwrap();
}

/// Many who send, and as many who receive, as fast as they can: each gets its share.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_left_out() {
    const EACH: usize = 12;
    let program = Program::dial().await;
    let (listener, address) = server().await;
    let passed: Arc<[AtomicUsize; 2 * EACH]> = Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..2 * EACH {
        let (client, server) = tokio::join!(program.connect(address), listener.accept());
        let (mut client, (mut server, _)) = (client.unwrap(), server.unwrap());
        let passed = passed.clone();
        tasks.spawn(async move {
            let mut space = vec![0; 1 << 16];
            let write = async |to: &mut (dyn tokio::io::AsyncWrite + Unpin + Send)| {
                while to.write_all(&vec![1; 1 << 16]).await.is_ok() {}
            };
            let mut count = async |from: &mut (dyn tokio::io::AsyncRead + Unpin + Send)| {
                while let Ok(length @ 1..) = from.read(&mut space).await {
                    passed[number].fetch_add(length, Ordering::Relaxed);
                }
            };
            if number < EACH {
                tokio::join!(write(&mut client), count(&mut server));
            } else {
                tokio::join!(write(&mut server), count(&mut client));
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let passed: Vec<_> = passed.iter().map(|passed| passed.load(Ordering::Relaxed)).collect();
    for way in passed.chunks(EACH) {
        let (least, most) = (way.iter().min().unwrap(), way.iter().max().unwrap());
        assert!(least * 4 > *most, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_at_once() {
    let program = Arc::new(Program::dial().await);
    let files = program.files();
    let echo = echo().await;
    let tasks: Vec<_> = (0..300_u16)
        .map(|number| {
            let program = program.clone();
            tokio::spawn(async move {
                let mut stream = program.connect(echo).await.unwrap();
                for round in 0..20_u16 {
                    let sent = contents(usize::from(number * 7 % 300 + round));
                    stream.write_all(&sent).await.unwrap();
                    let mut came = vec![0; sent.len()];
                    timeout(AT_MOST, stream.read_exact(&mut came)).await.unwrap().unwrap();
                    assert_eq!(came, sent);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    program.idle(files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_is_told_and_there_is_room_again() {
    let program = Program::dial().await;
    let files = program.files();
    let echo = echo().await;
    let mut open = Vec::new();
    for _ in 0..frame::MOST {
        open.push(program.connect(echo).await.unwrap());
    }
    let refused = program.connect(echo).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
    assert!(refused.to_string().starts_with("1024 connections to services are open"), "{refused}");
    open.clear();
    program.idle(files).await;
    let mut stream = program.connect(echo).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), b"");
}

#[tokio::test]
async fn a_thousand_one_after_another_leave_nothing() {
    let program = Program::dial().await;
    let files = program.files();
    let echo = echo().await;
    for round in 0..1000 {
        let mut stream = program.connect(echo).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        // Every other one is reset.
        if round % 2 == 0 {
            stream.shutdown().await.unwrap();
            assert_eq!(read(&mut stream).await.unwrap(), b"x");
        }
    }
    program.idle(files).await;
}

/// Dropped before it is known whether they come about.
#[tokio::test]
async fn attempts_that_are_given_up_leave_nothing() {
    let program = Program::dial().await;
    let files = program.files();
    let echo = echo().await;
    for _ in 0..100 {
        drop(program.link.open(Protocol::Tcp, echo).ok().unwrap());
    }
    program.idle(files).await;
    assert!(program.connect(echo).await.is_ok());
}

#[tokio::test]
async fn datagrams_keep_their_boundaries() {
    let program = Program::dial().await;
    let files = program.files();
    let server = UdpSocket::bind(ANY).await.unwrap();
    let address = server.local_addr().unwrap();
    let mut flows = [program.flow(address).await, program.flow(address).await];
    let mut space = vec![0; 65536];
    let mut peers = Vec::new();
    for length in [0, 1, 1400, 65507] {
        let sent = contents(length);
        for (number, flow) in flows.iter_mut().enumerate() {
            flow.sender.send(sent.clone()).await.unwrap();
            let (came, peer) = timeout(AT_MOST, server.recv_from(&mut space)).await.unwrap().unwrap();
            assert!(space[..came] == sent, "{length} bytes");
            if length == 0 {
                peers.push(peer);
            }
            assert_eq!(peer, peers[number]);
            server.send_to(&sent, peer).await.unwrap();
            assert!(timeout(AT_MOST, flow.receiver.recv()).await.unwrap().unwrap() == sent, "{length} bytes");
        }
    }
    assert_ne!(peers[0], peers[1]);
    drop(flows);
    program.idle(files).await;
}

/// Nobody reads; then the last ones are still there, and everything goes on.
#[tokio::test(flavor = "multi_thread")]
async fn datagrams_without_room_are_dropped() {
    let program = Program::dial().await;
    let server = UdpSocket::bind(ANY).await.unwrap();
    let address = server.local_addr().unwrap();
    let mut flow = program.flow(address).await;
    flow.sender.send(b"here".to_vec()).await.unwrap();
    let mut space = [0; 100];
    let (_, peer) = timeout(AT_MOST, server.recv_from(&mut space)).await.unwrap().unwrap();
    for number in 0..2000_u32 {
        let mut datagram = vec![0; 1000];
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        server.send_to(&datagram, peer).await.unwrap();
    }
    let echo = echo().await;
    let mut stream = program.connect(echo).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), b"x");
    let mut came = 0;
    while let Ok(datagram) = timeout(A_WHILE, flow.receiver.recv()).await {
        assert_eq!(datagram.unwrap().len(), 1000);
        came += 1;
    }
    assert!((50..2000).contains(&came), "{came} of 2000");
    // A service that is started again gets what is sent later.
    drop(server);
    flow.sender.send(b"lost".to_vec()).await.unwrap();
    flow.sender.send(b"lost too".to_vec()).await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    let server = UdpSocket::bind(address).await.unwrap();
    flow.sender.send(b"found".to_vec()).await.unwrap();
    let (length, _) = timeout(AT_MOST, server.recv_from(&mut space)).await.unwrap().unwrap();
    assert_eq!(&space[..length], b"found");
}
