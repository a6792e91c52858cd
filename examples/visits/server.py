"""Serves a page that says how often it was looked at."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from visits import Visits


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"visits of {self.path}: {Visits().visit(self.path)}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Page).serve_forever()
