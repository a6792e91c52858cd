//! Connections to the pipeline.

use super::*;

#[tokio::test]
async fn what_arrives_is_known_by_its_port() {
    let ports = [tcp(unused().await), udp(unused().await), tcp(unused().await)];
    let mut program = Program::listen(&ports).await.unwrap();
    let files = program.files();
    // Both families are served.
    for ip in ["127.0.0.1", "::1"] {
        let ip: IpAddr = ip.parse().unwrap();
        for port in [2, 0] {
            let Ok(mut client) = TcpStream::connect((ip, ports[port].number)).await else {
                assert!(ip.is_ipv6(), "no connection to {ip}");
                continue;
            };
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut server = program.accept(port).await;
            assert_eq!(read(&mut server).await.unwrap(), b"question");
            server.write_all(b"answer").await.unwrap();
            server.shutdown().await.unwrap();
            assert_eq!(read(&mut client).await.unwrap(), b"answer");
        }
    }
    program.idle(files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn much_is_carried_both_ways() {
    let port = tcp(unused().await);
    let mut program = Program::listen(&[port]).await.unwrap();
    let sent = contents(5 << 20);
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).await.unwrap();
    let mut server = program.accept(0).await;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = tokio::io::split(&mut server);
    let send_up = async {
        to_client.write_all(&sent).await.unwrap();
        to_client.shutdown().await.unwrap();
    };
    let send_down = async {
        to_server.write_all(&sent).await.unwrap();
        to_server.shutdown().await.unwrap();
    };
    let (up, down, (), ()) = tokio::join!(read(&mut from_server), read(&mut from_client), send_up, send_down);
    assert!(up.unwrap() == sent && down.unwrap() == sent);
}

#[tokio::test]
async fn resets_pass_through() {
    let port = tcp(unused().await);
    let mut program = Program::listen(&[port]).await.unwrap();
    let files = program.files();
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).await.unwrap();
    let mut server = program.accept(0).await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(read(&mut server).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    drop(server);

    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).await.unwrap();
    drop(program.accept(0).await);
    assert_eq!(read(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    program.idle(files).await;

    // Nobody takes what arrives any more.
    program.ports.clear();
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).await.unwrap();
    assert_eq!(read(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    program.idle(files).await;
}

#[tokio::test]
async fn one_client_is_one_flow() {
    let port = udp(unused().await);
    let mut program = Program::listen(&[port]).await.unwrap();
    let clients = [UdpSocket::bind(ANY).await.unwrap(), UdpSocket::bind(ANY).await.unwrap()];
    let mut flows = Vec::new();
    for client in &clients {
        client.connect((Ipv4Addr::LOCALHOST, port.number)).await.unwrap();
        client.send(b"first").await.unwrap();
        flows.push(program.take(0).await);
    }
    let mut space = vec![0; 65536];
    for length in [0, 1, 65507] {
        for (client, flow) in clients.iter().zip(&mut flows) {
            if length == 0 {
                assert_eq!(timeout(AT_MOST, flow.receiver.recv()).await.unwrap().unwrap(), b"first");
            }
            let sent = contents(length);
            client.send(&sent).await.unwrap();
            assert!(timeout(AT_MOST, flow.receiver.recv()).await.unwrap().unwrap() == sent);
            flow.sender.send(sent.clone()).await.unwrap();
            let came = timeout(AT_MOST, client.recv(&mut space)).await.unwrap().unwrap();
            assert!(space[..came] == sent);
        }
    }
    // A flow that was given up begins again with the next datagram.
    flows.clear();
    while program.link.carried() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    clients[0].send(b"again").await.unwrap();
    let mut flow = program.take(0).await;
    assert_eq!(timeout(AT_MOST, flow.receiver.recv()).await.unwrap().unwrap(), b"again");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let (_listener, address) = server().await;
    let refused = Program::listen(&[tcp(unused().await), tcp(address.port())]).await.err().unwrap();
    assert_eq!((refused.port, refused.error.kind()), (1, ErrorKind::AddrInUse));
}

/// More clients than there are channels: each is served or reset, and none waits for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_is_reset() {
    let port = tcp(unused().await);
    let mut program = Program::listen(&[port]).await.unwrap();
    let files = program.files();
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..frame::MOST {
        clients.push(TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).await.unwrap());
        servers.push(program.accept(0).await);
    }
    let refused = match TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).await {
        Ok(mut client) => read(&mut client).await.unwrap_err(),
        Err(at_once) => at_once,
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
    drop((clients, servers));
    program.idle(files).await;
    let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).await.unwrap();
    drop(program.accept(0).await);
}
