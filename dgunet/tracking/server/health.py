"""Whether anybody answers at the store's address, asked before anything heavy is imported."""

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
"""How long a server may take for its whole answer to the first question."""

_DATABASES = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433}


class StoreUnavailable(DgunetError):
    """Nobody answers at the store's address; the reason in one line."""


def ask(uri: Address) -> None:
    """Ask an http server for a sign of life, or a database's port for a connection.

    Raises:
        StoreUnavailable: if it refuses, is silent, or has not answered whole after `ANSWER_SECONDS`. Any answer
            counts as life.
    """
    if uri.scheme in ("http", "https"):
        if uri.has_query:
            raise StoreUnavailable(
                "MLflow's client takes no query in a server's address.",
                "Give a token in MLFLOW_TRACKING_TOKEN.",
            )
        look = partial(_ask_web, uri.reveal())
    elif place := _database(uri):
        look = partial(_connect, *place)
    else:
        return
    try:
        within(ANSWER_SECONDS, look)
    except TimeoutError as error:
        raise StoreUnavailable(f"no answer within {ANSWER_SECONDS} s") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if "CERTIFICATE" in str(reason):  # the client may be told to accept it
            return
        raise StoreUnavailable(redact(str(reason)) or type(error).__name__) from error


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirection is an answer; following it would tell another server the password."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _ask_web(address: str) -> None:
    parts = urlsplit(address)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(f"{plain.rstrip('/')}/health")
    if credentials := _credentials(parts.username, parts.password):
        request.add_unredirected_header("Authorization", credentials)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=ANSWER_SECONDS):
            return
    except HTTPError as answer:
        answer.close()


def _credentials(user: str | None, password: str | None) -> str:
    """What MLflow's client sends: those of the address, else those of the environment."""
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
    """Host and port of a database, where the address names one host."""
    kind = uri.scheme.partition("+")[0]
    behind = uri.reveal().partition("://")[2].rpartition("@")[2]
    place = re.match(r"(?:\[([^\]]+)\]|([^:/?#,\[\]]+))(?::(\d+))?(?=[/?#]|$)", behind)
    if kind not in _DATABASES or place is None:
        return None
    return place[1] or place[2], int(place[3] or _DATABASES[kind])


def _connect(host: str, port: int) -> None:
    socket.create_connection((host, port), ANSWER_SECONDS).close()
