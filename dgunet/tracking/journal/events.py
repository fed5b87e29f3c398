"""The schema of a journal's header and events; everything else counts as damage."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dgunet.system.reading import shorten
from dgunet.system.safe_paths import inside
from dgunet.tracking.journal.damage import Damaged

Event = dict[str, Any]
Test = Callable[[Any], bool]

JOURNAL_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.\-]{0,199}")

STATUSES = ("FINISHED", "FAILED", "KILLED")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _maybe_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _time(value: Any) -> bool:
    return _integer(value) and value >= 0


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(_number(one) for one in value.values())


def _number(value: Any) -> bool:
    if isinstance(value, float):
        return True  # NaN and infinity are allowed
    return _integer(value) and math.isfinite(value)


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_text, value))


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


_ABOUT: dict[str, Test] = {"checkpoint": _text, "dataset": _pair}
_KINDS: dict[str, tuple[dict[str, Test], dict[str, Test]]] = {
    "metrics": ({"values": _numbers, "step": _integer}, _ABOUT),
    "params": ({"values": _texts}, {}),
    "tags": ({"values": _texts}, {}),
    "result": ({"values": _texts}, {}),
    "artifact": ({"file": _text, "folder": _text}, {"table": _boolean, "sha256": _text}),
    "dataset": (
        dict.fromkeys(("name", "digest", "source_type", "source", "profile", "context"), _text),
        {"shown": _text},
    ),
    "network": (
        {
            "number": _text,
            "file": _text,
            "name": _text,
            "channels": _integer,
            "step": _integer,
            "tags": _texts,
            "params": _texts,
        },
        {"sha256": _text},
    ),
    "end": ({"status": lambda value: value in STATUSES}, {"error": _maybe_text}),
}
"""Required and optional fields of an event, by kind."""

_HEADER: tuple[dict[str, Test], dict[str, Test]] = (
    {"journal": _text, "experiment": _text, "name": _text, "start": _time, "tags": _texts},
    {"adopt": _maybe_text, "continues": _maybe_text},
)


def check_header(header: Mapping[str, Any], origin: Path) -> None:
    """Check the fields of a header, and that it belongs to its folder.

    Raises:
        Damaged: with file and field.
    """
    _check(header, *_HEADER, str(origin))
    if header["journal"] != origin.parent.name:
        raise Damaged(f"{origin} is the header of another journal, {shorten(header['journal'])}.")


def check_events(events: list[Event], origin: Path, *, numbered: bool) -> None:
    """Check kinds, types and order of events, and that they refer only to files in the journal.

    Args:
        events: content of ``origin``.
        origin: path of the file, in the folder of the journal.
        numbered: whether each event has its index, from 0, in the field ``n``.

    Raises:
        Damaged: with file, line and field.
    """
    for place, event in enumerate(events):
        where = f"{origin}, line {place + 1}"
        kind = event.get("kind")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise Damaged(f"{where}: the kind of event {shorten(kind)} is unknown.")
        required, optional = _KINDS[kind]
        _check(event, required | {"time": _time}, optional, where)
        if "sum" in event or (numbered and event.get("n") != place):
            raise Damaged(f"{where}: event {place} was changed after it was written.")
        if "file" in event:
            inside(origin.parent, event["file"], origin=where, kind=Damaged)
        if kind == "end" and place + 1 < len(events):
            raise Damaged(f"{where}: more events follow after the end of the run.")


def _check(
    values: Mapping[str, Any], required: dict[str, Test], optional: dict[str, Test], where: str
) -> None:
    for key, test in required.items():
        if key not in values:
            raise Damaged(f"{where}: the field {key!r} is missing.")
        if not test(values[key]):
            raise Damaged(
                f"{where}: the field {key!r} has the invalid value {shorten(values[key])}."
            )
    for key, test in optional.items():
        if key in values and not test(values[key]):
            raise Damaged(
                f"{where}: the field {key!r} has the invalid value {shorten(values[key])}."
            )
