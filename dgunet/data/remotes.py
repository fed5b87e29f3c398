"""Bytes of one file from elsewhere, from any position on: http, https and s3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from dgunet.address import Address, redact

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
    opened = _ask_s3 if urlsplit(url).scheme == "s3" else _ask_http
    with opened(url, start, tag) as answer:
        yield answer


def shown(url: str) -> str:
    """``url`` without user, password and query, which may hold secrets."""
    return str(Address(url))


@contextmanager
def _ask_http(url: str, start: int, tag: str) -> Iterator[Answer]:
    headers = {"User-Agent": "dgunet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag:
            headers["If-Range"] = tag
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
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
            int(total) if total and total.isdigit() else None,
            _strong(response.headers["ETag"]) or response.headers["Last-Modified"] or "",
            _http_chunks(response),
        )


def _content_range(text: str | None) -> tuple[int, str]:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text or "")
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

    bucket, _, key = url.removeprefix("s3://").partition("/")
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
    except BotoCoreError as error:
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
