//! What containers reach outside of their session.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use bowline::Container;
use bowline_tests::nonce;

/// The address that this machine has in the network it is in.
fn own_address() -> std::net::IpAddr {
    // Sends nothing (RFC 5737: an address of documentation).
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").expect("this machine is in a network");
    socket.local_addr().unwrap().ip()
}

#[bowline::test]
async fn a_command_reaches_the_world() {
    let listener = TcpListener::bind((own_address(), 0)).unwrap();
    let at = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // All of it: to close a socket with something unread is to reset the connection.
        let mut request = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let first = request.next().unwrap();
        assert!(request.any(|line| line.is_empty()));
        // As large as no socket's buffer, so that it has to flow.
        let page = vec![b'x'; 3_000_000];
        write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", page.len()).unwrap();
        stream.write_all(&page).unwrap();
        first
    });
    let free = TcpListener::bind((own_address(), 0)).unwrap().local_addr().unwrap();
    // A name that is nowhere (RFC 6761) is known to be nowhere, and not waited for.
    let script = format!(
        "wget -qO- http://{at}/ | wc -c
         wget -qO- http://{free}/ 2>&1 | grep -c 'refused\\|reset'
         time -f %e wget -qO- http://name.invalid/ 2>&1 | tail -n 1"
    );
    let output =
        Container::from_image("busybox:1.35").env("NONCE", nonce()).shell(script).stdout().await.unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["3000000", "1"], "nobody is there");
    assert!(lines[2].parse::<f64>().is_ok_and(|seconds| seconds < 8.0), "{output}");
    assert_eq!(server.join().unwrap(), "GET / HTTP/1.1");
}

/// Sends back every datagram, once it has heard from so many.
fn echo(senders: usize) -> SocketAddr {
    let socket = UdpSocket::bind((own_address(), 0)).unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        let mut space = vec![0; 64 << 10];
        loop {
            let (length, from) = socket.recv_from(&mut space).unwrap();
            heard.push((from, space[..length].to_vec()));
            if heard.len() >= senders {
                heard.drain(..).for_each(|(to, datagram)| assert!(socket.send_to(&datagram, to).is_ok()));
            }
        }
    });
    at
}

/// What sends datagrams there, of this kind.
fn sends(at: SocketAddr, kind: &str, given: &str) -> Container {
    let program = include_str!("../../src/programs/datagrams.py");
    let (address, port) = (at.ip().to_string(), at.port().to_string());
    let python = Container::from_image("python:3.11").env("NONCE", nonce());
    python.exec(["python3", "-c", program, &address, &port, kind, given])
}

#[bowline::test]
async fn a_datagram_reaches_the_world_and_its_answer_comes_back() {
    let free = UdpSocket::bind((own_address(), 0)).unwrap().local_addr().unwrap();
    let output = sends(echo(1), "all", &free.port().to_string()).stdout().await.unwrap();
    assert_eq!(
        output,
        "5 True\n0 True\n1472 True\n20000 True\n65507 True\n[1000, 1000, 1000, 1000, 500]\nmany\nnobody\n"
    );
}

#[bowline::test]
async fn two_containers_that_send_from_the_same_port_each_hear_their_own() {
    let at = echo(2);
    let [one, two] = ["one", "two"].map(|name| sends(at, "same", name));
    let (one, two) = tokio::join!(one.stdout(), two.stdout());
    assert_eq!((one.unwrap().as_str(), two.unwrap().as_str()), ("True\n", "True\n"));
}
