"""What a check found: its state, a line, and a hint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem", "unknown"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        state: ``problem`` if a run would fail, ``warning`` if it may wait or lose something,
            ``unknown`` if the check is not possible from here.
        about: what was checked, e.g. ``secret s3-credentials``.
        text: what was found.
        hint: what to do; "" if there is nothing.
    """

    state: State
    about: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<7}  {self.about}: {self.text}"
        return f"{line}\n         {self.hint}" if self.hint else line


def ok(about: str, text: str) -> Finding:
    """A check that passed."""
    return Finding("ok", about, text)


def problem(about: str, text: str, hint: str) -> Finding:
    """A fault with which a run would fail."""
    return Finding("problem", about, text, hint)


def warning(about: str, text: str, hint: str) -> Finding:
    """Something that slows a run down or that it can do without."""
    return Finding("warning", about, text, hint)


def unknown(about: str, reason: str, hint: str = "") -> Finding:
    """A check that is not possible with these permissions or from this machine."""
    return Finding("unknown", about, reason, hint)


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """The findings with which a run would fail."""
    return [each for each in findings if each.state == "problem"]
