# Answers on 8080: `/id` with a text that tells its instances apart, `/env` with its variable `NAME`, `/host` with the name
# that it was asked by; `/put/X` keeps X, and `/get` waits for something kept and gives it; `/exit/N` ends it. Where `DIES`
# is N, it ends with N as soon as there is a file `/die`.
import http.server, os, queue, threading, time, uuid

kept, me = queue.Queue(), str(uuid.uuid4())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        words = self.path.strip("/").split("/")
        answer = {
            "id": lambda: me,
            "env": lambda: os.environ.get("NAME", ""),
            "host": lambda: self.headers["Host"],
            "put": lambda: kept.put(words[1]) or "kept",
            "get": lambda: kept.get(timeout=60),
            "exit": lambda: os._exit(int(words[1])),
        }[words[0]]()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *args):
        print("served", self.path, flush=True)


def die(code):
    while not os.path.exists("/die"):
        time.sleep(0.005)
    os._exit(code)


if "DIES" in os.environ:
    threading.Thread(target=die, args=[int(os.environ["DIES"])], daemon=True).start()
print("server up", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
