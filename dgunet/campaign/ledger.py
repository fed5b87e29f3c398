"""The ledger of a campaign: one line for the beginning and the end of every step, only appended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dgunet.system.errors import DgunetError
from dgunet.system.line_files import append_line, open_log, read_lines

Event = Literal["begun", "done", "failed", "interrupted"]
"""What happened to a step. One whose result is there already is not written."""

NAME = "ledger.jsonl"


@dataclass(frozen=True)
class LedgerEntry:
    """One line of the ledger.

    Attributes:
        time: UTC, ISO 8601.
        step: name of the step, e.g. ``evaluate Rain100L DGUNet``.
        event: what happened.
        seconds: duration of a step that ended; 0 for other events.
        facts: what identifies the result (digests, counts, places), or the reason of a failure.
    """

    time: str
    step: str
    event: Event
    seconds: float
    facts: Mapping[str, Any]


class Ledger:
    """The ledger in the folder of a campaign.

    A line that a kill truncated is left out; its step is carried out again.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.entries = [
            LedgerEntry(line["time"], line["step"], line["event"], line["seconds"], line["facts"])
            for line in read_lines(self.path).entries
        ]

    def write(self, step: str, event: Event, seconds: float = 0.0, **facts: Any) -> None:
        """Append one line; it is on disk when this returns."""
        entry = LedgerEntry(
            datetime.now(UTC).isoformat(timespec="seconds"), step, event, round(seconds, 3), facts
        )
        with open_log(self.path) as handle:
            append_line(handle, vars(entry))
        self.entries.append(entry)

    def last(self, step: str) -> LedgerEntry | None:
        """The newest line of a step that ended well; None if it never did."""
        found = [e for e in self.entries if e.step == step and e.event == "done"]
        return found[-1] if found else None

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Write the beginning and the end of a step; yield the facts to write at its end.

        Errors are written as the reason of the failure and raised again.
        """
        facts: dict[str, Any] = {}
        start = time.monotonic()
        self.write(name, "begun")
        try:
            yield facts
        except Exception as error:
            reason = error.message if isinstance(error, DgunetError) else str(error)
            self.write(name, "failed", time.monotonic() - start, reason=reason)
            raise
        except BaseException:  # Ctrl-C or SIGTERM
            self.write(name, "interrupted", time.monotonic() - start)
            raise
        self.write(name, "done", time.monotonic() - start, **facts)
