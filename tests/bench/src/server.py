# What connections of the benchmark meet: 9000 sends as many MiB as the first byte says, 9001 sends back.
import socket, threading
def serve(port, handle):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(4096)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=handle, args=(connection,), daemon=True).start()
def send(connection):
    with connection:
        mebibytes, piece = int.from_bytes(connection.recv(2), "little"), bytes(1 << 20)
        for _ in range(mebibytes):
            connection.sendall(piece)
def echo(connection):
    with connection:
        while data := connection.recv(1 << 16):
            connection.sendall(data)
threading.Thread(target=serve, args=(9000, send), daemon=True).start()
serve(9001, echo)
