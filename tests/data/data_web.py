"""A local HTTP server that can break off, change its file or ignore ranges."""

import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Site:
    """The served content, the faults of the server, and the Range headers it received."""

    def __init__(self, content, *, etag='"v1"', ranges=True, length=True, cut=()):
        self.content, self.etag, self.ranges, self.length = content, etag, ranges, length
        self.cut = list(cut)  # sizes at which the next responses break off
        self.status = 200
        self.requests = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        wanted = self.headers.get("Range")
        site.requests.append(wanted)
        if site.status != 200:
            self.send_error(site.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and site.ranges else 0
        if self.headers.get("If-Range") not in (None, site.etag):
            start = 0
        if start and start >= len(site.content):
            self.send_error(416)
            return
        body = site.content[start:]
        self.send_response(206 if start else 200)
        if start:
            whole = len(site.content)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: site.cut.pop(0)] if site.cut else body)

    def log_message(self, *arguments):
        pass


@contextmanager
def serve(site):
    """Serve ``site`` until the block ends, and set its ``url``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.site = site
    site.url = f"http://127.0.0.1:{server.server_port}/sets/archive.zip?token=secret"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
