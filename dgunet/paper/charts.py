"""Charts of the report as inline SVG images that take their colours from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Look = Literal["published", "ours"]

_COLOURS = {"#010101": "--ink", "#020202": "--rule", "#030303": "--soft", "#040404": "--link"}
"""Colours that stand in the drawing for variables of the page's style."""

_LOOKS: dict[Look, dict[str, Any]] = {
    "published": {"color": "#030303", "marker": "o", "markerfacecolor": "none", "ls": "--"},
    "ours": {"color": "#040404", "marker": "s", "ls": "-"},
}

_SETTINGS = {
    "svg.hashsalt": "dgunet",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": "#010101",
    "axes.edgecolor": "#030303",
    "axes.labelcolor": "#010101",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#020202",
    "grid.linewidth": 0.6,
    "xtick.color": "#010101",
    "ytick.color": "#010101",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Series:
    """Points that are drawn alike.

    Attributes:
        label: for the legend.
        look: "published" (hollow circles) or "ours" (squares).
        x, y: of the points, equally many.
        low, high: ends of an interval at each point, NaN for none; () without any.
        names: a text beside each point; () without.
        joined: whether a line joins the points.
        band: draw the intervals as a band, and no markers.
    """

    label: str
    look: Look
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    names: Sequence[str] = ()
    joined: bool = True
    band: bool = False


@dataclass(frozen=True)
class Panel:
    """Axes with their series; the panels of a chart are one above the other."""

    y_label: str
    series: Sequence[Series]
    log: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart with its text alternative.

    Attributes:
        key: part of the ids in the page, such as "stages".
        title: its heading.
        x_label: name of the horizontal axis.
        panels: from above; () if there is nothing to draw.
        remark: what the chart shows or why it is empty, for people.
        heads, lines: its numbers as a table.
        ticks: label of each position of the horizontal axis; () for numbers.
    """

    key: str
    title: str
    x_label: str
    panels: Sequence[Panel]
    remark: str
    heads: Sequence[str] = ()
    lines: Sequence[Sequence[str]] = ()
    ticks: Sequence[str] = ()

    @property
    def svg(self) -> str:
        """The drawing as an ``svg`` element; "" without panels."""
        return _draw(self) if self.panels else ""


def _draw(chart: Chart) -> str:
    """Draw ``chart``; equal charts give equal bytes."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", _SETTINGS]):
        height = 2.5 if len(chart.panels) == 1 else 1.75 * len(chart.panels)
        figure = Figure(figsize=(3.6, height))
        # Not constrained layout, which takes most of the time of a drawing.
        figure.subplots_adjust(0.19, 0.42 / height, 0.98, 1 - 0.22 / height, hspace=0.25)
        rows = figure.subplots(len(chart.panels), sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(rows, chart.panels, strict=True):
            _draw_panel(axes, panel)
        last = rows[-1]
        last.set_xlabel(chart.x_label)
        drawn = [series for panel in chart.panels for series in panel.series]
        places = sorted({x for series in drawn for x in series.x})
        if chart.ticks:
            last.set_xticks(range(len(chart.ticks)), chart.ticks)
        elif len(places) < 6 and not any(series.names for series in drawn):
            last.set_xticks(places)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _for_the_page(buffer.getvalue(), chart.key)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    axes.set_ylabel(panel.y_label)
    narrow = any(series.band for series in panel.series)
    axes.margins(x=0.02 if narrow else 0.15, y=0.15)
    if panel.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    for series in panel.series:
        look = dict(_LOOKS[series.look]) | {"markersize": 4.5, "linewidth": 1.2}
        if series.band:
            look |= {"marker": "", "linewidth": 1.0}
            if series.low:
                axes.fill_between(
                    series.x, series.low, series.high, color=look["color"], alpha=0.25, lw=0
                )
        elif any(not isnan(low) for low in series.low):
            axes.vlines(series.x, series.low, series.high, color=look["color"], linewidth=1.2)
        if not series.joined:
            look["ls"] = "none"
        axes.plot(series.x, series.y, label=series.label, **look)
        for x, y, name in zip(series.x, series.y, series.names, strict=bool(series.names)):
            axes.annotate(name, (x, y), (0, 6), textcoords="offset points", ha="center")
    if not narrow:
        # Above the axes, so that no sample of a marker is taken for a point.
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=4)


def _for_the_page(svg: str, key: str) -> str:
    """The ``svg`` element with the page's colours and font, and with ids of its own."""
    box = svg.partition('viewBox="')[2].partition('"')[0]
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    # The style would be that of the whole page.
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    for colour, variable in _COLOURS.items():
        body = body.replace(colour, f"var({variable})")
    body = body.replace(' id="', f' id="{key}-').replace('href="#', f'href="#{key}-')
    body = re.sub(r"\s*\n\s*", " ", body.replace("url(#", f"url(#{key}-"))
    return f'<svg viewBox="{box}" role="img" aria-labelledby="plot-{key}">{body.strip()}'
