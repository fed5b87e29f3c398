"""Recognition of web pages that servers send in the place of a file."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

HEAD = 1 << 16
"""Bytes of a page that are read to explain it."""

_START = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html|head)", re.I | re.S
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)
_QUOTA = re.compile(
    r"too many users have viewed or downloaded|quota exceeded|quota.{0,40}exceeded", re.I
)
_LOGIN = re.compile(
    r"type\s*=\s*[\"']?password|<title[^>]*>[^<]*\b(?:sign[ -]?in|log[ -]?in)\b", re.I
)
_LOGIN_HOSTS = ("accounts.google.com",)


def is_web_page(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is an HTML page, whatever its type says."""
    return _START.match(head[:4096]) is not None


def page_reason(head: bytes, address: str = "") -> str:
    """Explain why a server sent a page instead of a file, for the message of a `RemoteError`.

    Args:
        head: the page, or its first `HEAD` bytes.
        address: where it came from after all redirects.
    """
    text = head[:HEAD].decode(errors="replace")
    title = _TITLE.search(text)
    shown = " ".join(html.unescape(title[1]).split())[:80] if title else ""
    named = f" ({shown!r})" if shown else ""
    if _QUOTA.search(text):
        return (
            f"its download quota is used up{named}: too many people have downloaded the file, which"
            " Google Drive forgives after about a day"
        )
    if urlsplit(address).hostname in _LOGIN_HOSTS or _LOGIN.search(text):
        return f"the server asks for a login{named}"
    return f"the server sent a web page{named} in the place of the file"
