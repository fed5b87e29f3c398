"""The convergence of the trainings as charts: one network each, a band over its trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from dgunet.paper.charts import Chart, Panel, Series

POINTS = 150
"""Most points of a curve that are drawn; of a longer one, means of equally many steps."""

LINES = 12
"""Most lines of the table beside a chart."""


@dataclass(frozen=True)
class TrainingCurve:
    """What one training reported.

    Attributes:
        network: its name, such as ``derain-DGUNet``.
        training: what tells it from other trainings of the network, such as "seed 1".
        loss: by step, from 0 on.
        validation: PSNR in dB by step.
        source: where the numbers come from, for people.
    """

    network: str
    training: str
    loss: Mapping[int, float]
    validation: Mapping[int, float] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class TrainingCurves:
    """The curves that a page shows.

    Attributes:
        curves: of one or more trainings of each network.
        remark: why curves are missing, for people; "" if none is.
    """

    curves: Sequence[TrainingCurve] = ()
    remark: str = "No trainings were read for this page."


def training_charts(curves: Sequence[TrainingCurve]) -> list[Chart]:
    """One chart for each network, in the order of its first curve."""
    by_network: dict[str, list[TrainingCurve]] = {}
    for curve in curves:
        if curve.loss:
            by_network.setdefault(curve.network, []).append(curve)
    return [
        _chart(number, name, trained)
        for number, (name, trained) in enumerate(by_network.items(), start=1)
    ]


def _chart(number: int, network: str, trained: Sequence[TrainingCurve]) -> Chart:
    loss = _band([curve.loss for curve in trained], thin=True)
    panels = [Panel("loss", [_series("loss", loss)], log=bool((loss[1] > 0).all()))]
    validation = _band([c.validation for c in trained if c.validation], thin=False)
    if validation[0].size:
        panels.append(Panel("validation, dB", [_series("validation PSNR", validation)]))
    several = len(trained) > 1
    width = max(max(curve.loss) + 1 for curve in trained) / POINTS
    remark = f"{len(trained)} training{'s' * several}: {', '.join(c.training for c in trained)}."
    remark += " The line is their mean, the band from the lowest to the highest." * several
    remark += f" Each point is the mean of {-(-width // 1):.0f} steps." if width > 1 else ""
    return Chart(
        f"training{number}",
        network,
        "step",
        panels,
        f"{remark} Source: {', '.join(dict.fromkeys(c.source for c in trained))}.",
        ("what", "step", "mean", "lowest", "highest"),
        [*_lines("loss", loss), *_lines("validation, dB", validation)],
    )


Band = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Steps, and mean, lowest and highest value of the trainings there; each (points,)."""


def _band(curves: Sequence[Mapping[int, float]], *, thin: bool) -> Band:
    """Mean and range at the steps that all trainings have; values that are not finite are left out.

    Args:
        curves: value by step.
        thin: replace equally long runs of steps by their mean where there are more than `POINTS`.
    """
    finite = [{s: v for s, v in curve.items() if isfinite(v)} for curve in curves]
    steps = np.array(sorted(set.intersection(*map(set, finite))) if finite else [], dtype=float)
    values = np.array([[curve[int(s)] for s in steps] for curve in finite], dtype=float)
    width = -(-len(steps) // POINTS) if thin else 1
    if width > 1:
        starts = np.arange(0, len(steps), width)
        counts = np.diff([*starts, len(steps)])
        steps = np.add.reduceat(steps, starts) / counts
        values = np.add.reduceat(values, starts, axis=1) / counts
    if not steps.size:
        return steps, steps, steps, steps
    return steps, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def _series(label: str, band: Band) -> Series:
    steps, mean, low, high = (part.tolist() for part in band)
    several = low != high
    return Series(
        label, "ours", steps, mean, low if several else (), high if several else (), band=True
    )


def _lines(what: str, band: Band) -> list[list[str]]:
    chosen = np.unique(np.linspace(0, len(band[0]) - 1, LINES).round().astype(int))
    return [
        [what, f"{band[0][i]:.0f}", *(f"{part[i]:.5g}" for part in band[1:])]
        for i in (chosen if len(band[0]) else [])
    ]
