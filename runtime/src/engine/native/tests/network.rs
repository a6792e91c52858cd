//! Network attacks of one container on another, which must fail.

use super::super::netns::Netns;
use super::*;
use crate::lock::lock;

/// A service that runs an attack at every connection, and answers when it is done. `mac`, `ip` and `send` are available.
fn hostile(base: &Snapshot, does: &str) -> crate::engine::ServiceSpec {
    let program = format!(
        "import struct
from socket import *
link = socket(AF_PACKET, SOCK_RAW, htons(3))
link.bind(('eth0', 0))
def mac(address): return b'\\x02\\x42' + inet_aton(address)
def send(to, kind, data, sender=None): link.send(to + (sender or own_mac) + struct.pack('!H', kind) + data)
own_mac = link.getsockname()[4]
own = gethostbyname(gethostname())
server = create_server(('', 80))
while True:
  client, (peer, _) = server.accept()
  other = client.recv(99).decode().strip()
  if not other: continue  # somebody looks whether the port is open
{does}
  client.sendall(b'done')
  client.close()"
    );
    service(base, HOST, &["python3", "-c", &program])
}

/// Runs a Python step that is bound to the attacker as `evil`, and to another service as `other`; `call` starts the
/// attack.
async fn beside(engine: &Arc<Native>, hostile: crate::engine::ServiceSpec, looks: &str) -> String {
    const OTHER: &str = "other-service";
    let base = image(&**engine, "python:3.11").await.snapshot;
    let page = "echo page > /index.html; exec httpd -f -p 80 -h /";
    let small = busybox(engine).await;
    let other = engine.start(service(&small, OTHER, &["sh", "-c", page]), nothing()).await.unwrap();
    let evil = engine.start(hostile, nothing()).await.unwrap();
    for service in [&other, &evil] {
        service.wait_ports(&[Port::tcp(80)], &ProbeProgress::default()).await.unwrap();
    }
    let program = format!(
        "from socket import *
import urllib.request
def fetch(): return urllib.request.urlopen('http://other/', timeout=5).read().decode().strip()
def call():
  s = create_connection(('evil', 80), timeout=20)
  s.sendall(gethostbyname('other').encode() + b'\\n')
  assert s.recv(9) == b'done'
{looks}"
    );
    let mut looks = step(&base, &["python3", "-c", &program]);
    looks.links = vec![link(HOST, "evil"), link(OTHER, "other")];
    let (_, output) = run(&**engine, looks).await;
    assert_eq!(output.exit_code, 0, "{}", text(&output.stderr));
    evil.remove().await.unwrap();
    other.remove().await.unwrap();
    text(&output.stdout)
}

/// Nobody can pose as a router: IPv6, which has no protection against that, is off.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_gives_no_other_an_address_or_a_way() {
    let engine = engine!();
    let base = image(&*engine, "python:3.11").await.snapshot;
    // A router advertisement with a prefix (RFC 4861, 4.2 and 4.6.2), to all nodes, from a link-local address.
    let does = "  prefix = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 86400, 86400, 0) + inet_pton(AF_INET6, '2001:db8::')
  says = struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
  src, dst = inet_pton(AF_INET6, 'fe80::1'), inet_pton(AF_INET6, 'ff02::1')
  data = src + dst + struct.pack('!II', len(says), 58) + says
  total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
  while total > 0xffff: total = (total & 0xffff) + (total >> 16)
  says = says[:2] + struct.pack('!H', ~total & 0xffff) + says[4:]
  packet = struct.pack('!IHBB', 6 << 28, len(says), 58, 255) + src + dst + says
  send(b'\\x33\\x33\\0\\0\\0\\1', 0x86dd, packet)";
    let looks = "call()
for name in ['if_inet6', 'ipv6_route']:
  try: lines = open('/proc/net/' + name).read().splitlines()
  except FileNotFoundError: lines = []
  print([line for line in lines if not line.endswith(' lo')])";
    assert_eq!(beside(&engine, hostile(&base, does), looks).await, "[]\n[]\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_speaks_as_nobody_else() {
    let engine = engine!();
    let base = image(&*engine, "python:3.11").await.snapshot;
    // It tells the victim that it is the bridge, and that it is the other service; in frames with its own address and with
    // theirs, and in messages to the bridge itself, which might learn from them; then it sends datagrams in their names.
    let does = "  hub = '10.205.0.1'
  victim = mac(peer)
  for claimed in [hub, other]:
    for sender in [own_mac, mac(claimed)]:
      for to in [victim, b'\\xff' * 6]:
        for op in [1, 2]:
          says = struct.pack('!HHBBH', 1, 0x800, 6, 4, op)
          send(to, 0x806, says + own_mac + inet_aton(claimed) + victim + inet_aton(peer), sender)
          send(to, 0x806, says + own_mac + inet_aton(claimed) + victim + inet_aton(claimed), sender)
    for group in [0, 1, 2, 3, 14]:
      send(b'\\x01\\x80\\xc2\\0\\0' + bytes([group]), 0x88cc, bytes(50), mac(claimed))
    for tag in [b'', b'\\x81\\0\\0\\0']:
      udp = struct.pack('!HHHH', 53, 5353, 12, 0) + b'evil'
      ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + inet_aton(claimed) + inet_aton(peer)
      total = sum(struct.unpack('!10H', ip))
      while total > 0xffff: total = (total & 0xffff) + (total >> 16)
      ip = ip[:10] + struct.pack('!H', ~total & 0xffff) + ip[12:]
      for sender in [own_mac, mac(claimed)]:
        link.send(victim + sender + tag + b'\\x08\\0' + ip + udp)
  udp = socket(AF_INET, SOCK_DGRAM)
  udp.sendto(b'own', (peer, 5353))";
    let looks = "heard = socket(AF_INET, SOCK_DGRAM)
heard.bind(('', 5353))
try: gethostbyname('name.invalid')
except OSError: pass
print(fetch())
call()
print(heard.recv(9))
print(fetch())
known = [line.split() for line in open('/proc/net/arp').read().splitlines()[1:]]
for address in ['10.205.0.1', gethostbyname('other')]:
  true = ':'.join('%02x' % b for b in b'\\x02\\x42' + inet_aton(address))
  print([entry[3] == true for entry in known if entry[0] == address])";
    let wanted = "page\nb'own'\npage\n[True]\n[True]\n";
    assert_eq!(beside(&engine, hostile(&base, does), looks).await, wanted);
    engine.close().await.unwrap();
}

