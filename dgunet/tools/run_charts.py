"""Charts of runs: a metric over a varied setting, and curves over the steps."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure


def setting_chart(runs: pd.DataFrame, setting: str, metric: str, *, title: str = "") -> Figure:
    """Chart of ``metric`` over the numeric ``setting``, one labelled point per run.

    Args:
        runs: the result of `dgunet.tracking.run_frames.runs_frame`; runs without the
            setting or the metric are left out.
        setting: a column, such as ``stages``, ``scales`` or ``parameters``.
        metric: a column, such as ``psnr``.
        title: title above the chart.
    """
    known = runs.dropna(subset=[setting, metric]).sort_values(setting)
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(known[setting], known[metric], "o-")
    for x, y, name in zip(known[setting], known[metric], known["name"], strict=True):
        axes.annotate(str(name), (x, y), textcoords="offset points", xytext=(4, 5), fontsize=8)
    if known[setting].nunique() < 10 and known[setting].max() < 100:
        axes.set_xticks(sorted(known[setting].unique()))
    axes.margins(x=0.15, y=0.2)
    axes.set_xlabel(setting)
    axes.set_ylabel(metric)
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3)
    return figure


def curves_chart(points: pd.DataFrame, *, title: str = "") -> Figure:
    """Chart of a metric over the steps, one line per run.

    Args:
        points: the result of `dgunet.tracking.run_frames.history`.
        title: title above the chart.
    """
    metric = next(name for name in points.columns if name not in ("name", "step"))
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for name, run in points.groupby("name", sort=False):
        axes.plot(run["step"], run[metric], label=str(name), linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel(metric)
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3)
    if len(points):
        axes.legend(fontsize="small")
    return figure
