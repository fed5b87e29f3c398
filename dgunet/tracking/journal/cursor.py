"""The progress of a journal's delivery."""

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
    """Progress of a delivery, from which the next one continues.

    The cursor only saves work. Without it, all events are sent again to the same run, which is
    found by its tag ``dgunet.journal``. Sending an event twice does not change the run.
    """

    sent: int = 0
    """Number of events that MLflow has."""
    run_id: str | None = None
    experiment_id: str | None = None
    attempted: bool = False
    """Whether a run may exist although its id was not received."""
    models: dict[str, str] = field(default_factory=dict)
    """Logged-model id by event number; an empty id means that the model may exist."""
    refused: int = 0
    """Number of events that MLflow rejected."""
    lost: dict[str, str] = field(default_factory=dict)
    """Reason why a file could not be sent, by index of its event."""


def read_cursor(path: Path) -> Cursor | None:
    """Read the cursor at ``path``; None if the file does not exist.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        content = read_bytes(path, limit=LINE_BYTES)
    except FileNotFoundError:
        return None
    except DgunetError as error:
        raise ValueError(str(error)) from error
    values = parse_line(content.rstrip(b"\n"), unchecked=True)
    if unknown := sorted(set(values) - {one.name for one in fields(Cursor)}):
        raise ValueError(f"the field {unknown[0]!r} is unknown")
    for key, value in values.items():
        if not _fits(key, value):
            raise ValueError(f"the field {key!r} is of the wrong type")
    return Cursor(**values)


def save_cursor(path: Path, cursor: Cursor) -> None:
    """Write ``cursor`` with a checksum to ``path`` and flush it to the disk."""
    files.write_bytes(path, format_line(vars(cursor)))


def _fits(key: str, value: Any) -> bool:
    if key in ("sent", "refused"):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if key in ("run_id", "experiment_id"):
        return value is None or (isinstance(value, str) and bool(value))
    if key == "attempted":
        return isinstance(value, bool)
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
