# Answers on 8080 with the seconds that it has been running, on the paths that its arguments name: PATH=SECONDS is an error
# (503) for so long at first. Other paths it does not have (404).
import http.server, sys, time, urllib.parse

began = time.time()
paths = {path: float(seconds) for path, seconds in (arg.rsplit("=", 1) for arg in sys.argv[1:])}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, age = urllib.parse.unquote(self.path), time.time() - began
        self.send_response(404 if path not in paths else 503 if age < paths[path] else 200)
        self.end_headers()
        self.wfile.write(str(age).encode())


http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
