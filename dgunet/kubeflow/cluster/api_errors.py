"""The reason of a refusal by the Kubernetes API, in one line."""

from __future__ import annotations

import json
import re
from typing import Any

LONGEST = 500
"""Characters that are shown of a message."""


def refusal_reason(error: Any) -> str:
    """The machine-readable reason of an ``ApiException``, such as ``AlreadyExists``; or ""."""
    return str(_status(error).get("reason", ""))


def refusal_message(error: Any) -> str:
    """The server's message of an ``ApiException``, without a full stop at its end."""
    found = _status(error).get("message") or error.reason or error.body or "no message"
    return one_line(found).rstrip(".")


def one_line(text: object) -> str:
    """``text`` in one line of limited length."""
    return re.sub(r"\s+", " ", str(text)).strip()[:LONGEST]


def _status(error: Any) -> dict[str, Any]:
    try:
        found = json.loads(error.body or "")
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
