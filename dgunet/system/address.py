"""Addresses of servers and files that may contain secrets, and redaction of text.

An `Address` is shown without user, password, query and fragment. `redact` does the same for every
address in a text. It also removes other text that looks like a secret (``password=...``), and the
secrets of the environment and of every `Address` created so far, in any encoding.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote

from dgunet.system import environment

HIDDEN = "***"
"""Replaces a secret."""

SHORTEST = 6
"""Shorter secrets (in characters) are removed from addresses but not from other text."""

_SECRET_NAME = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api_?key|access_?key|signature|credential|\bsig)"
)
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.\-]{0,30}):(/{2,})"
    r"((?:(?:(?!://)\S)*@)?"  # user and password may contain quotes, but no space
    r"(?:(?![A-Za-z][A-Za-z0-9+.\-]{0,30}://)[^\s'\"<>`])*)"
)
_BARE = re.compile(r"(?<![^\s'\"(\[=,<])[^\s:]{0,200}:(?!//)\S{0,400}@(?!sha256:)(?=[\w\[])")
"""``user:password@`` without a scheme, but not the digest of a container image."""

_NAMED = re.compile(
    rf"(?i)(?<!\w)([\w.\-]{{0,40}}{_SECRET_NAME}\w{{0,20}})"
    r"(\s?=\s?|['\"]\s?[:=]\s?)"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"&;,)}\]]+)"
)
_HEADER = re.compile(
    r"(?i)\b(authorization|cookie)(['\"]?\s?:\s?)(?:'[^']*'|\"[^\"]*\"|[^\r\n'\"]+)"
)
_BEARER = re.compile(r"\b(Bearer) [^\s'\"]{8,}")
_PORT = re.compile(r"(?:\[[^\]]*\]|[^:]*):\d*")
_BUCKET = re.compile(r"s3://([A-Za-z0-9][A-Za-z0-9._-]*)(/[^?#@]*)?")
_WEB = ("http", "https", "ws", "wss", "ftp", "s3")
_LOCAL = ("file", "sqlite")

_known: set[str] = set()


@dataclass(frozen=True)
class Address:
    """An address that is shown without user, password, query and fragment.

    ``str``, ``repr`` and formatting return the redacted form. Only `reveal` returns the whole
    address, for the client that connects.
    """

    _whole: str = field(repr=False)

    def __post_init__(self) -> None:
        # A password that equals the name of the database or host stays in other text.
        _known.update(_secrets_in(self._whole) - set(re.split(r"[^\w\-]+", str(self))))

    def reveal(self) -> str:
        """Return the address with its secrets, for the client that connects."""
        return self._whole

    @property
    def scheme(self) -> str:
        """The scheme in lower case, such as ``https`` or ``sqlite``; "" for a path."""
        head, mark, _ = self._whole.partition("://")
        return head.lower() if mark else ""

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Bucket and prefix of ``s3://BUCKET/PREFIX``; None for another form, or with a login."""
        found = _BUCKET.fullmatch(self._whole)
        return (found[1], (found[2] or "").strip("/")) if found else None

    @property
    def has_secret(self) -> bool:
        """Whether it contains a password, a token as user, or a query key named like a secret."""
        _, mark, rest = self._whole.partition("://")
        user, at, _ = _split(rest)[0].rpartition("@")
        query = parse_qsl(self._whole.partition("?")[2])
        named = any(re.search(_SECRET_NAME, name, re.IGNORECASE) for name, _ in query)
        return bool(mark and at and (":" in user or self.scheme in _WEB)) or named

    @property
    def has_query(self) -> bool:
        """Whether it contains a query."""
        return "?" in self._whole

    def __str__(self) -> str:
        scheme, mark, rest = self._whole.partition("://")
        if not mark:
            return _patterns(self._whole)
        slashes = rest[: len(rest) - len(rest.lstrip("/"))]
        return _patterns(f"{scheme}://{slashes}{_without_secrets(scheme, rest.lstrip('/'))}")

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __format__(self, form: str) -> str:
        return format(str(self), form)


def redact(text: str) -> str:
    """Remove secrets from ``text``, and user, password, query and fragment from its addresses.

    From a malformed address (a password with an unescaped ``/`` or ``@``), too much is removed
    rather than too little.

    >>> redact("no answer from https://me:secret@host:5000/x?token=1")
    'no answer from https://host:5000/x'
    >>> redact("host=db user=me password=secret")
    'host=db user=me password=***'
    """
    held = environment.secret_values()
    known = [s for s in sorted(_known | held, key=len, reverse=True) if len(s) >= SHORTEST]
    text = _without(text, (s for s in known if len(s.split()) > 1))  # no address matches them
    return _without(_patterns(text), known)


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _patterns(text: str) -> str:
    text = _URL.sub(lambda m: f"{m[1]}:{m[2]}{_without_secrets(m[1], m[3])}", text)
    text = _BARE.sub("", text)
    text = _NAMED.sub(rf"\1\2{HIDDEN}", text)
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
    return _BEARER.sub(rf"\1 {HIDDEN}", text)


def _without_secrets(scheme: str, rest: str) -> str:
    """Return the part of an address after ``://`` that may be shown."""
    authority, mark, tail = _split(rest)
    path = (mark + tail).partition("?")[0].partition("#")[0]
    if "@" in authority:
        # With a second @ in the path, the first one may belong to the password.
        return HIDDEN if "@" in path else authority.rpartition("@")[2] + path
    local = scheme.lower().partition("+")[0] in _LOCAL
    if local or "@" not in rest or ":" not in rest.rpartition("@")[0]:
        return authority + path
    if ":" not in authority or (scheme.lower() in _WEB and _PORT.fullmatch(authority)):
        return HIDDEN if "@" in path else authority + path  # a user or password with a slash?
    # A password with an unescaped slash or question mark, which database drivers accept.
    return _without_secrets(scheme, rest.partition("@")[2]) if rest.count("@") == 1 else HIDDEN


def _split(rest: str) -> tuple[str, str, str]:
    """Split into the authority, the character that ends it, and the rest."""
    end = re.search(r"[/?#]", rest)
    if end is None:
        return rest, "", ""
    return rest[: end.start()], end[0], rest[end.end() :]


def _secrets_in(whole: str) -> set[str]:
    """Return the password and secret query values, in every encoding a message may contain."""
    _, mark, rest = whole.partition("://")
    authority, _, _ = _split(rest if mark else whole)
    login = (authority if "@" in authority else rest or whole).rpartition("@")[0]
    user, _, password = login.partition(":")
    found = {password or user} if login else set()
    if password:
        plain = f"{unquote(user)}:{unquote(password)}"
        found.add(base64.b64encode(plain.encode(errors="replace")).decode())
    query = whole.partition("?")[2]
    found |= {
        value for name, value in parse_qsl(query) if re.search(_SECRET_NAME, name, re.IGNORECASE)
    }
    forms = {f for one in found for f in (one, unquote(one), quote(unquote(one), safe=""))}
    return {form for form in forms if len(form) >= SHORTEST}
