"""TCP 7000 sends back what it reads, and `end` once it has read all; 7001 reads a line and resets the connection; 7002 never
reads; 7003 reads a number, sends as many bytes, and closes. UDP 7000 sends datagrams back. A line on standard output says
what was connected to. `quit` on 7000 ends it with code 3."""
import asyncio
import socket
import struct


async def echo(reader, writer):
    print("7000", flush=True)
    while piece := await reader.read(1 << 16):
        if piece == b"quit":
            print("it was told to quit", flush=True)
            asyncio.get_running_loop().stop()
            return
        writer.write(piece)
        await writer.drain()
    writer.write(b"end")
    writer.close()


async def reset(reader, writer):
    await reader.readline()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def never(reader, writer):
    reader._transport.pause_reading()
    await asyncio.sleep(3600)


async def send(reader, writer):
    left = int(await reader.readline())
    piece = bytes(range(256)) * 256
    while left > 0:
        writer.write(piece[:left])
        left -= len(piece)
        await writer.drain()
    writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


async def main():
    for serve, port in [(echo, 7000), (reset, 7001), (never, 7002), (send, 7003)]:
        await asyncio.start_server(serve, "0.0.0.0", port, backlog=4096, limit=1 << 16)
    await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ("0.0.0.0", 7000))


loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.run_forever()
raise SystemExit(3)
