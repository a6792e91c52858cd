# Answers on 8080 with what the URLs answer that are its arguments, one behind the other, and an `x`; on `/self` with whether
# the name that it was asked by is its own address's. It asks the URLs before it serves, and dies where one does not answer.
import http.server, socket, sys, urllib.request


def ask():
    return "".join(urllib.request.urlopen(url).read().decode() for url in sys.argv[1:])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/self":
            names = self.headers["Host"].split(":")[0], socket.gethostname()
            asked, own = map(socket.gethostbyname, names)
            answer = str(asked == own)
        else:
            answer = ask() + "x"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())


ask()
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
