"""Bytes of one file from elsewhere, from any position on: http, https and s3."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dgunet.system.address import Address, redact
from dgunet.system.errors import DataError

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""

CHUNK = 1 << 20


class RemoteError(Exception):
    """This mirror does not give the file; the text says why, without secrets."""

    def __init__(self, why: str) -> None:
        super().__init__(redact(why))


@dataclass(frozen=True)
class Answer:
    """What a server sends.

    Attributes:
        start: position in the file of the first byte sent; 0 though more was asked for if the file
            changed or the server cannot start in the middle.
        length: of the whole file in bytes, None if the server does not say.
        tag: tells this version of the file from others, "" if the server has none.
        chunks: the bytes from ``start`` on; ends early, or raises RemoteError, if the line breaks.
    """

    start: int
    length: int | None
    tag: str
    chunks: Iterator[bytes]


@contextmanager
def ask(url: str, start: int = 0, tag: str = "") -> Iterator[Answer]:
    """Ask for the file at ``url`` from byte ``start`` on, if it is still the one of ``tag``.

    Raises:
        RemoteError: if the server does not answer, or has no such file, or refuses.
    """
    Address(url)  # from here on no error of a library tells its secrets
    scheme = split_address(url).scheme
    if scheme not in ("http", "https", "s3"):
        raise RemoteError(f"{scheme or 'a path'} is not read, only http, https and s3")
    opened = _ask_s3 if scheme == "s3" else _ask_http
    with opened(url, start, tag) as answer:
        yield answer


def shown(url: str) -> str:
    """``url`` without user, password and query, which may hold secrets."""
    return redact(url)


def split_address(url: str) -> SplitResult:
    """The parts of an address.

    Raises:
        DataError: if it has none that make sense, such as a port that is no number.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - checked when it is asked for
    except ValueError as error:
        # The error may quote the part that holds a password.
        raise DataError(f"{shown(url)} is not an address.", _ADDRESSES) from error
    if parts.scheme in ("http", "https", "s3") and not parts.hostname:
        raise DataError(f"{shown(url)} names no server or bucket.", _ADDRESSES)
    return parts


_ADDRESSES = "Give http(s)://..., s3://BUCKET/KEY, file://... or a path."


class _Redirects(HTTPRedirectHandler):
    """Follows a server to http and https only, and from https never to http."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        try:
            scheme = urlsplit(newurl).scheme.lower()
        except ValueError:
            scheme = "an address that is none"
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if scheme not in allowed:
            fp.close()
            raise RemoteError(
                f"the server sends {req.type} on to {scheme} ({shown(newurl)}), which is not"
                " followed; name that address itself if you trust it"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _request(url: str, headers: dict[str, str]) -> Request:
    """A request to ``url``; user and password in it go into a header for this server only."""
    parts = split_address(url)
    user, mark, server = parts.netloc.rpartition("@")
    request = Request(parts._replace(netloc=server).geturl(), headers=headers)
    if mark:
        secret = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {secret}")
    return request


@contextmanager
def _ask_http(url: str, start: int, tag: str) -> Iterator[Answer]:
    headers = {"User-Agent": "dgunet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag:
            headers["If-Range"] = tag
    try:
        response = build_opener(_Redirects()).open(_request(url, headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # it is shorter than that by now
            with _ask_http(url, 0, "") as answer:
                yield answer
            return
        raise RemoteError(f"the server answers {error.code} {error.reason}") from error
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
        yield Answer(
            first,
            int(total) if total and re.fullmatch(r"[0-9]{1,18}", total) else None,
            _strong(response.headers["ETag"]) or response.headers["Last-Modified"] or "",
            _http_chunks(response),
        )


def _content_range(text: str | None) -> tuple[int, str]:
    found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)", text or "")
    if found is None:
        raise RemoteError(f"the server sends a part without saying which ({text!r})")
    return int(found[1]), found[2]


def _strong(etag: str | None) -> str:
    """A weak tag does not promise the same bytes."""
    return "" if etag is None or etag.startswith("W/") else etag


def _http_chunks(response: Any) -> Iterator[bytes]:
    try:
        while chunk := response.read(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise RemoteError(f"the connection broke ({error})") from error


@contextmanager
def _ask_s3(url: str, start: int, tag: str) -> Iterator[Answer]:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = url.partition("://")[2].partition("/")
    where = {"Bucket": bucket, "Key": key}
    wanted = {"Range": f"bytes={start}-"} if start else {}
    same = {"IfMatch": tag} if start and tag else {}
    patience = Config(
        connect_timeout=TIMEOUT, read_timeout=TIMEOUT, retries={"total_max_attempts": 2}
    )
    try:
        client = boto3.session.Session().client("s3", config=patience)
        answer = client.get_object(**where, **wanted, **same)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if start and code in ("PreconditionFailed", "412", "InvalidRange", "416"):
            with _ask_s3(url, 0, "") as whole:
                yield whole
            return
        raise RemoteError(f"the bucket answers {code}") from error
    except (BotoCoreError, ValueError, OSError) as error:  # ValueError: AWS_ENDPOINT_URL
        raise RemoteError(str(error)) from error
    first, total = 0, str(answer["ContentLength"])
    if "ContentRange" in answer:
        first, total = _content_range(answer["ContentRange"])
    body = answer["Body"]
    try:
        yield Answer(first, int(total), answer["ETag"], _s3_chunks(body))
    finally:
        body.close()


def _s3_chunks(body: Any) -> Iterator[bytes]:
    from botocore.exceptions import BotoCoreError

    try:
        yield from body.iter_chunks(CHUNK)
    except (BotoCoreError, OSError, HTTPException) as error:
        raise RemoteError(f"the connection broke ({error})") from error
