"""The paper's printed values for one training, for comparison with a new one."""

from __future__ import annotations

from dgunet.paper import published
from dgunet.paper.cell_positions import AVERAGE, slots


def expected(task: str, variant: str, ratio: int | None = None) -> dict[str, str]:
    """Return PSNR in dB by test set as Tables 1 to 4 print it, without averages and empty cells.

    ``task`` is one of derain, deblur, denoise, cs; ``ratio`` is in percent, for cs only.
    """
    table = published.table({"derain": 1, "deblur": 2, "denoise": 3, "cs": 4}[task])
    return {
        slot.datasets[0]: cell.printed
        for slot in slots(table, "published")
        if (slot.key, slot.ratio) == (variant, ratio) and slot.paper_column != AVERAGE
        if (cell := table.cells.get((slot.paper_row, slot.paper_column, "PSNR"))) is not None
        and cell.value is not None
    }
