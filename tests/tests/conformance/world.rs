//! What containers reach outside of their session.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

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
         wget -T 5 -qO- http://{free}/ 2>/dev/null || echo nobody
         time -f %e wget -qO- http://name.invalid/ 2>&1 | tail -n 1"
    );
    let output =
        Container::from_image("busybox:1.35").env("NONCE", nonce()).shell(script).stdout().await.unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["3000000", "nobody"]);
    assert!(lines[2].parse::<f64>().is_ok_and(|seconds| seconds < 8.0), "{output}");
    assert_eq!(server.join().unwrap(), "GET / HTTP/1.1");
}
