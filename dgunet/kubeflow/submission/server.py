"""Client of a Kubeflow Pipelines server: credentials, requests, and errors with a hint."""

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
"""The variable of kfp with the address of the API."""

IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
SECRET_BYTES = 64 << 10
"""Longest token or cookie."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ServerError(DgunetError):
    """A pipelines server is unreachable, refused a request, or failed."""


class NotThereError(ServerError):
    """The server has no such object (404)."""


class CollisionError(ServerError):
    """The server already has an object of that name (409)."""


@dataclass(frozen=True)
class Access:
    """Address of a server and credentials; its representation contains no secrets.

    Attributes:
        host: address, with the path where Kubeflow puts the API behind its gateway
            (``https://kubeflow.example.org/pipeline``).
        namespace: of the user, on a multi-user server.
        timeout: seconds to wait for a response.
        ui_host: address of the user interface; "" if it is ``host``.
        ca_file: CA certificates of the server.
        token: bearer token; "" for none.
        cookie: session cookie; "" for none.
        token_path: file with the pod's own token, which the kubelet renews.
    """

    host: str
    namespace: str = ""
    timeout: int = 60
    ui_host: str = ""
    ca_file: Path | None = None
    token: str = field(default="", repr=False)
    cookie: str = field(default="", repr=False)
    token_path: Path | None = None

    @property
    def page(self) -> str:
        """Address of the user interface."""
        return self.ui_host or self.host

    @property
    def credentials(self) -> str:
        """The kind of credentials, for messages."""
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
    """Address and credentials from options, else the environment, else the pod's own.

    Raises:
        ConfigError: if the host is unknown, a file is unreadable, or credentials would be sent
            over the network unencrypted.
    """
    own = environment.KFP_TOKEN_PATH.get()
    inside = own.is_file()
    address = (host or environment.KFP_ENDPOINT.get() or (IN_CLUSTER if inside else "")).rstrip("/")
    if not address:
        raise ConfigError(
            "no pipelines server is given.", f"Set its address with --host or {HOST}."
        )
    if "://" not in address:
        address = f"https://{address}"
    if Address(address).has_secret:
        raise ConfigError(
            f"the address {address} contains a password.", f"Use {TOKEN} or {COOKIE} instead."
        )
    token = _secret(token_file, environment.KFP_TOKEN.get())
    cookie = _secret(cookie_file, environment.KFP_COOKIE.get())
    if token and cookie:
        raise ConfigError("both a token and a cookie are given.", f"Unset {TOKEN} or {COOKIE}.")
    parts = _parts(address)
    host_name = parts.hostname or ""
    outside = host_name not in LOOPBACK and not host_name.endswith(".cluster.local")
    if (token or cookie) and parts.scheme == "http" and outside:
        raise ConfigError(
            f"credentials for {address} would be sent unencrypted.", "Use https or a port-forward."
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
        f"--host {shorten(redact(address))} is not an HTTP address.",
        "Example: https://kubeflow.example.org",
    )


def _secret(file: Path | None, otherwise: str) -> str:
    """A token or cookie from a file, else from the environment (``otherwise``)."""
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
            f"the token or cookie from {origin} is not one line of ASCII characters.",
            "Copy it again.",
        )
    return text


class Server:
    """The generated client of the v2beta1 API, with time limits and one-line errors.

    `kfp.Client` is not used: it repeats requests to an unresponsive server five times, prints
    tracebacks, and stores the namespace of the last call in the home folder.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        settings = kfp_server_api.Configuration(host=access.host)
        settings.ssl_ca_cert = str(access.ca_file) if access.ca_file else None
        # No retries: if the response to a started run is lost, a retry would start a second run.
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
            ServerError: with the failed action, the reason and a hint.
        """
        service = self._apis.get(api)
        if service is None:
            name = "".join(part.title() for part in api.split("_"))
            kind = getattr(kfp_server_api, f"{name}ServiceApi")
            service = self._apis[api] = kind(self._client)
        request = getattr(service, f"{api}_service_{verb}", None) or getattr(service, verb)
        named = {name: value for name, value in named.items() if value not in (None, "")}
        with _server_errors(self.access, doing):
            try:
                response = request(*values, _request_timeout=self.access.timeout, **named)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                # The client raises these for JSON that does not match the API.
                raise _UnexpectedResponse(
                    f"an invalid response ({type(error).__name__})"
                ) from error
            kind = self._client.last_response.getheader("content-type") or ""
            if "json" not in kind:
                raise _UnexpectedResponse(kind or "an empty response")
        return response


class _UnexpectedResponse(Exception):
    """A response that is not the API's: a login page, or another service."""


@contextmanager
def _server_errors(access: Access, doing: str) -> Iterator[None]:
    try:
        yield
    except kfp_server_api.ApiException as error:
        raise _refusal(access, doing, error) from error
    except _UnexpectedResponse as error:
        raise ServerError(
            f"{doing}: {access.host} responds with {error}; it is not a pipelines API.",
            _gateway_hint(access),
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreached(access, doing, error) from error


def _refusal(access: Access, doing: str, error: kfp_server_api.ApiException) -> ServerError:
    status, reason = error.status, _reason(error)
    message = f"{doing}: {access.host} returned {status} ({reason})."
    if status == 0:
        return ServerError(
            f"{doing}: no trusted connection to {access.host} ({reason}).",
            "Give the server's CA certificates with --ca-file.",
        )
    if status in (301, 302, 303, 307, 308):
        return ServerError(message, _gateway_hint(access))
    if status == 401:
        return ServerError(message, f"Give or renew the credentials (sent: {access.credentials}).")
    if status == 403:
        scope = f"namespace {access.namespace}" if access.namespace else "no --namespace"
        return ServerError(message, f"Ask for permission ({access.credentials}, {scope}).")
    if status == 404:
        return NotThereError(
            message, "Check the name or id, and that --host is the address of the pipelines API."
        )
    if status == 409:
        return CollisionError(message, "Choose another name.")
    if status >= 500:
        return ServerError(
            message, "The server failed: try again, or read the log of its ml-pipeline pod."
        )
    return ServerError(message)


def _unreached(access: Access, doing: str, error: BaseException) -> ServerError:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return ServerError(
            f"{doing}: no response from {access.host} within {access.timeout} s.",
            "The request may have succeeded: check before you try again with a longer --timeout.",
        )
    if isinstance(error, urllib3.exceptions.SSLError):
        return ServerError(
            f"{doing}: no trusted connection to {access.host} ({' '.join(str(error).split())}).",
            "Give the server's CA certificates with --ca-file.",
        )
    why = " ".join(str(error).split()).rpartition(": ")[2]
    return ServerError(
        f"{doing}: {access.host} cannot be reached ({why}).",
        "Check --host, and whether the port-forward or VPN is up.",
    )


def _gateway_hint(access: Access) -> str:
    return (
        f"If it is a login page, check the credentials ({access.credentials}). Behind Kubeflow's "
        "gateway the address ends in /pipeline."
    )


def _reason(error: kfp_server_api.ApiException) -> str:
    """The server's message in one short line."""
    body = error.body or ""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        content = json.loads(text)
        text = str(content.get("message") or content.get("error") or text)
    except (ValueError, AttributeError, RecursionError):
        text = str(error.reason or "") if text.lstrip().startswith("<") or not text else text
    line = " ".join((text or str(error.reason)).split())
    return line if len(line) <= 200 else f"{line[:200]}..."