/// Runs commands of the machine in the network namespace of a container.
fn inside(netns: &Netns, commands: &[&str]) {
    let namespace = netns.namespace.try_clone().unwrap();
    let commands: Vec<String> = commands.iter().map(|&command| command.to_owned()).collect();
    std::thread::spawn(move || {
        let kind = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind)).unwrap();
        for command in commands {
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        }
    })
    .join()
    .unwrap();
}

/// A step never sees what another step changed in a network namespace.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_not_as_new_is_not_used_again() {
    let engine = engine!();
    engine.shared.ready().await.unwrap();
    let listens = "python3 -c \"from socket import *
s = create_server(('127.0.0.1', 8080))
c = create_connection(('127.0.0.1', 8080))
s.accept()[0].close()
c.recv(1)\"";
    for (changes, is_as_new) in [
        (&["true"][..], true),
        (&["ip address add 10.205.0.9/16 dev eth0"], false),
        (&["ip route add 10.99.0.0/16 via 10.204.0.1"], false),
        (&["ip route del default"], false),
        (&["ip route add 10.99.0.0/16 dev eth0 table 7"], false),
        (&["ip rule add fwmark 7 table 7"], false),
        (&["ip link add other type bridge"], false),
        (&["ip link set eth0 address 02:00:00:00:00:01"], false),
        (&["ip link set eth0 mtu 1400"], false),
        (&["ip neighbour add 10.204.0.7 lladdr 02:42:0a:cc:00:07 dev eth0"], false),
        (&["ip neighbour add 10.204.0.7 lladdr 02:00:00:00:00:07 dev eth0 nud stale"], false),
        (&["ip neighbour add 10.204.0.7 lladdr 02:42:0a:cc:00:07 dev eth0 nud stale"], true),
        (&["echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"], false),
        (&["echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet"], false),
        (&["echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"], false),
        (&[listens], false),
    ] {
        let netns = engine
            .shared
            .new_netns(
                "test",
                Network::Others,
                super::super::address::Audience::Nobody,
                super::super::capabilities::Users::OfTheHost,
            )
            .await;
        let netns = netns.unwrap();
        inside(&netns, changes);
        let is = engine.shared.shim.is_as_new(&netns.namespace, &netns.condition).await.unwrap();
        assert_eq!(is, is_as_new, "{changes:?}");
    }
    // An unchanged one is reused by the next step.
    let base = busybox(&engine).await;
    let address = || async { text(&run(&*engine, script(&base, "hostname -i")).await.1.stdout) };
    let first = address().await;
    assert!(soon(|| lock(&engine.shared.idle).len() == 1));
    assert_eq!(address().await, first);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_ask_a_server_for_names_find_them() {
    const OTHER: &str = "other-service";
    let engine = engine!();
    let base = busybox(&engine).await;
    let own = engine.start(service(&base, HOST, &["sleep", "60"]), nothing()).await.unwrap();
    let other = engine.start(service(&base, OTHER, &["sleep", "60"]), nothing()).await.unwrap();
    // By DNS and by the library's lookup, in upper and lower case. There is no IPv6 record.
    let looks = format!(
        "for name in db DB {HOST} bowline localhost other-alias {OTHER} name.invalid; do
          found=$(nslookup -type=a $name | sed -n '/^Name/,$s/^Address: //p')
          case $found in 10.205.*|127.0.0.1) echo $name found;; *) echo $name none;; esac
        done
        nslookup -type=aaaa db | grep -c 'NXDOMAIN\\|SERVFAIL'
        nslookup $(nslookup -type=a db | sed -n '/^Name/,$s/^Address: //p') | grep -o 'name = .*'
        ping -c 1 DB > /dev/null && echo reached
        ping -c 1 localhost | head -n 1
        printf 'nothing' | nc -u -w 1 10.205.0.1 53; nslookup db > /dev/null && echo still"
    );
    let mut client = script(&base, &looks);
    client.links = vec![link(HOST, "db")];
    let (_, output) = run(&*engine, client).await;
    assert_eq!(
        text(&output.stdout),
        format!(
            "db found\nDB found\n{HOST} found\nbowline found\nlocalhost found\nother-alias none\n{OTHER} none\nname.invalid none\n0\nname = db\nreached\nPING localhost (127.0.0.1): 56 data bytes\nstill\n"
        ),
        "{}",
        text(&output.stderr)
    );
    // A step that is bound to nothing does not know them either, nor does a service.
    let none = "nslookup -type=a db | grep -c '^Name'; nslookup -type=a OWN | grep -c '^Name'";
    let none = none.replace("OWN", HOST);
    let (_, output) = run(&*engine, script(&base, &none)).await;
    assert_eq!(text(&output.stdout), "0\n0\n");
    let asked = other.exec(&["sh", "-c", &none].map(str::to_owned)).await.unwrap();
    assert_eq!(text(&asked.stdout), "0\n0\n");
    for service in [own, other] {
        service.remove().await.unwrap();
    }
    engine.close().await.unwrap();
}
