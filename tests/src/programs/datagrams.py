# Sends datagrams to a server that sends them back, at the address and port that are its first arguments.
#
#   all PORT     all kinds: prints what came back of each; a port of the same machine at which nobody is
#   same TEXT    one with this text, from port 5555: prints whether it was the one that came back
import sys
from socket import *

at, kind, given = (sys.argv[1], int(sys.argv[2])), sys.argv[3], sys.argv[4]


def udp():
    s = socket(AF_INET, SOCK_DGRAM)
    s.settimeout(20)
    return s


def every():
    # Of all lengths, up to the largest.
    s = udp()
    for length in [5, 0, 1472, 20000, 65507]:
        sent = bytes(i * i % 251 for i in range(length))
        s.sendto(sent, at)
        print(length, s.recvfrom(65536) == (sent, at))
    # Several at once (UDP_SEGMENT, udp(7)).
    s.setsockopt(IPPROTO_UDP, 103, 1000)
    s.sendto(bytes(4500), at)
    print([len(s.recv(65536)) for i in range(5)])
    # From many ports.
    for i in range(200):
        s = udp()
        s.sendto(b"%d" % i, at)
        assert s.recvfrom(100) == (b"%d" % i, at)
    print("many")
    # To where nobody is.
    s = udp()
    s.connect((at[0], int(given)))
    s.send(b"x")
    try:
        s.recv(100)
    except ConnectionRefusedError:
        print("nobody")


def same():
    s = udp()
    s.bind(("", 5555))
    s.sendto(given.encode(), at)
    print(s.recvfrom(100) == (given.encode(), at))


{"all": every, "same": same}[kind]()
