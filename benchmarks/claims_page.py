"""The page docs/claims.md, from the claims and the result of `benchmarks.claims`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reduced_page import section
from dgunet.paper.claims.claim_list import claims
from dgunet.paper.claims.claim_text import list_as_markdown
from dgunet.paper.intervals import FEWEST_IMAGES

ROOT = Path(__file__).parents[1]


def page(content: dict[str, Any]) -> str:
    """The page with the rates of a result."""
    template = Path(__file__).with_name("claims.md.txt").read_text(encoding="utf-8")
    rows = content["single"]
    return template.format(
        experiments=content["settings"]["experiments"],
        fewest=FEWEST_IMAGES,
        claims=content["families"][0]["claims"],
        count=len(claims()),
        most_none=_most(row["none"] for row in rows),
        most_alone=_most(row["alone"] for row in rows),
        single=_table(
            (
                "Differences",
                "Images",
                "No effect",
                "At the limit",
                "One of 12",
                "Found",
                "One of 12",
            ),
            [_single(row) for row in rows],
        ),
        families=_table(
            ("True claims", "Families with a false support, %", "True claims supported, %"),
            [(f"{row['known']} of {row['claims']}", *_family(row)) for row in content["families"]],
        ),
        trainings=_table(
            ("Trainings", "Images", "Trainings and images", "Images alone"),
            [
                (
                    str(row["trainings"]),
                    str(row["images"]),
                    _percent(row["both_levels"]),
                    _percent(row["images_alone"]),
                )
                for row in content["trainings"]
            ],
        ),
        listed=list_as_markdown(claims()),
        reduced=section(ROOT),
    )


def _single(row: dict[str, Any]) -> tuple[str, ...]:
    pairs = (" / ".join(map(_percent, row[name])) for name in ("none", "alone", "of_12"))
    found = (_percent(row[name]) for name in ("power", "power_of_12"))
    return row["distribution"], str(row["images"]), *pairs, *found


def _family(row: dict[str, Any]) -> tuple[str, str]:
    return _percent(row["false"]), "" if row["power"] is None else _percent(row["power"])


def _most(pairs: Iterable[Sequence[float]]) -> str:
    return _percent(max(max(pair) for pair in pairs))


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
