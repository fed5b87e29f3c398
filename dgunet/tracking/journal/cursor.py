"""How far the delivery of a journal got."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dgunet.system import files
from dgunet.system.errors import DgunetError
from dgunet.system.line_files import LINE_BYTES, format_line, parse_line
from dgunet.system.reading import read_bytes


@dataclass
class Cursor:
    """How far delivery got, so that the next one goes on there.

    It only saves work: without it everything is sent again into the same run, which MLflow finds
    by the tag ``dgunet.journal``, and nothing is doubled.
    """

    sent: int = 0
    """Events that MLflow has."""
    run_id: str | None = None
    experiment_id: str | None = None
    attempted: bool = False
    """A run may have been made although its id was never heard."""
    models: dict[str, str] = field(default_factory=dict)
    """Logged-model id by event number; an empty id means that one may have been made."""
    refused: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    """By place of the event: why its file could not be sent."""


def read_cursor(path: Path) -> Cursor | None:
    """The cursor at ``path``; None if it is not there.

    Raises:
        ValueError: if it is not a whole cursor.
    """
    try:
        content = read_bytes(path, limit=LINE_BYTES)
    except FileNotFoundError:
        return None
    except DgunetError as error:
        raise ValueError(str(error)) from error
    told = parse_line(content.rstrip(b"\n"), unchecked=True)
    if unknown := sorted(set(told) - {one.name for one in fields(Cursor)}):
        raise ValueError(f"the field {unknown[0]!r} is unknown")
    for key, value in told.items():
        if not _fits(key, value):
            raise ValueError(f"the field {key!r} is of the wrong type")
    return Cursor(**told)


def save_cursor(path: Path, cursor: Cursor) -> None:
    """Write ``cursor`` to ``path`` with its check sum; on the disk when this returns."""
    files.write_bytes(path, format_line(vars(cursor)))


def _fits(key: str, value: Any) -> bool:
    if key in ("sent", "refused"):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if key in ("run_id", "experiment_id"):
        return value is None or (isinstance(value, str) and bool(value))
    if key == "attempted":
        return isinstance(value, bool)
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
