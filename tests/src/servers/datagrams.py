# Waits for the seconds that its argument says, and then answers every datagram to 5353 with its bytes in reverse.
import socket, sys, time

time.sleep(float(sys.argv[1]))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 5353))
while True:
    datagram, sender = server.recvfrom(1500)
    server.sendto(datagram[::-1], sender)
