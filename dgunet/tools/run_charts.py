"""Charts of runs: a metric over a varied setting, and curves over the steps."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure


def setting_chart(
    runs: pd.DataFrame, setting: str, metric: str, *, title: str = "", series: bool = False
) -> Figure:
    """Chart of ``metric`` over the numeric ``setting``, one point per run.

    Args:
        runs: the result of `dgunet.tracking.run_frames.runs_frame`; runs without the
            setting or the metric are left out.
        setting: a column, such as ``stages``, ``scales`` or ``parameters``.
        metric: a column, such as ``psnr``.
        title: title above the chart.
        series: whether only ``setting`` differs among the runs. They are then joined by a line,
            with their names at the points; else every run has a colour and an entry in the legend.
    """
    known = runs.dropna(subset=[setting, metric]).sort_values(setting)
    figure = Figure(figsize=(5 if series else 6.5, 3.2), layout="constrained")
    axes = figure.add_subplot()
    points = list(zip(known[setting], known[metric], map(str, known["name"]), strict=True))
    if series:
        axes.plot(known[setting], known[metric], "o-")
        for x, y, name in points:
            axes.annotate(name, (x, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    else:
        for number, (x, y, name) in enumerate(points):
            axes.plot(x, y, "os^Dv"[number // 10 % 5], color=f"C{number % 10}", label=name)
    if known[setting].nunique() < 10 and known[setting].max() < 100:
        axes.set_xticks(sorted(known[setting].unique()))
    axes.margins(x=0.15, y=0.2)
    axes.set_xlabel(setting)
    _finish(figure, metric, title)
    return figure


def curves_chart(points: pd.DataFrame, *, title: str = "") -> Figure:
    """Chart of a metric over the steps, one line per run.

    Args:
        points: the result of `dgunet.tracking.run_frames.history`.
        title: title above the chart.
    """
    metric = next(name for name in points.columns if name not in ("name", "step"))
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for name, run in points.groupby("name", sort=False):
        axes.plot(run["step"], run[metric], label=str(name), linewidth=1)
    axes.set_xlabel("step")
    _finish(figure, metric, title)
    return figure


def _finish(figure: Figure, metric: str, title: str) -> None:
    """Add title, name of the vertical axis, grid, and a legend beside the axes."""
    (axes,) = figure.axes
    axes.set_ylabel(metric)
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="outside right upper", fontsize="small")
