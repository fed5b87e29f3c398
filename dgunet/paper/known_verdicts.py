"""The verdicts on our cells in five groups, for a summary in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from dgunet.terms import CellVerdict

VerdictGroup = Literal["reproduced", "close", "differ", "not compared", "not run"]

GROUPS: tuple[VerdictGroup, ...] = ("reproduced", "close", "differ", "not compared", "not run")

GROUP_OF: Mapping[CellVerdict, VerdictGroup] = MappingProxyType(
    {
        "reproduced": "reproduced",
        "close": "close",
        "differs": "differ",
        "infinite": "not compared",
        "partial": "not compared",
        "not run": "not run",
        "waiting for the server": "not compared",
        "not comparable": "not compared",
        "no published value": "not compared",
    }
)
"""The group of each verdict; "not compared" are the cells that have a run and no comparison."""


def count_groups(verdicts: Iterable[CellVerdict]) -> dict[VerdictGroup, int]:
    """The number of verdicts in each group."""
    found = Counter(GROUP_OF[verdict] for verdict in verdicts)
    return {group: found[group] for group in GROUPS}


def counts_text(counts: Mapping[str, int]) -> str:
    """Counts in one line, such as "12 reproduced, 3 close, 79 not run"; those of 0 are left out."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"
