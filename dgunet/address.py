"""Addresses of servers and files, which may carry secrets: shown and stored without them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):/{2,}([^\s'\"<>`]*)")


@dataclass(frozen=True)
class Address:
    """An address that never shows the user, password or query it may hold.

    ``str``, ``repr`` and formatting give the redacted form; only `reveal` gives the whole one,
    which goes to the client that connects and nowhere else.
    """

    _whole: str = field(repr=False)

    def reveal(self) -> str:
        """The address with its secrets, for the client that connects."""
        return self._whole

    @property
    def scheme(self) -> str:
        """``https``, ``sqlite`` and the like, in lower case; "" for a path."""
        head, mark, _ = self._whole.partition("://")
        return head.lower() if mark else ""

    def __str__(self) -> str:
        return redact(self._whole)

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __format__(self, form: str) -> str:
        return format(str(self), form)


def redact(text: str) -> str:
    """``text`` with user, password, query and fragment taken out of every address in it.

    >>> redact("no answer from https://me:secret@host:5000/x?token=1")
    'no answer from https://host:5000/x'
    """
    return _URL.sub(_without_secrets, text)


def _without_secrets(found: re.Match[str]) -> str:
    scheme, rest = found[1], found[2]
    authority, mark, path = _split(rest)
    if "@" in authority:
        authority = authority.rpartition("@")[2]
    elif "@" in rest and ":" in authority and not re.fullmatch(r".*:\d*", authority):
        # A password with a slash or a question mark that should have been escaped.
        authority, mark, path = _split(rest.rpartition("@")[2])
    path = (mark + path).partition("?")[0].partition("#")[0]
    lost = found[0][len(scheme) + 1 :]
    slashes = lost[: len(lost) - len(rest)]
    return f"{scheme}:{slashes}{authority}{path}"


def _split(rest: str) -> tuple[str, str, str]:
    """Authority, the character that ends it, and what follows."""
    end = re.search(r"[/?#]", rest)
    if end is None:
        return rest, "", ""
    return rest[: end.start()], end[0], rest[end.end() :]
