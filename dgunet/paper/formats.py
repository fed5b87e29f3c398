"""The tables as CSV, Markdown, LaTeX and Parquet; the same tables give the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tabulate import tabulate

from dgunet.paper.cells import Cell
from dgunet.paper.generated_table import SAMPLE_NOTICE, GeneratedTable, Heading, shown
from dgunet.paper.twins import Twin
from dgunet.paper.verdict_files import write_twins, write_verdicts
from dgunet.paper.verdict_lines import count_verdicts, headline
from dgunet.paper.written_tables import CELLS, INDEX, SCHEMA, as_frame, listed_digests
from dgunet.system.files import atomic_path, sha256_file, sha256_json, write_json, write_text
from dgunet.system.seals import write_seal

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


def write_tables(tables: Sequence[GeneratedTable], out: Path, twins: Sequence[Twin] = ()) -> Path:
    """Write every table in every format, ``cells.parquet`` with all cells, and ``index.json``.

    Also writes the verdicts (CSV and Markdown), the twins (and Parquet), and the seal.

    Args:
        tables: as :func:`dgunet.paper.table_building.build_tables` returns them.
        twins: as :func:`dgunet.paper.twins.build_twins` returns them.
        out: the folder, created if missing; files of these names are replaced.

    Returns:
        The path of ``index.json``, which lists all files with their SHA-256.

    Raises:
        DgunetError: if the folder cannot be written to.
    """
    entries = []
    for table in tables:
        stem = f"table{table.number}"
        write_text(out / f"{stem}.csv", table.frame().to_csv(index=False, lineterminator="\n"))
        write_text(out / f"{stem}.md", to_markdown(table))
        write_text(out / f"{stem}.tex", to_latex(table))
        _write_parquet([table], out / f"{stem}.parquet")
        files = {kind: f"{stem}.{kind}" for kind in ("csv", "md", "tex", "parquet")}
        entries.append(_entry(table, files, out))
    _write_parquet(tables, out / CELLS)
    further = {
        "verdicts": {
            "counts": dict(count_verdicts(tables)),
            "files": write_verdicts(tables, out),
        },
        "twins": {
            "counts": dict(sorted(Counter(twin.state for twin in twins).items())),
            "files": write_twins(twins, tables, out),
        },
    }
    write_json(out / INDEX, _index(tables, entries, out) | further)
    listed = listed_digests(out)
    write_seal(out, [INDEX], known=listed)
    return out / INDEX


def cells_frame(tables: Sequence[GeneratedTable]) -> pd.DataFrame:
    """The cells of ``tables`` as :func:`dgunet.paper.written_tables.read_cells` returns them."""
    return as_frame(_arrow(tables))


def to_markdown(table: GeneratedTable) -> str:
    """The wide table in Markdown, under its title, profile, data digest and caption."""
    heads = [table.corner, *(heading.flat for heading in table.headings())]
    lines = [
        [row, *(_markdown(table.at(row, heading)) for heading in table.headings())]
        for row in table.rows
    ]
    grid = tabulate(lines, headers=heads, tablefmt="github", disable_numparse=True)
    stamp = f"Profile: {table.profile}. Data digest: `{table.data_digest}`."
    verdicts = f"Verdicts on our cells: {headline([table])}."
    notes = "".join(f"\n{note}\n" for note in (verdicts, *(f"Note: {n}" for n in table.notes)))
    return f"**{table.heading}**\n\n{table.caption}\n\n{stamp}\n\n{grid}\n{notes}"


def to_latex(table: GeneratedTable) -> str:
    """The wide table in LaTeX, for a document that loads the package booktabs."""
    headings = table.headings()
    lines = [
        [latex_escape(row), *(_latex(table.at(row, heading)) for heading in headings)]
        for row in table.rows
    ]
    body = pd.DataFrame(lines, columns=_latex_heads(table, headings))
    caption = f"{table.caption} Profile: {table.profile}; data digest {table.data_digest[:12]}."
    if table.notice:
        caption = f"{table.notice}. {caption}"
    text = body.to_latex(
        index=False,
        escape=False,
        caption=latex_escape(caption),
        label=f"tab:dgunet-{table.number}",
        column_format="l" + "c" * len(headings),
        multicolumn_format="c",
    )
    return f"% {table.heading}\n% profile: {table.profile}; data: {table.data_digest}\n{text}"


def latex_escape(text: str) -> str:
    """Escape every character of ``text`` that LaTeX would interpret."""
    return text.translate(_LATEX)


def _latex_heads(table: GeneratedTable, headings: list[Heading]) -> pd.Index[Any]:
    if len(table.metrics) == 1 or table.joined:
        return pd.Index(latex_escape(text) for text in [table.corner, *(h.top for h in headings)])
    pairs = [("", latex_escape(table.corner))]
    pairs += [(latex_escape(h.top), h.bottom) for h in headings]
    return pd.MultiIndex.from_tuples(pairs)


def _markdown(cells: list[Cell]) -> str:
    return _ranked(shown(cells), cells[0].rank, "**{}**", "<u>{}</u>")


def _latex(cells: list[Cell]) -> str:
    return _ranked(latex_escape(shown(cells)), cells[0].rank, "\\textbf{{{}}}", "\\underline{{{}}}")


def _ranked(text: str, rank: str, best: str, second: str) -> str:
    return {"best": best, "second": second}.get(rank, "{}").format(text)


def _arrow(tables: Sequence[GeneratedTable]) -> pa.Table:
    records = [record for table in tables for record in table.records()]
    profiles = sorted({table.profile for table in tables})
    stamp = {"profile": ",".join(profiles), "data_digest": _digest(tables)}
    if "sample" in profiles:
        stamp["notice"] = SAMPLE_NOTICE
    return pa.Table.from_pylist(records, schema=SCHEMA.with_metadata(stamp))


def _write_parquet(tables: Sequence[GeneratedTable], path: Path) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(_arrow(tables), temporary, compression="zstd")


def _digest(tables: Sequence[GeneratedTable]) -> str:
    if len(tables) == 1:
        return tables[0].data_digest
    return sha256_json({str(table.number): table.data_digest for table in tables})


def _entry(table: GeneratedTable, files: dict[str, str], out: Path) -> dict[str, Any]:
    states = Counter(cell.state for cell in table.cells.values() if cell.source != "published")
    return {
        "number": table.number,
        "title": table.heading,
        "data_digest": table.data_digest,
        "our_cells": dict(sorted(states.items())),
        "files": {
            kind: {"path": name, "sha256": sha256_file(out / name)} for kind, name in files.items()
        },
    }


def _index(
    tables: Sequence[GeneratedTable], entries: list[dict[str, Any]], out: Path
) -> dict[str, Any]:
    return {
        "profile": ",".join(sorted({table.profile for table in tables})),
        "notice": next((table.notice for table in tables if table.notice), ""),
        "data_digest": _digest(tables),
        "tables": entries,
        "cells": {"path": CELLS, "sha256": sha256_file(out / CELLS)},
    }
