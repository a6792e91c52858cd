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

/// Python, with sockets that know where to send to and give up after a while.
fn python(at: SocketAddr, program: &str) -> Container {
    let start = format!(
        "from socket import *\nat = ('{}', {})\ndef udp():\n  s = socket(AF_INET, SOCK_DGRAM)\n  s.settimeout(20)\n  return s\n",
        at.ip(),
        at.port()
    );
    Container::from_image("python:3.11").env("NONCE", nonce()).exec(["python3", "-c", &(start + program)])
}

#[bowline::test]
async fn a_datagram_reaches_the_world_and_its_answer_comes_back() {
    // All kinds of lengths, up to the largest; several at once (UDP_SEGMENT, udp(7)); from many ports; to where nobody is.
    let program = "
s = udp()
for length in [5, 0, 1472, 20000, 65507]:
  sent = bytes(i * i % 251 for i in range(length))
  s.sendto(sent, at)
  print(length, s.recvfrom(65536) == (sent, at))
s.setsockopt(IPPROTO_UDP, 103, 1000)
s.sendto(bytes(4500), at)
print([len(s.recv(65536)) for i in range(5)])
for i in range(200):
  s = udp()
  s.sendto(b'%d' % i, at)
  assert s.recvfrom(100) == (b'%d' % i, at)
print('many')
s = udp()
s.connect((at[0], NOBODY))
s.send(b'x')
try: s.recv(100)
except ConnectionRefusedError: print('nobody')
";
    let free = UdpSocket::bind((own_address(), 0)).unwrap().local_addr().unwrap();
    let program = program.replace("NOBODY", &free.port().to_string());
    let output = python(echo(1), &program).stdout().await.unwrap();
    assert_eq!(
        output,
        "5 True\n0 True\n1472 True\n20000 True\n65507 True\n[1000, 1000, 1000, 1000, 500]\nmany\nnobody\n"
    );
}

#[bowline::test]
async fn two_containers_that_send_from_the_same_port_each_hear_their_own() {
    let at = echo(2);
    let program = "
s = udp()
s.bind(('', 5555))
s.sendto(b'NAME', at)
print(s.recvfrom(100) == (b'NAME', at))
";
    let [one, two] = ["one", "two"].map(|name| python(at, &program.replace("NAME", name)));
    let (one, two) = tokio::join!(one.stdout(), two.stdout());
    assert_eq!((one.unwrap().as_str(), two.unwrap().as_str()), ("True\n", "True\n"));
}
