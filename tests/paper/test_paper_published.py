"""The published tables: complete, consistent with the paper's claims, and as printed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from dgunet.paper import published
from dgunet.paper.published import PublishedCell, PublishedTable
from dgunet.system.errors import DgunetError

RAIN_SETS = ("Test100", "Rain100H", "Rain100L", "Test2800", "Test1200")

# Printed averages that differ from the rounded average of the printed means. They were computed
# from unrounded means.
AVERAGES_OF_UNROUNDED_MEANS = {
    "PSNR": {"PreNet": ("29.426", "29.42"), "DGUNet+": ("33.452", "33.46")},
    "SSIM": {"RESCAN": ("0.8576", "0.857")},
}

# (table, row, column, metric) where the printed bold and underline do not follow the order of the
# printed values: (expected rank, printed rank). Each is a tie with an underlined value, except the
# four settings of Table 4 whose second-best value is not marked in the paper, and Tables 5 and 6,
# which mark only the best.
RANKS_AGAINST_ORDER = {
    (1, "MPRNet", "Test2800", "SSIM"): ("second", ""),
    (1, "MSPFN", "Test1200", "SSIM"): ("second", ""),
    (1, "MPRNet", "Test1200", "SSIM"): ("second", ""),
    (2, "MPRNet", "HIDE", "PSNR"): ("second", ""),
    (3, "MIRNet", "SIDD", "SSIM"): ("second", ""),
    (3, "MIRNet", "DND", "SSIM"): ("second", ""),
    (3, "CycleISP", "DND", "SSIM"): ("second", ""),
    (4, "Set11 4%", "DGUNet+", "PSNR"): ("second", ""),
    (4, "Set11 4%", "DGUNet+", "SSIM"): ("second", ""),
    (4, "Set11 10%", "DGUNet+", "PSNR"): ("second", ""),
    (4, "Set11 10%", "DGUNet+", "SSIM"): ("second", ""),
    (4, "BSD68 4%", "DGUNet+", "PSNR"): ("second", ""),
    (4, "BSD68 4%", "DGUNet+", "SSIM"): ("second", ""),
    (4, "BSD68 10%", "DGUNet+", "PSNR"): ("second", ""),
    (4, "BSD68 10%", "DGUNet+", "SSIM"): ("second", ""),
    (5, "PSNR", "7 stages, 3 scales", "PSNR"): ("second", ""),
    (6, "PSNR", "w/o SP", "PSNR"): ("second", ""),
}


@pytest.mark.parametrize(
    ("number", "rows", "columns", "values"),
    [(1, 10, 6, 120), (2, 18, 2, 72), (3, 15, 2, 60), (4, 10, 7, 140), (5, 1, 6, 6), (6, 1, 4, 4)],
)
def test_each_published_table_is_complete(
    number: int, rows: int, columns: int, values: int
) -> None:
    table = published.table(number)
    assert (len(table.rows), len(table.columns), len(table.cells)) == (rows, columns, values)
    assert set(table.cells) == {
        (row, column, metric)
        for row in table.rows
        for column in table.columns
        for metric in table.metrics
    }


def test_printed_values_have_the_decimals_of_the_paper() -> None:
    for table in published.tables():
        for cell in table.cells.values():
            if cell.printed == "-":
                assert cell.value is None
            else:
                assert len(cell.printed.partition(".")[2]) == table.decimals[cell.metric], cell


@pytest.mark.parametrize("metric", ["PSNR", "SSIM"])
def test_averages_of_table_1_agree_with_its_columns(metric: str) -> None:
    table = published.table(1)
    half = Decimal("0.005") if metric == "PSNR" else Decimal("0.0005")
    off = {}
    for row in table.rows:
        mean = sum(Decimal(table.cell(row, name, metric).printed) for name in RAIN_SETS) / 5
        printed = Decimal(table.cell(row, "Average", metric).printed)
        # Rounding changes the means, and so their average, by at most half a unit each; so does
        # rounding the average.
        assert abs(mean - printed) <= 2 * half
        if abs(mean - printed) > half:
            off[row] = (str(mean), str(printed))
    assert off == AVERAGES_OF_UNROUNDED_MEANS[metric]


@pytest.mark.parametrize(
    ("claimed", "number", "ours", "other"),
    [
        ("1.85", 1, ("DGUNet+", "Rain100L"), ("MPRNet", "Rain100L")),
        ("0.65", 1, ("DGUNet+", "Rain100H"), ("MPRNet", "Rain100H")),
        ("0.73", 1, ("DGUNet+", "Average"), ("MPRNet", "Average")),
        ("0.51", 2, ("DGUNet+", "GoPro"), ("MPRNet", "GoPro")),
        ("0.44", 2, ("DGUNet+", "HIDE"), ("MPRNet", "HIDE")),
        ("0.32", 3, ("DGUNet+", "DND"), ("MPRNet", "DND")),
        ("0.20", 3, ("DGUNet+", "SIDD"), ("MPRNet", "SIDD")),
        ("2.00", 4, ("Set11 1%", "DGUNet+"), ("Set11 1%", "OPINENet+")),
        ("0.55", 6, ("PSNR", "DGUNet+"), ("PSNR", "w/o FGDM")),
    ],
)
def test_gains_claimed_in_the_text_agree_with_the_cells(
    claimed: str, number: int, ours: tuple[str, str], other: tuple[str, str]
) -> None:
    table = published.table(number)
    gain = Decimal(table.cell(*ours).printed) - Decimal(table.cell(*other).printed)
    assert gain == Decimal(claimed)


def test_the_full_network_has_the_same_value_in_three_tables() -> None:
    printed = {
        published.table(1).cell("DGUNet+", "Rain100H").printed,
        published.table(5).cell("PSNR", "7 stages, 3 scales").printed,
        published.table(6).cell("PSNR", "DGUNet+").printed,
    }
    assert printed == {"31.06"}


def test_bold_and_underline_follow_the_order_except_for_known_cells() -> None:
    off = {}
    for table in published.tables():
        for group in _compared(table):
            values = sorted({cell.value for cell in group if cell.value is not None}, reverse=True)
            for cell in group:
                due = {values[0]: "best", values[1]: "second"}.get(cell.value or 0.0, "")
                if cell.rank != due:
                    off[table.number, cell.row, cell.column, cell.metric] = (due, cell.rank)
    assert off == RANKS_AGAINST_ORDER


def test_every_method_of_other_authors_has_a_citation() -> None:
    for table in published.tables():
        for row, column, metric in table.cells:
            reference = table.cell(row, column, metric).reference
            method = row if table.methods == "rows" else column
            authors_own = method.startswith("DGUNet") or table.methods == "none"
            assert (reference is None) == authors_own, (table.number, row, column)


def test_unknown_tables_and_cells_are_refused_with_the_valid_names() -> None:
    with pytest.raises(DgunetError, match="no Table 7"):
        published.table(7)
    with pytest.raises(DgunetError, match=r"'Rain1OOL'.*Test100, Rain100H, Rain100L"):
        published.table(1).cell("DGUNet", "Rain1OOL")


def _compared(table: PublishedTable) -> Iterator[list[PublishedCell]]:
    """Yield the groups of values that the paper ranks against each other."""
    for metric in table.metrics:
        if table.methods == "rows":
            for column in table.columns:
                yield [table.cell(row, column, metric) for row in table.rows]
        else:
            for row in table.rows:
                yield [table.cell(row, column, metric) for column in table.columns]
