"""Local servers that stand in for Google Drive, its delivery network, GitHub and plain hosts.

Google Drive redirects to another host, which answers a large file with a page. The form on it leads
to the file, once for each new identifier and only with the cookie that came with the page.
"""

import html
import re
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import yaml

QUOTA = (
    "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
    '<p class="uc-error-caption">Sorry, you can\'t view or download this file at this time.</p>'
    '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.'
    " Please try accessing the file again later.</p></body></html>"
)
LOGIN = (
    "<!doctype html><html><head><title>Sign in - Google Accounts</title></head>"
    '<body><form><input type="password"></form></body></html>'
)


class Internet:
    """What the servers have, how they misbehave, and what they were asked.

    Attributes:
        drive: content by file id; a text is a page that is sent instead of the file.
        login: ids for which Drive redirects to its login page.
        web: content by path of the other hosts; None is 404.
        types: Content-Type by path or id, where it is not that of a file.
        cut: numbers of bytes after which the next responses with content break off.
        pause: seconds before each 64 kB of content.
        etag: version of every file.
        ranges: the Range headers of the requests for content, in order.
        paths: the paths of all requests, in order.
    """

    def __init__(self):
        self.drive, self.web, self.types, self.login = {}, {}, {}, set()
        self.cut, self.pause, self.etag = [], 0.0, '"v1"'
        self.ranges, self.paths, self.sessions = [], [], {}
        self.base = self.cdn = ""

    def services(self):
        return dict.fromkeys(("google-drive", "hugging-face", "github-raw"), self.base)

    def overlay(self, path, **parts):
        """Write a sources file that points to these servers."""
        path.write_text(yaml.safe_dump({"services": self.services(), **parts}))
        return path


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        net, parts = self.server.internet, urlsplit(self.path)
        net.paths.append(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/uc":
            self._redirect(
                "/ServiceLogin" if query["id"] in net.login else f"/download?{parts.query}"
            )
        elif parts.path == "/ServiceLogin":
            self._page(LOGIN)
        elif parts.path == "/download":
            self._drive(query)
        elif "/resolve/" in parts.path and not parts.path.startswith("/blob/"):
            self._redirect(f"/blob{parts.path}")
        else:
            self._file(parts.path, net.web.get(parts.path))

    def _drive(self, query):
        net, identifier = self.server.internet, query["id"]
        content = net.drive.get(identifier)
        if isinstance(content, str):
            self._page(content)
        elif content is None:
            self.send_error(404)
        elif len(content) < 2000 or self._confirmed(query):
            self._file(identifier, content)
        else:
            self._confirmation(identifier)

    def _confirmed(self, query):
        found = re.search(r"NID=([\w-]+)", self.headers.get("Cookie") or "")
        session = self.server.internet.sessions.get(query.get("uuid"))
        return bool(found and session == found[1] and query.get("confirm") == "t")

    def _confirmation(self, identifier):
        net, uuid, session = self.server.internet, str(uuid4()), str(uuid4())
        net.sessions[uuid] = session
        fields = {"id": identifier, "export": "download", "confirm": "t", "uuid": uuid}
        inputs = "".join(
            f'<input type="hidden" name="{name}" value="{value}">' for name, value in fields.items()
        )
        action = html.escape(f"{net.cdn}/download")
        self._page(
            "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>"
            "<body>"
            f'<form id="download-form" action="{action}" method="get">{inputs}'
            '<input type="submit" value="Download anyway"></form></body></html>',
            cookie=f"NID={session}; path=/; HttpOnly",
        )

    def _redirect(self, path):
        self.send_response(303)
        self.send_header("Location", self.server.internet.cdn + path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _page(self, text, cookie=""):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(body)

    def _file(self, name, content):
        net = self.server.internet
        if content is None:
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        net.ranges.append(wanted)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        if self.headers.get("If-Range") not in (None, net.etag):
            start = 0
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", net.types.get(name, "application/octet-stream"))
        self.send_header("Content-Disposition", 'attachment; filename="archive.zip"')
        self.send_header("ETag", net.etag)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        sent = body[: net.cut.pop(0)] if net.cut else body
        for at in range(0, len(sent), 1 << 16):
            time.sleep(net.pause)
            try:
                self.wfile.write(sent[at : at + (1 << 16)])
            except OSError:  # the client has gone
                return

    def log_message(self, *arguments):
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Say nothing about clients that are killed."""


@contextmanager
def internet():
    """Run the two servers until the block ends."""
    net = Internet()
    servers = [_Server(("127.0.0.1", 0), _Handler) for _ in range(2)]
    net.base = f"http://127.0.0.1:{servers[0].server_port}"
    net.cdn = f"http://localhost:{servers[1].server_port}"
    threads = []
    for server in servers:
        server.internet, server.daemon_threads = net, True
        threads.append(Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}))
        threads[-1].start()
    try:
        yield net
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
