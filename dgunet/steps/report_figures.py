"""The images of the report, from the restored images that the evaluations kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.kept_images import kept_image_path
from dgunet.evaluation.rows import Row
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.paper.report_images import Figure, Panel, centre_crop
from dgunet.project import ProjectFolders
from dgunet.steps.tables import CheckedResult
from dgunet.terms import ABLATIONS, TABLES, check_task


def report_figures(results: Iterable[CheckedResult], project: ProjectFolders) -> list[Figure]:
    """The first kept image of each evaluation of Tables 1 to 4, as crops; ratios in order.

    An evaluation without kept images, or whose prepared set is not in ``project``, has no figure.
    """
    figures: list[Figure] = []
    for _, same_set in groupby(results, key=lambda each: (each[1].dataset, each[1].row)):
        for folder, summary, rows in sorted(same_set, key=lambda each: each[1].ratio or 0):
            if summary.row not in ABLATIONS:
                figures += _figure(folder, summary, rows, project.store(summary.dataset))
    return figures


def _figure(
    result: Path, summary: EvaluationSummary, rows: list[Row], store: Path
) -> Iterator[Figure]:
    """The figure of one evaluation, if there is one."""
    kept = [i for i, row in enumerate(rows) if kept_image_path(result, row.id).is_file()]
    if not kept or not (store / "manifest.json").is_file():
        return
    pairs = PairStore.open(store)
    if pairs.manifest.digest != summary.data_digest:
        return
    row, record = rows[kept[0]], pairs[kept[0]]
    with Image.open(kept_image_path(result, row.id)) as file:
        restored = np.asarray(file)
    ratio = "" if summary.ratio is None else f" {summary.ratio} %"
    images = {
        f"degraded{_decibel(row.input_psnr)}": record.input,
        f"{summary.row}{_decibel(row.psnr)}": restored,
        "true": record.target,
    }
    yield Figure(
        TABLES[check_task(summary.task)],
        f"{summary.dataset}{ratio}, image {row.id}",
        tuple(Panel(name, centre_crop(i)) for name, i in images.items() if i is not None),
    )


def _decibel(psnr: float | None) -> str:
    return "" if psnr is None else f", {psnr:.2f} dB"
