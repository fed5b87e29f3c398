"""The verdicts on our cells in five groups, for a summary in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from dgunet.system.files import sha256_json
from dgunet.terms import CellState, CellVerdict

Line = Literal["reproduced", "sample"]
VerdictGroup = Literal["reproduced", "close", "differ", "not compared", "not run"]

GROUPS: tuple[VerdictGroup, ...] = ("reproduced", "close", "differ", "not compared", "not run")

_GROUP_OF: Mapping[CellVerdict, VerdictGroup] = MappingProxyType(
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


def line_of(profile: str) -> Line:
    """The line of our cells that counts: the tables of the sample have an empty reproduced one."""
    return "sample" if profile == "sample" else "reproduced"


def count_groups(cells: Iterable[tuple[CellVerdict, CellState]]) -> dict[VerdictGroup, int]:
    """The number of cells in each group, by their verdict and state.

    "not compared" are the cells that have a run and no comparison.
    """
    found = Counter(
        "not run" if state == "not run" else _GROUP_OF[verdict] for verdict, state in cells
    )
    return {group: found[group] for group in GROUPS}


def counts_text(counts: Mapping[str, int]) -> str:
    """Counts in one line, such as "12 reproduced, 3 close, 79 not run"; those of 0 are left out."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"


def digest_of_results(results: Iterable[str]) -> str:
    """One SHA-256 for evaluations in any order, by their ``per_image_sha256``."""
    return sha256_json(sorted(set(results)))
