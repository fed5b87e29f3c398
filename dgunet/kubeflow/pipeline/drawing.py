"""Drawing of a compiled pipeline: boxes for steps, frames for loops and conditions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from dgunet.kubeflow.pipeline.graph import TaskNode, unnumbered

STEP_HEIGHT, GAP, MARGIN, TITLE = 0.42, 0.55, 0.22, 0.34
"""Inches: height of a step, gap between columns, margin in a frame, height of its title."""

LETTER = 0.088
"""Width of a character, inches."""

COLOURS = {"cached": "#dbeafe", "plain": "#f3f4f6", "loop": "#fffbeb", "condition": "#fdf2f8"}
LINE = "#475569"


@dataclass
class Box:
    """A node with the position of its lower left corner in its parent, inches."""

    node: TaskNode
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    inner: list[Box] = field(default_factory=list)


def svg(root: TaskNode) -> str:
    """A pipeline as SVG text; equal graphs give equal text."""
    box = _measure(root)
    with rc_context({"svg.hashsalt": root.name, "svg.fonttype": "path", "font.size": 9}):
        figure = Figure(figsize=(box.width, box.height + TITLE))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, box.width)
        axes.set_ylim(0, box.height + TITLE)
        axes.axis("off")
        axes.text(MARGIN, box.height + TITLE / 3, root.name, weight="bold")
        note = "blue: cached if nothing changed"
        axes.text(box.width - MARGIN, box.height + TITLE / 3, note, ha="right", color=LINE, size=8)
        _draw(axes, box, 0.0, 0.0, whole=True)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _measure(node: TaskNode) -> Box:
    title = _title(node)
    if node.kind == "step":
        return Box(node, len(title) * LETTER + 2 * MARGIN, STEP_HEIGHT)
    inner = [_measure(each) for each in node.inner]
    wide, tall = _arrange(inner)
    framed = node.kind in ("loop", "condition")
    width = max(wide + 2 * MARGIN, len(title) * LETTER * 0.9 + 2 * MARGIN if framed else 0)
    for box in inner:
        box.x, box.y = box.x + (width - wide) / 2, box.y + MARGIN
    return Box(node, width, tall + 2 * MARGIN + (TITLE if framed else 0), inner=inner)


def _arrange(boxes: Sequence[Box]) -> tuple[float, float]:
    """Arrange boxes in columns, each to the right of all boxes that it waits for.

    Returns:
        Total width and height, inches.
    """
    columns: dict[str, int] = {}
    for box in boxes:  # a box is after those that it waits for
        columns[box.node.name] = 1 + max((columns[n] for n in box.node.after), default=-1)
    placed: dict[str, Box] = {}
    x = 0.0
    for column in range(max(columns.values()) + 1):
        stack = [box for box in boxes if columns[box.node.name] == column]
        _level(stack, placed)
        wide = max(box.width for box in stack)
        for box in stack:  # boxes that wait for none are right-aligned
            box.x = x if box.node.after else x + wide - box.width
            placed[box.node.name] = box
        x += wide + GAP
    bottom = min(box.y for box in boxes)
    for box in boxes:
        box.y -= bottom
    return x - GAP, max(box.y + box.height for box in boxes)


def _level(stack: list[Box], placed: Mapping[str, Box]) -> None:
    """Centre each box vertically on those that it waits for, without overlaps."""
    for box in stack:
        before = [placed[name] for name in box.node.after]
        middles = [other.y + other.height / 2 for other in before]
        box.y = (sum(middles) / len(middles) if middles else 0.0) - box.height / 2
    stack.sort(key=lambda box: -(box.y + box.height / 2))
    target = sum(box.y + box.height / 2 for box in stack)
    for above, below in pairwise(stack):
        below.y = min(below.y, above.y - MARGIN - below.height)
    shift = (target - sum(box.y + box.height / 2 for box in stack)) / len(stack)
    for box in stack:
        box.y += shift


def _draw(axes: Any, box: Box, x: float, y: float, *, whole: bool = False) -> None:
    """Draw ``box`` with its lower left corner at ``x, y``; ``whole`` for the outermost box."""
    node = box.node
    if node.kind == "step":
        _frame(axes, box, x, y, COLOURS["cached" if node.cached else "plain"])
        middle = (x + box.width / 2, y + box.height / 2)
        axes.text(*middle, _title(node), ha="center", va="center")
        return
    if node.kind == "group" and not whole:
        _frame(axes, box, x, y, "none", ":")
    elif node.kind in ("loop", "condition"):
        if node.kind == "loop":
            _frame(axes, box, x + 0.06, y - 0.06, "white")
        _frame(axes, box, x, y, COLOURS[node.kind], "--" if node.kind == "condition" else "-")
        axes.text(x + MARGIN, y + box.height - TITLE * 0.7, _title(node), style="italic", size=8)
    at = {each.node.name: (x + each.x, y + each.y, each) for each in box.inner}
    for name, (left, bottom, each) in at.items():
        for before in each.node.after:
            other_left, other_bottom, other = at[before]
            start = (other_left + other.width, other_bottom + other.height / 2)
            _arrow(axes, start, (left, bottom + each.height / 2), dashed=at[name][2].node.last)
    for left, bottom, each in at.values():
        _draw(axes, each, left, bottom)


def _frame(axes: Any, box: Box, x: float, y: float, colour: str, line: str = "-") -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=colour,
            edgecolor=LINE,
            linestyle=line,
            linewidth=0.9,
        )
    )


def _arrow(
    axes: Any, start: tuple[float, float], end: tuple[float, float], *, dashed: bool
) -> None:
    bend = 0.0 if abs(start[1] - end[1]) < 0.05 else 0.12 * (1 if end[1] < start[1] else -1)
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=9,
            connectionstyle=f"arc3,rad={bend}",
            color=LINE,
            linestyle="--" if dashed else "-",
            linewidth=0.9,
            shrinkA=0,
            shrinkB=1,
        )
    )


def _title(node: TaskNode) -> str:
    if node.kind == "loop":
        return f"for all {unnumbered(node.about)}"
    if node.kind == "condition":
        return f"if {unnumbered(node.about)}"
    if node.last:
        return f"{node.step} (always)"
    return node.step
