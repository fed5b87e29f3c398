"""The files of verdicts and twins next to the tables; the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tabulate import tabulate

from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.twins import Twin
from dgunet.paper.verdict_lines import HEADS, headline, judged_cells, number, verdict_lines
from dgunet.system.files import atomic_path, sha256_file, write_text

TWIN_SCHEMA = pa.schema(
    [
        ("table", pa.int32()),
        ("row", pa.string()),
        ("column", pa.string()),
        ("metric", pa.string()),
        ("state", pa.string()),
        ("note", pa.string()),
        ("training_sets", pa.string()),
        ("weights", pa.string()),
        ("images", pa.int64()),
        ("seen", pa.int64()),
        ("value", pa.float64()),
        ("corrected", pa.float64()),
        ("change", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("confidence", pa.float64()),
        ("data_digest", pa.string()),
        ("checkpoint_sha256", pa.string()),
    ]
)
"""Columns of ``twins.parquet``; `dgunet.paper.twins.Twin` explains them."""

TWIN_HEADS = (
    "table",
    "row",
    "column",
    "metric",
    "images",
    "seen",
    "value",
    "without_seen",
    "change",
    "interval_low",
    "interval_high",
    "state",
    "training_sets",
    "note",
)

Files = dict[str, dict[str, str]]
"""Name and SHA-256 of each file by its kind."""


def write_verdicts(tables: Sequence[GeneratedTable], out: Path) -> Files:
    """Write ``verdicts.csv`` and ``verdicts.md``: one line for each of our cells."""
    lines = verdict_lines(judged_cells(tables))
    intro = (
        f"**Verdicts on our cells**\n\n{_stamp(tables)}\n\n{headline(tables)}.\n\n"
        "The difference is ours minus the paper's. The interval is the interval of our "
        "mean over the images; it decides nothing.\n\n"
    )
    return _write_both("verdicts", HEADS, lines, intro, tables, out)


def write_twins(twins: Sequence[Twin], tables: Sequence[GeneratedTable], out: Path) -> Files:
    """Write ``twins.csv``, ``twins.md`` and, in full precision, ``twins.parquet``."""
    intro = (
        f"**Leak-corrected twins of our cells**\n\n{_stamp(tables)}\n\n"
        "The mean without the test images that the row's training set has; the change is this mean "
        "minus the mean of all images, with its interval.\n\n"
    )
    written = _write_both("twins", TWIN_HEADS, twin_lines(twins), intro, tables, out)
    path = out / "twins.parquet"
    table = pa.Table.from_pylist([twin.record() for twin in twins], schema=TWIN_SCHEMA)
    with atomic_path(path) as temporary:
        pq.write_table(
            table.replace_schema_metadata({"profile": _profile(tables)}),
            temporary,
            compression="zstd",
        )
    return written | {"parquet": _file(path)}


def twin_lines(twins: Sequence[Twin]) -> list[dict[str, str]]:
    """One line of texts for each twin, under `TWIN_HEADS`; values with four decimals."""
    return [
        dict(
            zip(
                TWIN_HEADS,
                (
                    str(twin.table),
                    twin.row,
                    twin.column,
                    twin.metric,
                    number(twin.images, "d"),
                    number(twin.seen, "d"),
                    number(twin.value),
                    number(twin.corrected),
                    number(twin.change, "+.4f"),
                    number(twin.low, "+.4f"),
                    number(twin.high, "+.4f"),
                    twin.state,
                    twin.training_sets or "",
                    twin.note,
                ),
                strict=True,
            )
        )
        for twin in twins
    ]


def _write_both(
    stem: str,
    heads: Sequence[str],
    lines: Sequence[Mapping[str, str]],
    intro: str,
    tables: Sequence[GeneratedTable],
    out: Path,
) -> Files:
    digests = {str(table.number): table.data_digest for table in tables}
    stamped = [
        {**line, "profile": _profile(tables), "data_digest": digests[line["table"]]}
        for line in lines
    ]
    frame = pd.DataFrame(stamped, columns=[*heads, "profile", "data_digest"], dtype="object")
    csv, markdown = out / f"{stem}.csv", out / f"{stem}.md"
    write_text(csv, frame.to_csv(index=False, lineterminator="\n"))
    body = [[line[head] for head in heads] for line in lines]
    names = [head.replace("_", " ") for head in heads]
    grid = tabulate(body, headers=names, tablefmt="github", disable_numparse=True)
    write_text(markdown, f"{intro}{grid}\n")
    return {"csv": _file(csv), "md": _file(markdown)}


def _file(path: Path) -> dict[str, str]:
    return {"path": path.name, "sha256": sha256_file(path)}


def _profile(tables: Sequence[GeneratedTable]) -> str:
    return ",".join(sorted({table.profile for table in tables}))


def _stamp(tables: Sequence[GeneratedTable]) -> str:
    notice = next((f" {table.notice}." for table in tables if table.notice), "")
    return f"Profile: {_profile(tables)}.{notice}"
