"""The verdicts of the reduced run for docs/claims.md, from the sealed bundle of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgunet.cli.reduced_command import SEEDS
from dgunet.paper.claims.claim_text import markdown_table
from dgunet.system.errors import DataError
from dgunet.system.reading import read_json, read_mapping
from dgunet.tools.bundles import standalone

RECORD = Path("records/reduced")
"""The bundle, relative to the clone."""

NOT_RUN = "It has not been run to the end yet, so no verdicts of it are here."

ABOUT = """The results of {evaluations} evaluations ({trainings} trainings,
{seeds} of {planned} seeds) are in [{record}]({link}), a sealed [bundle](bundles.md) without images:
scores of every image, settings, curves, runs, versions.
They were made with {processor}, Python {python}, torch {torch}, at commit `{commit}`.

    dgunet verify {record}
    python {record}/verify.py

{scale}

{tested} of {all} claims can be tested on it: {counts}."""

UNTESTED = """The others are not testable here, for want of a result:

{lines}"""


def section(home: Path) -> str:
    """The verdicts on the claims, or that there are none.

    Args:
        home: folder of the clone.

    Raises:
        DataError: if the bundle was changed.
    """
    folder = home / RECORD
    if not folder.is_dir():
        return NOT_RUN
    checked = standalone.verify(folder)
    if checked.faults:
        raise DataError(f"{folder}: {checked.faults[0]}.", "Restore it with `git checkout`.")
    judged = read_mapping(folder / "claims" / "verdicts.json")
    claims = judged["claims"]
    tested = [claim for claim in claims if claim["effect_db"] is not None]
    counts = Counter(claim["verdict"] for claim in tested)
    about = ABOUT.format(
        **_made(folder, judged),
        scale=" ".join(judged["about"]),
        tested=len(tested),
        all=len(claims),
        counts=", ".join(f"{counts[one]} {one}" for one in judged["verdicts"] if counts[one]),
    )
    rest = [claim for claim in claims if claim["effect_db"] is None]
    lines = "\n".join(f"- `{claim['claim']}`: {claim['reason']}" for claim in rest)
    return "\n\n".join([about, _table(tested), *([UNTESTED.format(lines=lines)] if rest else [])])


def _made(folder: Path, judged: Mapping[str, Any]) -> dict[str, Any]:
    """By what the results were made."""
    environment = read_mapping(folder / "environment.json")
    runs = read_json(folder / "runs.json")
    commits = sorted({run["commit"][:12] for run in runs if run["stage"] != "prepare"})
    seeds = {run["params"].get("seed") for run in runs if run["stage"] == "train"}
    return {
        "record": RECORD.as_posix(),
        "link": f"../{RECORD.as_posix()}",
        "evaluations": judged["evaluations"],
        "trainings": len(list(folder.glob("trainings/*"))),
        "seeds": len(seeds),
        "planned": SEEDS,
        "processor": environment["processor"],
        "python": environment["python"],
        "torch": environment["packages"]["torch"],
        "commit": "`, `".join(commits),
    }


def _table(claims: list[dict[str, Any]]) -> str:
    head = (
        *("Claim", "Claimed, dB", "Smallest that matters", "Measured, dB", "95 % interval"),
        *("p (Holm)", "Detectable, dB", "Images", "Trainings", "Verdict", "Claim fixed"),
    )
    rows = []
    for claim in claims:
        low, high = (_number(claim[end], "+.3f") for end in ("low_db", "high_db"))
        cells = (
            f"{claim['statement']} `{claim['claim']}`",
            f"{claim['claimed_db']:g}",
            f"{claim['smallest_effect_db']:g}",
            _number(claim["effect_db"], "+.3f"),
            f"{low} to {high}",
            _number(claim["p_holm"], ".4f"),
            _number(claim["detectable_db"], ".3f"),
            claim["images"],
            claim["trainings"],
            claim["verdict"],
            claim["fixed"],
        )
        rows.append(cells)
    return markdown_table(head, rows)


def _number(value: float | None, form: str) -> str:
    return "unbounded" if value is None else format(value, form)
