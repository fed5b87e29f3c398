"""Reading of a remote file from any byte onwards, over http, https or s3."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener

from dgunet.system.address import Address, redact
from dgunet.system.errors import DataError

TIMEOUT = 30.0
"""Seconds without data after which a connection is abandoned."""

CHUNK = 1 << 20
"""Bytes per chunk."""


class RemoteError(Exception):
    """A mirror does not provide the file; the text gives the reason without secrets."""

    def __init__(self, why: str) -> None:
        super().__init__(redact(why))


@dataclass(frozen=True)
class RemoteResponse:
    """Response of a server.

    Attributes:
        start: position of the first byte sent; 0 instead of the requested one if the file changed
            or the server does not support ranges.
        length: length of the whole file in bytes, None if the server does not announce it.
        tag: identifier of this version of the file, "" if the server sends none.
        chunks: the bytes from ``start`` on; ends early or raises `RemoteError` if the connection
            breaks.
        address: where the response came from after all redirects.
        declared_page: whether the server says that it sends a web page.
    """

    start: int
    length: int | None
    tag: str
    chunks: Iterator[bytes]
    address: str = ""
    declared_page: bool = False


Opener = Callable[[int, str], AbstractContextManager[RemoteResponse]]
"""Requests one file from a byte onwards, provided its version is still the given tag."""


@contextmanager
def request(
    url: str, start: int = 0, tag: str = "", cookies: CookieJar | None = None
) -> Iterator[RemoteResponse]:
    """Request the file at ``url`` from byte ``start`` on, provided its version is still ``tag``.

    Args:
        url: an http, https or s3 address.
        start: the first byte.
        tag: the version, "" for any.
        cookies: sent to and received from an http server; None: there are none.

    Raises:
        RemoteError: if the server does not respond, does not have the file, or refuses.
    """
    Address(url)  # registers its secrets, so that errors of libraries are redacted
    scheme = split_address(url).scheme
    if scheme not in ("http", "https", "s3"):
        raise RemoteError(f"{scheme or 'a path'} is not supported, only http, https and s3")
    opened = (
        _request_s3(url, start, tag)
        if scheme == "s3"
        else _request_http(url, start, tag, cookies if cookies is not None else CookieJar())
    )
    with opened as response:
        yield response


def split_address(url: str) -> SplitResult:
    """Split an address into its parts.

    Raises:
        DataError: if it is not a valid address, for example because its port is not a number.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it validates it
    except ValueError as error:
        # The error may quote the part with a password.
        raise DataError(f"{redact(url)} is not a valid address.", _ADDRESSES) from error
    if parts.scheme in ("http", "https", "s3") and not parts.hostname:
        raise DataError(f"{redact(url)} has no server or bucket name.", _ADDRESSES)
    return parts


_ADDRESSES = "Give http(s)://..., s3://BUCKET/KEY, file://... or a path."


class _SafeRedirects(HTTPRedirectHandler):
    """Follows redirects to http and https only, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        try:
            scheme = urlsplit(newurl).scheme.lower()
        except ValueError:
            scheme = "an invalid address"
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if scheme not in allowed:
            fp.close()
            raise RemoteError(
                f"the server redirects {req.type} to {scheme} ({redact(newurl)}), which is not"
                " followed; give that address itself if you trust it"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _http_request(url: str, headers: dict[str, str]) -> Request:
    """Build a request; user and password of ``url`` go into a header for this server only."""
    parts = split_address(url)
    user, mark, server = parts.netloc.rpartition("@")
    built = Request(parts._replace(netloc=server).geturl(), headers=headers)
    if mark:
        secret = base64.b64encode(unquote(user).encode()).decode()
        built.add_unredirected_header("Authorization", f"Basic {secret}")
    return built


@contextmanager
def _request_http(url: str, start: int, tag: str, cookies: CookieJar) -> Iterator[RemoteResponse]:
    headers = {"User-Agent": "dgunet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag:
            headers["If-Range"] = tag
    try:
        opener = build_opener(_SafeRedirects(), HTTPCookieProcessor(cookies))
        response = opener.open(_http_request(url, headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # the file has become shorter
            with _request_http(url, 0, "", cookies) as response:
                yield response
            return
        raise RemoteError(f"the server responds {error.code} {error.reason}") from error
    except URLError as error:
        raise RemoteError(f"no connection ({error.reason})") from error
    except (OSError, HTTPException, ValueError) as error:
        raise RemoteError(f"no connection ({error})") from error
    with response:
        partial = response.status == 206
        total = response.headers["Content-Length"]
        first = 0
        if partial:
            first, total = _content_range(response.headers["Content-Range"])
        yield RemoteResponse(
            first,
            int(total) if total and re.fullmatch(r"[0-9]{1,18}", total) else None,
            _strong(response.headers["ETag"]) or response.headers["Last-Modified"] or "",
            _http_chunks(response),
            response.url,
            response.headers.get_content_type() == "text/html",
        )


def _content_range(text: str | None) -> tuple[int, str]:
    found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)", text or "")
    if found is None:
        raise RemoteError(f"the server sends a part without a valid Content-Range ({text!r})")
    return int(found[1]), found[2]


def _strong(etag: str | None) -> str:
    """``etag`` unless it is weak; a weak tag does not guarantee the same bytes."""
    return "" if etag is None or etag.startswith("W/") else etag


def _http_chunks(response: Any) -> Iterator[bytes]:
    """Yield the bytes as they arrive, so that a slow or interrupted download keeps all of them."""
    remaining = response.length  # None if it is not announced
    try:
        while remaining != 0:
            chunk = response.read1(CHUNK if remaining is None else min(CHUNK, remaining))
            if not chunk:
                return
            remaining = None if remaining is None else remaining - len(chunk)
            yield chunk
    except (OSError, HTTPException) as error:
        raise RemoteError(f"the connection broke ({error})") from error


@contextmanager
def _request_s3(url: str, start: int, tag: str) -> Iterator[RemoteResponse]:
    import boto3  # here, because importing it is slow and only s3 addresses need it
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = url.partition("://")[2].partition("/")
    location = {"Bucket": bucket, "Key": key}
    byte_range = {"Range": f"bytes={start}-"} if start else {}
    condition = {"IfMatch": tag} if start and tag else {}
    timeouts = Config(
        connect_timeout=TIMEOUT, read_timeout=TIMEOUT, retries={"total_max_attempts": 2}
    )
    try:
        client = boto3.session.Session().client("s3", config=timeouts)
        response = client.get_object(**location, **byte_range, **condition)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if start and code in ("PreconditionFailed", "412", "InvalidRange", "416"):
            with _request_s3(url, 0, "") as from_start:
                yield from_start
            return
        raise RemoteError(f"the bucket responds {code}") from error
    except (BotoCoreError, ValueError, OSError) as error:  # ValueError: an invalid AWS_ENDPOINT_URL
        raise RemoteError(str(error)) from error
    first, total = 0, str(response["ContentLength"])
    if "ContentRange" in response:
        first, total = _content_range(response["ContentRange"])
    body = response["Body"]
    try:
        yield RemoteResponse(first, int(total), response["ETag"], _s3_chunks(body))
    finally:
        body.close()


def _s3_chunks(body: Any) -> Iterator[bytes]:
    from botocore.exceptions import BotoCoreError  # here, like boto3

    try:
        yield from body.iter_chunks(CHUNK)
    except (BotoCoreError, OSError, HTTPException) as error:
        raise RemoteError(f"the connection broke ({error})") from error
