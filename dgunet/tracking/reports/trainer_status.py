"""Progress of a training for Kubeflow Trainer, in ``status.trainerStatus`` of its TrainJob.

Trainer 2.2 or later, with its feature gate ``TrainJobStatus``, gives the pods of a TrainJob the
address of its controller, a certificate authority and a token. A thread posts the newest progress
there. Nothing that happens to a post delays or ends the training.
"""

from __future__ import annotations

import json
import logging
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dgunet.system import environment
from dgunet.system.address import HIDDEN, Address, redact
from dgunet.tracking.reports.progress import ReportProgress

POST_SECONDS = 30.0
"""Minimum seconds between two posts: each one changes an object of the cluster."""

LONGEST_WAIT = 600.0
"""Longest wait after failed posts, seconds; it doubles from `POST_SECONDS`."""

TIMEOUT = 5.0
"""Seconds for a connection, and for each part of a response."""

CLOSE_SECONDS = 10.0
"""Seconds that the end of a training waits for its last post."""

LARGEST_INTEGER = 2**31 - 1
LONGEST_TEXT = 64
"""Limits of the TrainJob's schema: an int32, and the characters of a metric's name and value."""

RESPONSE_BYTES = 4096

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StatusServer:
    """Where Trainer accepts the status of this TrainJob.

    Attributes:
        url: an https address.
        ca: file with the certificate authority of the server.
        token: file with the token, which Kubernetes replaces before it expires.
    """

    url: str
    ca: str
    token: str

    @classmethod
    def from_environment(cls) -> StatusServer | None:
        """The server that the environment names; None outside a TrainJob with this feature."""
        url = environment.TRAINER_SERVER_URL.get() or environment.TRAINER_STATUS_URL.get()
        ca = environment.TRAINER_SERVER_CA_CERT.get() or environment.TRAINER_STATUS_CA_CERT.get()
        token = environment.TRAINER_SERVER_TOKEN.get() or environment.TRAINER_STATUS_TOKEN.get()
        return cls(url, ca, token) if url else None

    def post(self, status: Mapping[str, Any]) -> None:
        """Post ``status`` once; certificate authority and token are read anew.

        Raises:
            OSError: if a file or the server cannot be read, or the certificate is refused.
            HTTPException: if the response is not HTTP.
            ValueError: for an address or a token of another form, or any status but 200. No message
                contains the token.
        """
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError("the address is not https, so the token is not sent")
        authority = Path(self.ca).read_text(encoding="ascii") if self.ca else None
        token = Path(self.token).read_text(encoding="ascii").strip()
        if not token or not token.isprintable():
            raise ValueError(f"{self.token} has no token")
        connection = HTTPSConnection(
            parts.hostname,
            parts.port,
            timeout=TIMEOUT,
            context=ssl.create_default_context(cadata=authority),
        )
        try:
            connection.request(
                "POST",
                parts.path + (f"?{parts.query}" if parts.query else ""),
                body=json.dumps({"trainerStatus": status}),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            response = connection.getresponse()  # a redirection is not followed
            if response.status != 200:
                text = response.read(RESPONSE_BYTES).decode(errors="replace")
                raise ValueError(f"{response.status} {_message(text)}".replace(token, HIDDEN))
        finally:
            connection.close()


def trainer_status(
    done: int, total: int, facts: Mapping[str, float], remaining: float | None
) -> dict[str, Any]:
    """The status in the form of a TrainJob's ``status.trainerStatus``.

    Args:
        done: finished steps.
        total: all steps.
        facts: metrics by name; NaN and infinity are allowed.
        remaining: seconds left; None if unknown.
    """
    status: dict[str, Any] = {
        "progressPercentage": max(0, min(100, done * 100 // max(1, total))),
        "metrics": [
            {"name": name[:LONGEST_TEXT], "value": f"{value:.6g}"} for name, value in facts.items()
        ],
        "lastUpdatedTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if remaining is not None and math.isfinite(remaining):
        status["estimatedRemainingSeconds"] = max(0, min(LARGEST_INTEGER, round(remaining)))
    return status


@contextmanager
def telling_trainer(
    progress: ReportProgress, server: StatusServer | None, *, leads: bool = True
) -> Iterator[ReportProgress]:
    """Yield ``progress`` that also posts to ``server``; the last post is made at the end.

    Args:
        progress: shows the progress elsewhere.
        server: see `StatusServer.from_environment`; None: post nothing.
        leads: whether this process reports for its training.
    """
    if server is None or not leads:
        yield progress
        return
    poster = _Poster(server)
    steps: list[tuple[int, float]] = []

    def report(
        done: int, total: int, remark: str = "", facts: Mapping[str, float] | None = None
    ) -> None:
        progress(done, total, remark, facts)
        now = time.monotonic()
        steps[1:] = [(done, now)]
        (first, start), (last, end) = steps[0], steps[-1]
        left = (total - done) * (end - start) / (last - first) if last > first else None
        poster.put(lambda: trainer_status(done, total, facts or {}, left))

    try:
        yield report
    finally:
        poster.close()


class _Poster:
    """Posts the newest status in a thread, at intervals; keeps none that is older."""

    def __init__(self, server: StatusServer) -> None:
        self._server = server
        self._newest: Callable[[], dict[str, Any]] | None = None
        self._change = threading.Condition()
        self._closing = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, daemon=True, name="trainer status")
        self._thread.start()

    def put(self, status: Callable[[], dict[str, Any]]) -> None:
        """Replace the status to post."""
        with self._change:
            self._newest = status
            self._change.notify()

    def close(self) -> None:
        """Post what has not been posted; wait for that at most `CLOSE_SECONDS`."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        due = 0.0
        while (status := self._next(due)) is not None:
            try:
                self._server.post(status())
            except Exception as error:  # whatever it is, the training continues
                self._warn(error)
                self._failures += 1
                self._put_back(status)
            else:
                if self._failures:
                    logger.info("Kubeflow Trainer accepts the progress again")
                self._failures = 0
            due = time.monotonic() + min(POST_SECONDS * 2 ** min(self._failures, 30), LONGEST_WAIT)

    def _next(self, due: float) -> Callable[[], dict[str, Any]] | None:
        """The newest status, at the time ``due`` or at the end; None if there is no more."""
        with self._change:
            self._change.wait_for(lambda: self._newest is not None or self._closing)
            while not self._closing and (left := due - time.monotonic()) > 0:
                self._change.wait(left)
            status, self._newest = self._newest, None
            return status

    def _put_back(self, status: Callable[[], dict[str, Any]]) -> None:
        """Post ``status`` again later, unless there is a newer one or the training has ended."""
        with self._change:
            if not self._closing:
                self._newest = self._newest or status

    def _warn(self, error: Exception) -> None:
        """Log the first of several failures in a row."""
        if not self._failures:
            logger.warning(
                "progress is not shown in the TrainJob: %s: %s; the training continues",
                Address(self._server.url),
                redact(" ".join(str(error).split()) or type(error).__name__),
            )


def _message(text: str) -> str:
    """The message of a Kubernetes Status in a response; the beginning of any other text."""
    try:
        found = json.loads(text).get("message")
    except (ValueError, AttributeError):
        found = None
    return " ".join(str(found or text).split())[:300]
