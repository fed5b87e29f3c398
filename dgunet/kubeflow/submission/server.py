"""A Kubeflow Pipelines server: how to get in, and its refusals as one line with the hint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import kfp_server_api
import urllib3
from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

from dgunet.system import environment
from dgunet.system.address import Address, redact
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.reading import read_text, shorten

TOKEN = environment.KFP_TOKEN.name
COOKIE = environment.KFP_COOKIE.name
HOST = environment.KFP_ENDPOINT.name
"""kfp's own."""

IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
SECRET_BYTES = 64 << 10
"""A token or cookie is at most this long."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ServerError(DgunetError):
    """A pipelines server was not reached, refused, or failed."""


class NotThereError(ServerError):
    """The server knows no such thing (404)."""


class CollisionError(ServerError):
    """The server has something of that name already (409)."""


@dataclass(frozen=True)
class Access:
    """Where the server is and who asks. Secrets are never printed.

    Args:
        host: address, with the path where Kubeflow puts the API behind its gateway
            (``https://kubeflow.example.org/pipeline``).
        namespace: of the user, on a server for several users.
        timeout: seconds that an answer may take.
        ca_file: certificates of the server's own authority.
    """

    host: str
    namespace: str = ""
    timeout: int = 60
    ui_host: str = ""
    ca_file: Path | None = None
    token: str = field(default="", repr=False)
    cookie: str = field(default="", repr=False)
    token_path: Path | None = None
    """The pod's own token, which the kubelet renews."""

    @property
    def page(self) -> str:
        """Where a browser looks."""
        return self.ui_host or self.host

    @property
    def how(self) -> str:
        """The way in, for messages."""
        if self.token:
            return f"the token of {TOKEN} or --token-file"
        if self.cookie:
            return f"the cookie of {COOKIE} or --cookie-file"
        return f"the pod's token in {self.token_path}" if self.token_path else "no credentials"


def find_access(
    host: str | None = None,
    *,
    namespace: str = "",
    timeout: int = 60,
    token_file: Path | None = None,
    cookie_file: Path | None = None,
    ca_file: Path | None = None,
) -> Access:
    """Options first, then the environment, then what a pod of the cluster has by itself.

    Raises:
        ConfigError: if no host is known, a file cannot be read, or a token would go over the
            network in the open.
    """
    own = environment.KFP_TOKEN_PATH.get()
    inside = own.is_file()
    address = (host or environment.KFP_ENDPOINT.get() or (IN_CLUSTER if inside else "")).rstrip("/")
    if not address:
        raise ConfigError("no server.", f"Name it with --host, or in {HOST}.")
    if "://" not in address:
        address = f"https://{address}"
    if Address(address).has_secret:
        raise ConfigError(
            f"the address {address} holds a password.", f"Give {TOKEN} or {COOKIE} in its place."
        )
    token = _secret(token_file, environment.KFP_TOKEN.get())
    cookie = _secret(cookie_file, environment.KFP_COOKIE.get())
    if token and cookie:
        raise ConfigError("a token and a cookie are given.", f"Unset {TOKEN} or {COOKIE}.")
    parts = _parts(address)
    host_name = parts.hostname or ""
    outside = host_name not in LOOPBACK and not host_name.endswith(".cluster.local")
    if (token or cookie) and parts.scheme == "http" and outside:
        raise ConfigError(
            f"{address} would get the credentials in the open.", "Use https, or a port-forward."
        )
    return Access(
        address,
        namespace=namespace,
        timeout=timeout,
        ui_host=environment.KFP_UI_ENDPOINT.get().rstrip("/"),
        ca_file=ca_file,
        token=token,
        cookie=cookie,
        token_path=own if inside and not (token or cookie) else None,
    )


def _parts(address: str) -> SplitResult:
    with suppress(ValueError):  # for a broken address or port
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    raise ConfigError(
        f"--host {shorten(redact(address))} is no address.", "Like https://kubeflow.example.org"
    )


def _secret(file: Path | None, otherwise: str) -> str:
    """A token or cookie, from a file or from what the environment says."""
    origin, text = "the environment", otherwise
    if file is not None:
        origin = str(file)
        try:
            text = read_text(file, limit=SECRET_BYTES, kind=ConfigError)
        except FileNotFoundError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error
    text = text.strip()
    if not text.isascii() or not text.isprintable():
        raise ConfigError(
            f"the token or cookie of {origin} is no line of ASCII characters.", "Copy it again."
        )
    return text


class Server:
    """The generated client of the v2beta1 API, with time limits and errors that say the hint.

    Not `kfp.Client`: that one tries a silent server five times, prints tracebacks, and keeps the
    namespace of the last call in the home folder.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        settings = kfp_server_api.Configuration(host=access.host)
        settings.ssl_ca_cert = str(access.ca_file) if access.ca_file else None
        # Nothing is sent twice: a run that was started before its answer got lost would run twice.
        settings.retries = False
        if access.token:
            settings.api_key["authorization"] = access.token
            settings.api_key_prefix["authorization"] = "Bearer"
        elif access.token_path:
            credentials = ServiceAccountTokenVolumeCredentials(str(access.token_path))
            settings.api_key["authorization"] = ""
            settings.api_key_prefix["authorization"] = "Bearer"
            settings.refresh_api_key_hook = credentials.refresh_api_key_hook
        self._client = kfp_server_api.ApiClient(settings, cookie=access.cookie or None)
        self._apis: dict[str, Any] = {}

    def call(self, api: str, verb: str, *values: Any, doing: str, **named: Any) -> Any:
        """One request, such as ``call("run", "get_run", id, doing="reading the run")``.

        Raises:
            ServerError: one line: what was not possible, why, and the hint.
        """
        service = self._apis.get(api)
        if service is None:
            name = "".join(part.title() for part in api.split("_"))
            kind = getattr(kfp_server_api, f"{name}ServiceApi")
            service = self._apis[api] = kind(self._client)
        request = getattr(service, f"{api}_service_{verb}", None) or getattr(service, verb)
        named = {name: value for name, value in named.items() if value not in (None, "")}
        with _explained(self.access, doing):
            try:
                answer = request(*values, _request_timeout=self.access.timeout, **named)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                # How the client fails over JSON that is not what the API has.
                raise _Foreign(f"what is not understood ({type(error).__name__})") from error
            kind = self._client.last_response.getheader("content-type") or ""
            if "json" not in kind:
                raise _Foreign(kind or "nothing")
        return answer


class _Foreign(Exception):
    """An answer that is not JSON: a login page, another service."""


@contextmanager
def _explained(access: Access, doing: str) -> Iterator[None]:
    try:
        yield
    except kfp_server_api.ApiException as error:
        raise _refusal(access, doing, error) from error
    except _Foreign as error:
        raise ServerError(
            f"{doing}: {access.host} answers with {error}, as no pipelines API does.",
            _behind_a_gateway(access),
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreached(access, doing, error) from error


def _refusal(access: Access, doing: str, error: kfp_server_api.ApiException) -> ServerError:
    status, said = error.status, _words(error)
    told = f"{doing}: {access.host} says {status} ({said})."
    if status == 0:
        return ServerError(
            f"{doing}: no trusted connection to {access.host} ({said}).",
            "Name your authority's certificates with --ca-file.",
        )
    if status in (301, 302, 303, 307, 308):
        return ServerError(told, _behind_a_gateway(access))
    if status == 401:
        return ServerError(told, f"Renew it: {access.how} is not, or no longer, accepted.")
    if status == 403:
        place = f"namespace {access.namespace}" if access.namespace else "no --namespace"
        return ServerError(told, f"{access.how}, {place}: ask for the right to do this there.")
    if status == 404:
        return NotThereError(told, "Check the name or id, and that --host is the pipelines API.")
    if status == 409:
        return CollisionError(told, "Choose another name.")
    if status >= 500:
        return ServerError(
            told, "The fault is the server's: try again, or read the log of its ml-pipeline pod."
        )
    return ServerError(told)


def _unreached(access: Access, doing: str, error: BaseException) -> ServerError:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return ServerError(
            f"{doing}: no answer from {access.host} within {access.timeout} s.",
            "It may have done it all the same: look before you try again, with a longer --timeout.",
        )
    if isinstance(error, urllib3.exceptions.SSLError):
        return ServerError(
            f"{doing}: no trusted connection to {access.host} ({' '.join(str(error).split())}).",
            "Name your authority's certificates with --ca-file.",
        )
    why = " ".join(str(error).split()).rpartition(": ")[2]
    return ServerError(
        f"{doing}: {access.host} cannot be reached ({why}).",
        "Check --host, and that a port-forward or VPN is up.",
    )


def _behind_a_gateway(access: Access) -> str:
    return (
        f"Is it a login page? ({access.how}.) Behind Kubeflow's gateway the address ends "
        "in /pipeline."
    )


def _words(error: kfp_server_api.ApiException) -> str:
    """What the server says, in one short line."""
    body = error.body or ""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        told = json.loads(text)
        text = str(told.get("message") or told.get("error") or text)
    except (ValueError, AttributeError, RecursionError):
        text = str(error.reason or "") if text.lstrip().startswith("<") or not text else text
    line = " ".join((text or str(error.reason)).split())
    return line if len(line) <= 200 else f"{line[:200]}..."
