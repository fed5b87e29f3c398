"""Computation of whole images by strips of rows: what is kept, what is repeated, what is summed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from dgunet.evaluation.strips import schedule
from dgunet.evaluation.strips.operations import Operation
from dgunet.evaluation.strips.schedule import Node, Span
from dgunet.evaluation.strips.sharing import Alone, Sharing
from dgunet.evaluation.strips.shelf import Shelf
from dgunet.evaluation.strips.sums import Sum, sum_bytes

_ROUNDING = 32
"""Bound for further rows of the padded input by rounding to rows of smaller images."""

Observe = Callable[[int], None]
"""Called with the floating-point operations that were done so far."""


class Handle:
    """What a network holds of an image. An image without a handle is not needed any more."""

    def __init__(self, engine: Engine, node: Node) -> None:
        self.engine = engine
        self.node = node
        engine.handles.add(self)


class Engine:
    """Computes the images of one restoration.

    Nothing is computed until a sum over an image is wanted. Then one pass over the strips computes
    all that the sum depends on. Images that the network still holds and that are costly to repeat
    are kept as a whole; the others exist for the time of one strip. The rows at the border of two
    strips are computed for both; where that would be more than ``reach`` rows on a side, the inputs
    are kept first.

    Args:
        rows: rows of the padded input in one strip, a multiple of every image's `step`.
        reach: bound for the rows that are computed for two strips, on each side.
        shelf: keeps the images.
        device: of all images.
        observe: told about the progress.
        sharing: the processes that compute the image together; by default this one alone.

    Attributes:
        handles: the handles that exist.
        work: floating-point operations so far.
        peak: most bytes that the work on one strip took, without the kept images.
        height: rows of the padded input, once an image was computed.
        step: the largest `step` of an image.
    """

    def __init__(
        self,
        rows: int,
        reach: int,
        shelf: Shelf,
        device: torch.device,
        observe: Observe | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self.rows, self.reach, self.shelf = rows, reach, shelf
        self.device = device
        self.handles: WeakSet[Handle] = WeakSet()
        self.work = self.peak = self.height = 0
        self.step = 1
        self._observe = observe or (lambda work: None)
        self._sharing = sharing or Alone()

    def node(self, operation: Operation, parents: Sequence[Node], **form: Any) -> Node:
        """Return the image that ``operation`` gives; ``form`` is its shape, dtype and step."""
        node = Node(operation=operation, parents=tuple(parents), **form)
        if schedule.reach(node) > self.reach and (far := _far(parents)):
            self._pass(far, [], None)
        return node

    def sum(self, total: Sum, nodes: Sequence[Node]) -> Tensor:
        """Return the statistic ``total`` of one image or two, in float64."""
        self._pass([], nodes, total)
        return self._sharing.joined(total).total()

    def keep(self, node: Node) -> None:
        """Compute all pixels of an image."""
        if node.kept is None:
            self._pass([node], [], None)

    def whole(self, node: Node) -> Tensor:
        """Return all pixels of an image, (1, C, H, W)."""
        self.keep(node)
        assert node.kept is not None
        return self._sharing.complete(node, node.kept, self._band())

    def _pass(self, wanted: Sequence[Node], summed: Sequence[Node], total: Sum | None) -> None:
        order = schedule.in_order([*wanted, *summed])
        held = {handle.node for handle in self.handles}
        chosen = schedule.worth_keeping(order, wanted, held)
        targets = [*chosen, *summed]
        self.height = max(node.shape[2] * node.step for node in order)
        self.step = max(self.step, *(node.step for node in order))
        assert self.rows % self.step == 0, "strips do not divide the smallest image"

        def tasks(strip: Span) -> list[schedule.Task]:
            return schedule.tasks(order, {n: n.rows_in(strip) for n in targets}, summed)

        self._reserve([tasks(strip) for strip, _ in self._kinds()], summed)
        keep = {n: self.shelf.new(n.shape, n.dtype, self.device) for n in chosen}
        if self.shelf.dry:
            self.work += sum(schedule.count_operations(tasks(s)) * n for s, n in self._kinds())
            _sum_of_zeros(total, summed, self.device)
            for node in order:
                if node.kept is not None:
                    self.shelf.used(node.kept)
        else:
            for strip in self._own():
                todo = tasks(strip)
                pieces = schedule.carry_out(todo, keep, summed, strip)
                if total is not None:
                    total.add([pieces[node] for node in summed])
                del pieces  # before those of the next strip
                self.work += schedule.count_operations(todo)
                self._observe(self.work)
            for node, kept in keep.items():
                self._sharing.exchange(node, kept, self._band(), self._margin())
        for node, kept in keep.items():
            node.keep(kept)

    def _own(self) -> list[Span]:
        """The strips of this process."""
        return self._sharing.mine(self._strips(), self._margin())

    def _band(self) -> Span:
        own = self._own()
        return own[0][0], own[-1][1]

    def _margin(self) -> int:
        """Bound for the rows beyond a band that its rows depend on, rounding included."""
        return 2 * self.reach + _ROUNDING

    def _strips(self) -> list[Span]:
        tops = range(0, self.height, self.rows)
        return [(top, min(top + self.rows, self.height)) for top in tops]

    def _kinds(self) -> list[tuple[Span, int]]:
        """Strips that stand for all others, and for how many."""
        strips = self._strips()
        if len(strips) < 4:
            return [(strip, 1) for strip in strips]
        return [(strips[0], 1), (strips[len(strips) // 2], len(strips) - 2), (strips[-1], 1)]

    def _reserve(self, todo: Sequence[Sequence[schedule.Task]], summed: Sequence[Node]) -> None:
        work = max(schedule.peak_bytes(each) for each in todo)
        if summed:
            work += sum_bytes([(n.shape[1], self.rows, n.shape[3]) for n in summed])
        self.peak = max(self.peak, work)
        self.shelf.reserve(work)


def _far(parents: Sequence[Node]) -> list[Node]:
    """Return the images to keep so that the children of ``parents`` need few further rows."""
    far: list[Node] = []
    for node in parents:
        if node.operation is not None and schedule.reach(node):
            far += _far(node.parents) if node.operation.joins else [node]
    return far


def _sum_of_zeros(total: Sum | None, summed: Sequence[Node], device: torch.device) -> None:
    if total is not None:
        total.add([torch.zeros(1, n.shape[1], 1, 1, dtype=n.dtype, device=device) for n in summed])
