"""The estimate of the networks after each stage, for one test image of each task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from dgunet.config import load_params
from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.kept_images import ranked_images
from dgunet.evaluation.restoration import to_tensor
from dgunet.evaluation.rows import Row
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.imaging.arrays import Array
from dgunet.imaging.colour import opencv_luma
from dgunet.imaging.strips import as_rgb8
from dgunet.network import DGUNet, load_network
from dgunet.network.devices import thread_count
from dgunet.network.introspect import to_uint8
from dgunet.network.kernels import kernels
from dgunet.paper.report_images import Figure, FigureGroup, Panel, centre
from dgunet.project import ProjectFolders, model_key
from dgunet.steps.tables import CheckedResult
from dgunet.system.files import sha256_file
from dgunet.terms import TABLES, check_task

SIDE = 128
"""Side in pixels of the crop: a network of full size restores it on one CPU core in seconds."""

RATIO = 10
"""Ratio in percent whose network is shown first; at 1 % little is seen before the last stage."""


def stage_groups(
    results: Iterable[CheckedResult], project: ProjectFolders
) -> Iterator[FigureGroup]:
    """Yield x_hat^1 ... x_hat^K of one image for each task: a group with one figure.

    The image is the one with the median PSNR of the first result whose prepared set and weights are
    in ``project``, or the first image of a set without scores; of compressive sensing, results at
    `RATIO` are the first. If no result of a task has both, the group has no figure, and a note that
    names the missing file of the first result.
    """
    by_task = sorted(
        results,
        key=lambda each: (TABLES[check_task(each[1].task)], abs((each[1].ratio or RATIO) - RATIO)),
    )
    for task, same_task in groupby(by_task, key=lambda each: check_task(each[1].task)):
        lacking: list[str] = []
        for _, summary, rows in same_task:
            reason = _lack(summary, project)
            if not reason:
                yield _group(summary, rows, project)
                break
            lacking.append(f"The estimates after each stage are not shown: {reason}.")
        else:
            yield FigureGroup(TABLES[task], "Stages", notes=(lacking[0],))


def _lack(summary: EvaluationSummary, project: ProjectFolders) -> str:
    """What is not at hand for the stages of a result; "" if all is."""
    manifest, weights = project.store(summary.dataset) / "manifest.json", _weights(summary, project)
    for path in (manifest, weights):
        if not path.is_file():
            return f"{project.shown(path)} is missing"
    if PairStore.open(manifest.parent).manifest.digest != summary.data_digest:
        return f"{project.shown(manifest.parent)} has other images than were evaluated"
    if sha256_file(weights) != summary.checkpoint_sha256:
        return f"{project.shown(weights)} has other weights than were evaluated"
    return ""


def _weights(summary: EvaluationSummary, project: ProjectFolders) -> Path:
    key = model_key(summary.task, summary.variant, summary.ratio)
    return project.model(key) / "network.safetensors"


def _group(summary: EvaluationSummary, rows: list[Row], project: ProjectFolders) -> FigureGroup:
    index = ranked_images([row.psnr for row in rows]).get("median", 0)
    record = PairStore.open(project.store(summary.dataset))[index]
    settings = load_params(project.params).evaluation
    with kernels(settings.kernels), thread_count(settings.threads):
        network, _ = load_network(_weights(summary, project))
        panels = _panels(network, record.input, record.target)
    title = f"{summary.name}: the estimate after each of the {network.config.stages} stages"
    figure = Figure(f"image {rows[index].id}", panels, stages=True)
    note = f"Of the {SIDE}x{SIDE} pixels in its centre, restored as an image of their own."
    return FigureGroup(TABLES[check_task(summary.task)], title, (figure,), (note,))


def _panels(network: DGUNet, degraded: Array | None, target: Array | None) -> tuple[Panel, ...]:
    """What the network starts from, x_hat^k of every stage, and the true image."""
    sampled = network.operator is not None
    given = opencv_luma(np.asarray(target)) if sampled else np.asarray(degraded)
    y = to_tensor(np.ascontiguousarray(centre(given, SIDE)))
    with torch.inference_mode():
        start = y
        if network.operator is not None:
            start = network.operator.adjoint(network.measure(y))[..., : y.shape[2], : y.shape[3]]
        images = [("\u03a6\u1d40y" if sampled else "degraded", start)]
        stages = enumerate(network.unfold(y), start=1)
        images += [(f"stage {k}", estimate.x) for k, estimate in stages]
    shown = [Panel(name, as_rgb8(to_uint8(image))) for name, image in images]
    if target is not None:
        shown.append(Panel("true", as_rgb8(centre(np.asarray(target), SIDE))))
    return tuple(shown)
