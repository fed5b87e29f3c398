"""Which rows of which images the work on one strip computes, in which order, and what it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgunet.evaluation.strips.operations import Operation, Piece
from dgunet.evaluation.strips.shelf import KeptImage, Shape

Span = tuple[int, int]
"""First row, and one after the last row."""


@dataclass(eq=False)
class Node:
    """An image that is kept on the shelf, or that an operation computes from other images.

    Attributes:
        shape: (1, C, H, W).
        dtype: data type.
        step: rows of the padded input that one of its rows stands for.
        operation: how it is computed; None once it is kept.
        parents: the inputs of ``operation``.
        kept: its pixels, if they are kept.
    """

    shape: Shape
    dtype: torch.dtype
    step: int
    operation: Operation | None = None
    parents: tuple[Node, ...] = ()
    kept: KeptImage | None = None

    def keep(self, kept: KeptImage) -> None:
        """Take the pixels from ``kept`` from now on, and let go of the inputs."""
        self.kept, self.operation, self.parents = kept, None, ()

    def bytes_of(self, span: Span) -> int:
        """Bytes of some of its rows."""
        return (span[1] - span[0]) * self.shape[1] * self.shape[3] * self.dtype.itemsize

    def rows_in(self, strip: Span) -> Span:
        """Return its rows in a strip of rows of the padded input."""
        top, bottom = strip
        return min(top // self.step, self.shape[2]), min(-(-bottom // self.step), self.shape[2])


def in_order(wanted: Iterable[Node]) -> list[Node]:
    """Return ``wanted`` and all images that they are computed from, inputs first."""
    order: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in order:
            for parent in node.parents:
                visit(parent)
            order[node] = None

    for node in wanted:
        visit(node)
    return list(order)


def reach(node: Node) -> int:
    """Return the rows beyond a strip, on each side, of the images that its rows depend on.

    In rows of the padded input; the kept images are not counted.
    """
    known: dict[Node, int] = {}
    for each in in_order([node]):
        own = each.operation.reach if each.operation is not None else 0
        known[each] = max((known[p] + own * p.step for p in each.parents), default=0)
    return known[node]


def worth_keeping(
    order: Sequence[Node], wanted: Collection[Node], held: Collection[Node]
) -> list[Node]:
    """Return the images of ``order`` to keep: ``wanted``, and what is held and costly to repeat."""
    costly: set[Node] = set()
    kept = []
    for node in order:
        if node.operation is None:
            continue
        heavy = node.operation.heavy or not costly.isdisjoint(node.parents)
        if node in wanted or (heavy and node in held):
            kept.append(node)
        elif heavy:
            costly.add(node)
    return kept


@dataclass(frozen=True)
class Task:
    """The rows of one image that the work on a strip takes.

    Attributes:
        node: the image.
        span: its rows.
        done: images that no later task of the strip needs.
    """

    node: Node
    span: Span
    done: Sequence[Node]


def tasks(order: Sequence[Node], wanted: Mapping[Node, Span], held: Collection[Node]) -> list[Task]:
    """Return the tasks of one strip.

    Args:
        order: as `in_order` returns it.
        wanted: the rows to compute, by image.
        held: images whose rows are needed after the last task.
    """
    spans = dict(wanted)
    for node in reversed(order):
        if node.operation is not None:
            for parent in node.parents:
                top, bottom = node.operation.needs(*spans[node], parent.shape[2])
                known = spans.get(parent, (top, bottom))
                spans[parent] = min(top, known[0]), max(bottom, known[1])
    uses = Counter(user for node in order for user in _used(node))
    for node in held:
        uses.update([node, *_used(node)])
    listed = []
    for node in order:
        used = _used(node)
        uses.subtract(used)
        done = [each for each in {*used, node} if not uses[each]]
        listed.append(Task(node, spans[node], done))
    return listed


def _used(node: Node) -> list[Node]:
    """The inputs of ``node``, and those whose memory these hold."""
    used = list(node.parents)
    for parent in node.parents:
        if parent.operation is not None and parent.operation.view:
            used += _used(parent)
    return used


def peak_bytes(todo: Sequence[Task]) -> int:
    """Return the most bytes that the tasks of a strip take at the same time."""
    live: dict[Node, int] = {}
    spans = {task.node: task.span for task in todo}
    peak = 0
    for task in todo:
        operation, size = task.node.operation, task.node.bytes_of(task.span)
        live[task.node] = 0 if operation is not None and operation.view else size
        extra = 0
        if operation is not None:
            inputs = sum(parent.bytes_of(spans[parent]) for parent in {*task.node.parents})
            extra = operation.workspace(inputs, size)
        peak = max(peak, sum(live.values()) + extra)
        for node in task.done:
            del live[node]
    return peak


def count_operations(todo: Sequence[Task]) -> int:
    """Return the floating-point operations of the tasks of a strip."""
    return sum(
        (task.span[1] - task.span[0]) * task.node.operation.work
        for task in todo
        if task.node.operation is not None
    )


def carry_out(
    todo: Sequence[Task], keep: Mapping[Node, KeptImage], held: Collection[Node], strip: Span
) -> dict[Node, Tensor]:
    """Compute the tasks of a strip, write the rows of the images in ``keep``, return the held ones.

    Returns:
        The rows in the strip of the images in ``held``, which is the same as for `tasks`.
    """
    pieces: dict[Node, Piece] = {}
    for task in todo:
        node, (top, bottom) = task.node, task.span
        if node.operation is None:
            assert node.kept is not None
            piece = Piece(node.kept.read(top, bottom), top)
        else:
            inputs = [pieces[parent] for parent in node.parents]
            height = node.parents[0].shape[2]
            piece = Piece(node.operation.compute(top, bottom, height, inputs), top)
        if node in keep:
            own = node.rows_in(strip)
            keep[node].write(own[0], piece.cut(*own))
        pieces[node] = piece
        piece = inputs = None  # type: ignore[assignment]  # no rows live longer than counted
        for finished in task.done:
            del pieces[finished]
    return {node: pieces[node].cut(*node.rows_in(strip)) for node in held}
