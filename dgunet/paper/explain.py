"""The provenance of one cell of a generated table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dgunet.system.errors import DgunetError


def explain_cell(cells: pd.DataFrame, table: int, row: str, column: str) -> dict[str, Any]:
    """Return all that is known about one cell: value, state, verdict and provenance.

    Args:
        cells: from :func:`dgunet.paper.written_tables.read_cells` or ``cells_frame``.
        table: 1 to 6.
        row: a row's label, such as "DGUNet+ (reproduced)".
        column: a column's label and its metric, such as "Rain100L PSNR"; the metric may be left
            out where the column has only one.

    Returns:
        The cell's record with None for what is missing; `dgunet.paper.cells.Cell` explains it.

    Raises:
        DgunetError: if there is no such table, row or column; the hint lists the valid names.
    """
    chosen = cells[cells["table"] == table]
    if chosen.empty:
        numbers = ", ".join(str(number) for number in cells["table"].unique())
        raise DgunetError(f"there is no table {table}.", f"The tables are {numbers}.")
    rows = list(dict.fromkeys(chosen["row"]))
    if row not in rows:
        raise DgunetError(f"Table {table} has no row {row!r}.", f"Its rows are {_listed(rows)}.")
    line = chosen[chosen["row"] == row]
    names = line["column"] + " " + line["metric"]
    if line["metric"].nunique() == 1 and column in set(line["column"]):
        names = line["column"]
    if column not in set(names):
        raise DgunetError(
            f"Table {table} has no column {column!r}.", f"Its columns are {_listed(list(names))}."
        )
    record = line[names == column].iloc[0]
    return {str(key): None if pd.isna(value) else _plain(value) for key, value in record.items()}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _listed(names: list[str]) -> str:
    return "; ".join(repr(name) for name in names)
