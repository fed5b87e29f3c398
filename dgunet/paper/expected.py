"""The paper's printed values for one of its trainings, to compare a new training with."""

from __future__ import annotations

from dgunet.paper import published
from dgunet.paper.cell_positions import AVERAGE, slots


def expected(task: str, variant: str, ratio: int | None = None) -> dict[str, str]:
    """PSNR in dB by test set, as printed, of Tables 1-4; averages and empty cells left out.

    ``task`` is one of derain, deblur, denoise, cs; ``ratio`` in percent for cs.
    """
    table = published.table({"derain": 1, "deblur": 2, "denoise": 3, "cs": 4}[task])
    return {
        slot.datasets[0]: cell.printed
        for slot in slots(table, "published")
        if (slot.key, slot.ratio) == (variant, ratio) and slot.paper_column != AVERAGE
        if (cell := table.cells.get((slot.paper_row, slot.paper_column, "PSNR"))) is not None
        and cell.value is not None
    }
