"""Every published value against the text of the paper, read independently of the data files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dgunet.paper import published

pytestmark = pytest.mark.benchmarks_data

NAME = "000_6d5388d34ce4525a.txt"
Printed = dict[tuple[str, str, str], tuple[str, str]]


@pytest.fixture(scope="module")
def text() -> str:
    root = os.environ.get("DGUNET_BENCHMARKS")
    if not root:
        pytest.skip("DGUNET_BENCHMARKS is not set: the paper's text is not available")
    path = Path(root).parent / "paper" / NAME
    if not path.is_file():
        pytest.skip(f"the paper's text is not at {path}")
    return path.read_text(encoding="utf-8")


def grid(text: str, number: int) -> list[list[str]]:
    """The tab-separated lines between the caption of a table and the next empty line."""
    after = text.split(f"\nTable {number}. ", 1)[1]
    block = after.split("\n\n", 2)[1]
    return [line.split("\t") for line in block.split("\n")]


def unmarked(text: str) -> str:
    plain = re.sub(r"</?(?:b|u)>", "", text).replace(" <sup>+</sup>", "+")
    return plain.replace("(Ours)", "").strip()


def rank(text: str) -> str:
    return {"<b>": "best", "<u>": "second"}.get(text[:3], "")


def cited(text: str) -> tuple[str, int | None]:
    name, bracket, number = unmarked(text).partition(" [")
    return name, int(number.rstrip("]")) if bracket else None


def stored(number: int) -> Printed:
    cells = published.table(number).cells
    return {key: (cell.printed, cell.rank) for key, cell in cells.items()}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_tables_with_methods_in_rows(text: str, number: int) -> None:
    heads, metrics, *lines = grid(text, number)
    sets = [cited(head) for head in heads[1:] if head]
    names = [name for name, _ in sets for _ in range(2)]
    printed: Printed = {}
    references = {}
    for first, *values in lines:
        method, references[method] = cited(first)[0], cited(first)[1]
        assert len(values) == len(names)
        for name, metric, value in zip(names, metrics[1:], values, strict=True):
            printed[method, name, metric.rstrip("↑")] = (unmarked(value), rank(value))
    assert stored(number) == printed
    table = published.table(number)
    assert {row: table.cell(row, table.columns[0]).reference for row in table.rows} == references
    assert table.citations == {name: citation for name, citation in sets if citation}


def test_table_4(text: str) -> None:
    heads, *lines = grid(text, 4)
    methods = [cited(head) for head in heads[2:]]
    printed: Printed = {}
    dataset = ""
    for name, ratio, *values in lines:
        dataset = name or dataset
        for (method, _), value in zip(methods, values, strict=True):
            psnr, ssim = unmarked(value).split("/")
            printed[f"{dataset} {ratio}", method, "PSNR"] = (psnr, rank(value))
            printed[f"{dataset} {ratio}", method, "SSIM"] = (ssim, rank(value))
    assert stored(4) == printed
    table = published.table(4)
    for method, reference in methods:
        assert {table.cell(row, method).reference for row in table.rows} == {reference}


def test_table_5_holds_the_printed_values_in_the_printed_order(text: str) -> None:
    stages, scales, *psnr = grid(text, 5)
    values = [value for line in psnr for value in line[1:] if value]
    cells = list(published.table(5).cells.values())
    assert [(cell.printed, cell.rank) for cell in cells] == [(unmarked(v), rank(v)) for v in values]
    # The table does not print the settings of each value; check that they are consistent with it.
    settings = [tuple(int(n) for n in re.findall(r"\d+", cell.column)) for cell in cells]
    assert [s for s, _ in settings[:4]] == [int(s) for s in stages[1:]]
    assert {c for _, c in settings} == {int(c) for c in scales[1:]}
    assert "we employ seven stages" in text


def test_table_6(text: str) -> None:
    modes, psnr = grid(text, 6)
    assert stored(6) == {
        ("PSNR", unmarked(mode), psnr[0]): (unmarked(value), rank(value))
        for mode, value in zip(modes[1:], psnr[1:], strict=True)
    }


@pytest.mark.parametrize("number", published.NUMBERS)
def test_captions(text: str, number: int) -> None:
    printed = next(line for line in text.splitlines() if line.startswith(f"Table {number}. "))
    assert published.table(number).caption == printed.split(". ", 1)[1].replace("*", "")
