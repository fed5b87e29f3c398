"""What is known in a project, read from its files: the state of results, runs, and what is missing.

Nothing is computed from images or scores, no server is asked, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from dgunet.config import load_params
from dgunet.paper.known_verdicts import count_groups, counts_text, digest_of_results, line_of
from dgunet.project import ProjectFolders
from dgunet.steps.result_folders import result_folders
from dgunet.system.errors import DgunetError
from dgunet.system.reading import read_bytes, read_mapping
from dgunet.system.seals import SEAL_BYTES, check_page, check_seal
from dgunet.tracking import RunInfo, TrackingFolders, delivered, pending
from dgunet.tracking.journal.reading import is_live

_SUMMARY, _CELLS = "summary.json", "cells.parquet"
_SUMMARY_BYTES = 1 << 20
_LAST_RUNS = 3

PAPERS_DATA = "dgunet campaign table1 --plan"


@dataclass(frozen=True)
class NextStep:
    """Something that is missing, and the command that makes it."""

    missing: str
    command: str


@dataclass(frozen=True)
class KnownRun:
    """A run of the index or of a waiting journal; ``begun`` is UTC."""

    name: str
    stage: str
    profile: str
    status: str
    begun: str


@dataclass(frozen=True)
class ProjectStatus:
    """What is known.

    Attributes:
        home: the folder of the project.
        profile, weights: of ``params.yaml``; "none" without one.
        evaluations: number of finished evaluations of the profile.
        missing: names of the networks' results that do not exist.
        tables: counts of our cells by table and group of verdicts; empty without tables.
        claims: counts by verdict from the last report; None if it has none.
        current: whether tables, and the report, are of the present evaluations; None without.
        last: the last runs, the newest first.
        running: the runs of processes that are alive.
        waiting: number of runs that MLflow does not have yet.
        steps: what to do next, the first thing first.
    """

    home: str
    profile: str = "none"
    weights: str = "none"
    evaluations: int = 0
    missing: tuple[str, ...] = ()
    tables: dict[str, dict[str, int]] = field(default_factory=dict)
    claims: dict[str, int] | None = None
    current: dict[str, bool | None] = field(default_factory=dict)
    last: tuple[KnownRun, ...] = ()
    running: tuple[KnownRun, ...] = ()
    waiting: int = 0
    steps: tuple[NextStep, ...] = ()


@dataclass(frozen=True)
class _Written:
    """A result that was written from evaluations: its content, and what is wrong with it."""

    content: dict[str, Any] | None = None
    fault: str = ""
    current: bool | None = None


def project_status(home: Path) -> ProjectStatus:
    """Read what is known in the project at ``home``, which may be empty.

    Raises:
        ConfigError: if ``params.yaml`` exists and is not valid.
    """
    here = ProjectFolders(home)
    if not here.params.is_file():
        missing = f"{home} is no project, as it has no params.yaml: run this inside a clone"
        return ProjectStatus(str(home), steps=(NextStep(missing, "cd CLONE && make reproduce"),))
    params = load_params(here.params)
    here = here.using(params.weights)
    folders = result_folders(params, here)
    absent = tuple(f.name for f in folders if next(f.rglob(_SUMMARY), None) is None)
    results = sorted(set(_results(folders, params.profile)))
    tables, page = _tables(here, params.profile, results), _page(here, results)
    store = TrackingFolders.at(home)
    undelivered = pending(store)
    runs = sorted([*delivered(store), *undelivered], key=lambda run: run.journal)
    alive = [run for run in undelivered if is_live(store.journals / run.journal)]
    waiting = len(undelivered) - len(alive)
    return ProjectStatus(
        str(home),
        params.profile,
        params.weights,
        len(results),
        absent,
        tables.content or {},
        (page.content or {}).get("claims"),
        {"tables": tables.current, "report": page.current},
        tuple(_known(run) for run in reversed(runs[-_LAST_RUNS:])),
        tuple(_known(run) for run in alive),
        waiting,
        tuple(_steps(params.profile, absent, len(folders), tables, page, waiting)),
    )


def _results(folders: Sequence[Path], profile: str) -> Iterator[str]:
    """The digests of the evaluations of ``profile``; files that cannot be read are skipped."""
    for folder in folders:
        for path in folder.rglob(_SUMMARY):
            try:
                summary = read_mapping(path, limit=_SUMMARY_BYTES)
            except (DgunetError, OSError):
                continue
            if summary.get("profile") == profile:
                yield str(summary.get("per_image_sha256"))


def _tables(here: ProjectFolders, profile: str, results: Sequence[str]) -> _Written:
    """The counts in the written tables, whose seal is checked."""
    path = here.tables / _CELLS
    if not path.is_file():
        return _Written()
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["table", "source", "state", "verdict", "per_image_sha256", "tables_profile"]
    try:
        check_seal(here.tables, again="Make the tables again with `dgunet tables`.")
        # Not `read_table`, which imports pandas.
        cells = pq.ParquetFile(path).read(columns=names).to_pylist()
    except (DgunetError, OSError, ValueError, KeyError, pa.ArrowException) as error:
        return _Written(fault=f"the tables cannot be trusted: {_message(error)}")
    if any(cell["tables_profile"] != profile for cell in cells):
        return _Written(fault=f"the tables are not of the profile {profile}")
    ours = [cell for cell in cells if cell["source"] == line_of(profile)]
    counts = {
        f"Table {number}": {
            str(group): count
            for group, count in count_groups(
                (cell["verdict"], cell["state"]) for cell in ours if cell["table"] == number
            ).items()
        }
        for number in sorted({cell["table"] for cell in ours})
    }
    known = {cell["per_image_sha256"] for cell in ours}
    return _Written(counts, current=known >= set(results))


def _page(here: ProjectFolders, results: Sequence[str]) -> _Written:
    """What the last report says at its beginning, for programs; its seal is checked."""
    if not here.report.is_file():
        return _Written()
    try:
        check_page(here.report, again="Make it again with `dgunet report`.")
        text = read_bytes(here.report, limit=SEAL_BYTES).decode(errors="replace")
        if not (facts := _facts(text)):
            return _Written(fault="the report is of an earlier version, without claims")
        content = json.loads(facts)
        current = content["results"] == digest_of_results(results)
    except (DgunetError, OSError, ValueError, KeyError, TypeError) as error:
        return _Written(fault=f"the report cannot be used: {_message(error)}")
    return _Written(content, current=current)


def _facts(page: str) -> str:
    """The facts in the head of a report; "" without them."""
    found: list[str] = []

    class Head(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            if tag == "meta" and given.get("name") == "dgunet":
                found.append(given.get("content") or "")

    Head().feed(page.partition("<style>")[0])
    return found[0] if found else ""


def _message(error: Exception) -> str:
    return error.message if isinstance(error, DgunetError) else str(error) or type(error).__name__


def _steps(
    profile: str, absent: Sequence[str], wanted: int, tables: _Written, page: _Written, waiting: int
) -> Iterator[NextStep]:
    everything = "make reproduce" if profile == "sample" else "dvc repro"
    if len(absent) == wanted:
        yield NextStep("no network is evaluated yet", everything)
    elif absent:
        yield NextStep(f"{len(absent)} evaluations: {', '.join(absent)}", "dvc repro")
    if len(absent) < wanted:
        yield from _written_steps("tables", tables, "dgunet tables")
        yield from _written_steps("report", page, "dgunet report")
    if waiting:
        yield NextStep(f"{waiting} runs are not in MLflow", "dgunet tracking sync")
    if profile != "paper":
        yield NextStep(f"the paper's numbers: the profile is {profile}", PAPERS_DATA)


def _written_steps(name: str, found: _Written, command: str) -> Iterator[NextStep]:
    if found.fault:
        yield NextStep(found.fault, command)
    elif found.content is None:
        yield NextStep(f"no {name} yet", command)
    elif not found.current:
        verb = "ones are" if name == "tables" else "one is"
        yield NextStep(f"the {name} of the present evaluations; the written {verb} older", command)


def _known(run: RunInfo) -> KnownRun:
    stamp = run.journal
    begun = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]} {stamp[9:11]}:{stamp[11:13]} UTC"
    return KnownRun(run.name, run.stage, run.profile, run.status, begun)


def as_content(status: ProjectStatus) -> dict[str, Any]:
    """Everything, for a program."""
    return asdict(status)


def as_text(status: ProjectStatus) -> str:
    """One screen for the terminal."""
    lines = [f"project   {status.home}"]
    if status.profile != "none":
        lines += _known_lines(status)
    lines.append("next" if status.steps else "next      nothing is missing")
    for step in status.steps:
        lines += [f"  {step.missing}", f"      {step.command}"]
    return "\n".join(lines)


def _known_lines(status: ProjectStatus) -> Iterator[str]:
    sample = " (SAMPLE: not comparable with the paper)" if status.profile == "sample" else ""
    yield f"profile   {status.profile}, weights {status.weights}{sample}"
    yield f"results   {status.evaluations} evaluations"
    old = {
        name: " (older than the results)" for name, now in status.current.items() if now is False
    }
    if status.tables:
        yield f"cells{old.get('tables', '')}"
    for name, counts in status.tables.items():
        yield f"  {name}: {counts_text(counts)}"
    if status.claims is not None:
        total, later = sum(status.claims.values()), old.get("report", "")
        yield f"claims    of {total}: {counts_text(status.claims)}{later}"
    else:
        yield "claims    not judged for a report yet"
    for run in status.running:
        yield f"running   {run.name} ({run.profile}), since {run.begun}"
    for run in status.last:
        yield f"last      {run.name} ({run.profile}), {run.status}, begun {run.begun}"
