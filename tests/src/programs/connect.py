# Connects to www:8080 as soon as somebody listens there, and says so.
import socket, time

for _ in range(100):
    try:
        socket.create_connection(("www", 8080), timeout=1)
        print("up")
        break
    except OSError:
        time.sleep(0.05)
