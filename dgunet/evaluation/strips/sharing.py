"""One image shared by several processes: each computes a band of strips, all know the sums."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from dgunet.evaluation.strips.schedule import Node, Span
from dgunet.evaluation.strips.shelf import KeptImage
from dgunet.evaluation.strips.sums import Sum
from dgunet.system.errors import EvaluationError


class Sharing(Protocol):
    """How the strips of an image are divided, and how the processes exchange what they need."""

    def mine(self, strips: list[Span], margin: int) -> list[Span]:
        """Return the strips that this process computes.

        Args:
            strips: all strips, in rows of the padded input.
            margin: rows beyond its own that a process needs, on each side.
        """
        ...

    def joined(self, total: Sum) -> Sum:
        """Return the sum over the strips of all processes from that over its own."""
        ...

    def exchange(self, node: Node, kept: KeptImage, band: Span, margin: int) -> None:
        """Give to and take from the neighbours the rows of an image at the border of the bands."""
        ...

    def complete(self, node: Node, kept: KeptImage, band: Span) -> Tensor:
        """Return all rows of an image."""
        ...


class Alone:
    """One process computes all strips."""

    def mine(self, strips: list[Span], margin: int) -> list[Span]:
        return strips

    def joined(self, total: Sum) -> Sum:
        return total

    def exchange(self, node: Node, kept: KeptImage, band: Span, margin: int) -> None:
        pass

    def complete(self, node: Node, kept: KeptImage, band: Span) -> Tensor:
        return kept.read(0, node.shape[2])


class Together:
    """The processes of ``group`` compute bands of about equal height, from the top by rank."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self._group = group
        self._rank, self._size = group.rank(), group.size()

    def mine(self, strips: list[Span], margin: int) -> list[Span]:
        cuts = [len(strips) * rank // self._size for rank in range(self._size + 1)]
        bands = [strips[first:last] for first, last in pairwise(cuts)]
        for band in bands:
            if not band or band[-1][1] - band[0][0] < margin:
                raise EvaluationError(
                    f"{len(strips)} strips of {strips[0][1]} rows are too few for {self._size}"
                    f" processes, which need {margin} rows each.",
                    "Use fewer processes, or strips of fewer rows.",
                )
        return bands[self._rank]

    def joined(self, total: Sum) -> Sum:
        sums: list[Any] = [None] * self._size
        dist.all_gather_object(sums, total, group=self._group)
        first: Sum = sums[0]  # every process joins in the same order
        for other in sums[1:]:
            first.join(other)
        return first

    def exchange(self, node: Node, kept: KeptImage, band: Span, margin: int) -> None:
        first, last = node.rows_in(band)
        rows = -(-margin // node.step)
        waiting, arriving = [], []
        for neighbour, given, top in (
            (self._rank - 1, (first, first + rows), first - rows),
            (self._rank + 1, (last - rows, last), last),
        ):
            if 0 <= neighbour < self._size:
                own = kept.read(*given).cpu().contiguous()
                taken = torch.empty_like(own)
                waiting += [
                    dist.isend(own, group=self._group, group_dst=neighbour),
                    dist.irecv(taken, group=self._group, group_src=neighbour),
                ]
                arriving.append((top, taken, own))
        for work in waiting:
            assert work is not None
            work.wait()
        for top, taken, _ in arriving:
            kept.write(top, taken.to(kept.device))
        kept.filled = max(0, first - rows), min(node.shape[2], last + rows)

    def complete(self, node: Node, kept: KeptImage, band: Span) -> Tensor:
        bands: list[Any] = [None] * self._size
        own = kept.read(*node.rows_in(band)).cpu().clone()
        dist.all_gather_object(bands, own, group=self._group)
        return torch.cat(bands, 2).to(kept.device)
