"""The images of the report, from the restored images that the evaluations kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from math import isinf
from pathlib import Path

import numpy as np
from PIL import Image

from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.records import PairRecord
from dgunet.evaluation.kept_images import Rank, kept_image_path, ranked_images
from dgunet.evaluation.rows import Row
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.imaging.arrays import Array
from dgunet.paper.report_images import Figure, FigureGroup, Panel, centre_crop
from dgunet.project import ProjectFolders
from dgunet.steps.report_stages import stage_groups
from dgunet.steps.tables import CheckedResult
from dgunet.terms import ABLATIONS, TABLES, check_task


def report_figures(results: Iterable[CheckedResult], project: ProjectFolders) -> list[FigureGroup]:
    """The best, median and worst image of each evaluation of Tables 1 to 4, and the stages.

    Images come from ``project``'s prepared sets. What is not at hand is named in the notes of its
    group; see `stage_groups` for the stages.
    """
    found: list[CheckedResult] = []
    for _, same_set in groupby(results, key=lambda each: (each[1].dataset, each[1].row)):
        found += sorted(same_set, key=lambda each: each[1].ratio or 0)
    wanted = [each for each in found if each[1].row not in ABLATIONS]
    return [*(_group(*each, project) for each in wanted), *stage_groups(wanted, project)]


def _group(
    result: Path, summary: EvaluationSummary, rows: list[Row], project: ProjectFolders
) -> FigureGroup:
    """The figures of one evaluation, or why there are none."""
    group = FigureGroup(
        TABLES[check_task(summary.task)], summary.name, source=summary.per_image_sha256
    )
    kept = [i for i, row in enumerate(rows) if kept_image_path(result, row.id).is_file()]
    if not kept:
        kept_none = "This evaluation kept no image (evaluate.keep_images in params.yaml)."
        return replace(group, notes=(kept_none,))
    store = project.store(summary.dataset)
    if not (store / "manifest.json").is_file():
        missing = f"{project.shown(store)} is missing, which has the true images."
        return replace(group, notes=(missing,))
    pairs = PairStore.open(store)
    if pairs.manifest.digest != summary.data_digest:
        other = f"{project.shown(store)} has other images than were evaluated."
        return replace(group, notes=(other,))
    titles, notes = _titles(rows, kept)
    figures = (_figure(title, pairs[i], rows[i], result, summary) for i, title in titles.items())
    return replace(group, figures=tuple(figures), notes=notes)


def _titles(rows: Sequence[Row], kept: Sequence[int]) -> tuple[dict[int, str], tuple[str, ...]]:
    """Index and title of the images to show, and sentences about those that were not kept."""
    ranks: dict[int, list[Rank]] = {}
    for rank, index in ranked_images([row.psnr for row in rows]).items():
        ranks.setdefault(index, []).append(rank)
    titles, notes = {}, []
    for index, names in ranks.items():
        name = " and ".join(names)
        if index in kept:
            titles[index] = f"{name}: image {rows[index].id}"
        else:
            again = "a new evaluation keeps it"
            notes.append(f"The {name} image, {rows[index].id}, was not kept; {again}.")
    return titles or {kept[0]: f"first: image {rows[kept[0]].id}"}, tuple(notes)


def _figure(
    title: str, record: PairRecord, row: Row, result: Path, summary: EvaluationSummary
) -> Figure:
    with Image.open(kept_image_path(result, row.id)) as file:
        restored = np.asarray(file)
    images: dict[str, Array | None] = {
        "degraded": record.input,
        summary.row: restored,
        "true": record.target,
    }
    values = (
        ("PSNR", _decibel(row.psnr)),
        ("degraded PSNR", _decibel(row.input_psnr)),
        ("SSIM", "" if row.ssim is None else f"{row.ssim:.4f}"),
    )
    return Figure(
        title,
        tuple(Panel(name, centre_crop(i)) for name, i in images.items() if i is not None),
        tuple((name, value) for name, value in values if value),
    )


def _decibel(psnr: float | None) -> str:
    if psnr is None:
        return ""
    return "infinite" if isinf(psnr) else f"{psnr:.2f} dB"
