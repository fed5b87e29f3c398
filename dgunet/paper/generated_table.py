"""A generated table: the cells, their order, and the wide view as in the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from dgunet.paper.cells import Cell
from dgunet.paper.published import CellKey

SAMPLE_NOTICE = "SAMPLE PROFILE - not comparable with the paper"


@dataclass(frozen=True)
class Heading:
    """One column of the wide view: its two lines of heading and the (column, metric) it shows."""

    top: str
    bottom: str
    parts: tuple[tuple[str, str], ...]

    @property
    def flat(self) -> str:
        """Both lines in one, such as "Rain100L PSNR"."""
        return f"{self.top} {self.bottom}".strip()


@dataclass(frozen=True)
class GeneratedTable:
    """One of the six tables, with the published values and ours.

    Attributes:
        number: 1 to 6.
        title: what it is about.
        caption: the paper's caption.
        corner: heading of the first column.
        profile: "sample" or "paper".
        data_digest: one SHA-256 over the data behind this table's values, "none" without any.
        notes: explanations of the values.
        rows, columns, metrics: labels in order.
        cells: every cell by row, column and metric.
        joined: whether one column shows "PSNR/SSIM", as Table 4 does.
    """

    number: int
    title: str
    caption: str
    corner: str
    profile: str
    data_digest: str
    notes: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    cells: dict[CellKey, Cell]
    joined: bool

    @property
    def notice(self) -> str:
        """The warning that a sample table carries everywhere; empty for the paper profile."""
        return SAMPLE_NOTICE if self.profile == "sample" else ""

    @property
    def heading(self) -> str:
        """Number, title and, in the sample profile, the warning."""
        return f"Table {self.number}: {self.title}" + (f" ({self.notice})" if self.notice else "")

    def headings(self) -> list[Heading]:
        """The columns of the wide view, left to right."""
        if self.joined:
            both = "/".join(self.metrics)
            return [Heading(c, both, tuple((c, m) for m in self.metrics)) for c in self.columns]
        single = len(self.metrics) == 1
        return [
            Heading(column, "" if single else metric, ((column, metric),))
            for column in self.columns
            for metric in self.metrics
        ]

    def at(self, row: str, heading: Heading) -> list[Cell]:
        """The cells at one position of the wide view: one, or PSNR and SSIM joined."""
        return [self.cells[row, column, metric] for column, metric in heading.parts]

    def frame(self) -> pd.DataFrame:
        """The wide table as strings, one line per row.

        The last three columns are the stamp of every line: profile, data_digest, title.
        """
        lines = [
            {self.corner: row} | {h.flat: shown(self.at(row, h)) for h in self.headings()}
            for row in self.rows
        ]
        stamp = {"profile": self.profile, "data_digest": self.data_digest, "title": self.heading}
        return pd.DataFrame([line | stamp for line in lines], dtype="object")

    def records(self) -> list[dict[str, Any]]:
        """One flat record per cell with provenance and stamp, in the table's order."""
        stamp = {
            "tables_profile": self.profile,
            "tables_data_digest": self.data_digest,
            "title": self.heading,
        }
        return [cell.record() | stamp for cell in self.cells.values()]


def shown(cells: list[Cell]) -> str:
    """The text of one position; equal texts of a pair without values are shown once."""
    texts = [cell.shown for cell in cells]
    return texts[0] if len(set(texts)) == 1 and cells[0].value is None else "/".join(texts)
