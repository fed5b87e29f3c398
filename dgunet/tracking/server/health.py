"""Checks whether the store answers, before MLflow's client is imported."""

from __future__ import annotations

import base64
import re
import socket
import urllib.request
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from dgunet.system import environment
from dgunet.system.address import Address, redact
from dgunet.system.deadline import within
from dgunet.system.errors import DgunetError

ANSWER_SECONDS = 3
"""Time limit for the complete answer to the first request."""

_DATABASES = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433}


class StoreUnavailable(DgunetError):
    """The store does not answer; the message is the reason in one line."""


def ask(uri: Address) -> None:
    """Send a health request to an HTTP server, or connect to the port of a database.

    Any answer counts as success.

    Raises:
        StoreUnavailable: if the connection is refused, or there is no complete answer within
            `ANSWER_SECONDS`.
    """
    if uri.scheme in ("http", "https"):
        if uri.has_query:
            raise StoreUnavailable(
                "MLflow's client does not accept a query in the address of a server.",
                "Remove it; a token belongs in MLFLOW_TRACKING_TOKEN.",
            )
        probe = partial(_ask_web, uri.reveal())
    elif endpoint := _database(uri):
        probe = partial(_connect, *endpoint)
    else:
        return
    try:
        within(ANSWER_SECONDS, probe)
    except TimeoutError as error:
        raise StoreUnavailable(f"no answer within {ANSWER_SECONDS} s") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if "CERTIFICATE" in str(reason):  # the client may be configured to accept it
            return
        raise StoreUnavailable(redact(str(reason)) or type(error).__name__) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treats a redirection as an answer; following it would send the password to another server."""

    def redirect_request(self, *_: Any) -> None:
        """Return None, so that the redirection is not followed."""


def _ask_web(address: str) -> None:
    parts = urlsplit(address)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(f"{plain.rstrip('/')}/health")
    if credentials := _credentials(parts.username, parts.password):
        request.add_unredirected_header("Authorization", credentials)
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=ANSWER_SECONDS):
            return
    except HTTPError as answer:
        answer.close()


def _credentials(user: str | None, password: str | None) -> str:
    """The value of the Authorization header that MLflow's client sends; "" without credentials.

    Credentials in the address take precedence over those in the environment.
    """
    if user or password:
        login = f"{unquote(user or '')}:{unquote(password or '')}"
    else:
        name = environment.MLFLOW_TRACKING_USERNAME.get()
        secret = environment.MLFLOW_TRACKING_PASSWORD.get()
        if not (name and secret):
            token = environment.MLFLOW_TRACKING_TOKEN.get()
            return f"Bearer {token}" if token else ""
        login = f"{name}:{secret}"
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def _database(uri: Address) -> tuple[str, int] | None:
    """Host and port of a database; None if the address does not name exactly one host."""
    kind = uri.scheme.partition("+")[0]
    behind = uri.reveal().partition("://")[2].rpartition("@")[2]
    found = re.match(r"(?:\[([^\]]+)\]|([^:/?#,\[\]]+))(?::(\d+))?(?=[/?#]|$)", behind)
    if kind not in _DATABASES or found is None:
        return None
    return found[1] or found[2], int(found[3] or _DATABASES[kind])


def _connect(host: str, port: int) -> None:
    socket.create_connection((host, port), ANSWER_SECONDS).close()
