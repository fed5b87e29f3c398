"""The web server of the page: on this machine, without contact to any other, until Ctrl-C."""

from __future__ import annotations

import logging
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet.system import environment
from dgunet.system.errors import DgunetError

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "form-action 'none'",
    )
)
"""What the browser may load: nothing from other machines, whatever Gradio's files ask for."""

MOST_UPLOAD = "4gb"
GRACE_SECONDS = 2
"""Time for open connections of browsers to end after Ctrl-C."""

Send = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Place:
    """Where the page is served; port 0 means any free port."""

    host: str
    port: int


@contextmanager
def private_folder() -> Iterator[Path]:
    """A temporary folder that only this user can read, for uploads and results; removed at the end.

    Gradio keeps its files there, and reports nothing to its makers.
    """
    with (
        tempfile.TemporaryDirectory(prefix="dgunet-demo-", ignore_cleanup_errors=True) as folder,
        environment.with_value("GRADIO_TEMP_DIR", str(Path(folder) / "uploads")),
        environment.with_value("GRADIO_ANALYTICS_ENABLED", "0"),
    ):
        yield Path(folder)


def bound(place: Place) -> socket.socket:
    """A socket that listens at ``place``.

    Raises:
        DgunetError: if the port is in use, or the host is no address of this machine.
    """
    kind = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((place.host, place.port))
    except OSError as error:
        listener.close()
        raise DgunetError(
            f"cannot listen at {place.host}, port {place.port} ({error.strerror or error}).",
            "Choose another --port (0: any free one) or --host.",
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """The address of the page for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(
    page: Any, listener: socket.socket, ready: Callable[[], None], end: threading.Event
) -> None:
    """Serve ``page`` until Ctrl-C or SIGTERM, which set ``end``.

    Args:
        page: of `dgunet.demo.page.build_page`.
        listener: of `bound`.
        ready: called when the page can be opened.
        end: tells a restoration in progress to stop.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        def handle_exit(self, sig: int, frame: Any) -> None:
            end.set()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        _application(page),
        log_level="error",
        timeout_graceful_shutdown=GRACE_SECONDS,
        lifespan="on",
    )
    # Streams of pages that are still open are cut off at the end, which uvicorn logs as errors.
    logging.getLogger("uvicorn.error").addFilter(lambda _: not end.is_set())
    # uvicorn raises the signal again when it has ended; nothing is left to do then.
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, lambda *_: None) for name in names}
    try:
        Server(config).run(sockets=[listener])
    finally:
        end.set()
        for name, handler in before.items():
            signal.signal(name, handler)


def _application(page: Any) -> Alone:
    """The web application of ``page``.

    Every choice that Gradio would take from its environment variables is made here.
    """
    import gradio as gr
    from fastapi import FastAPI

    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        footer_links=[],
        run_history=False,
        root_path="",
        show_error=True,
        max_file_size=MOST_UPLOAD,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )
    return Alone(app)


class Alone:
    """Keeps a web application and its pages from contacting other machines.

    Every answer has the `POLICY`, and files are served from this machine only: Gradio would fetch
    those of other addresses.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and "file=http" in scope["path"]:
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"only files of this page\n"})
            return

        async def with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_HEADERS]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, with_policy)


_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
