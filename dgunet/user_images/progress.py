"""How far the restoration of one image is, counted in stages of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from dgunet.evaluation.restoration import Network
from dgunet.network import DGUNet

Observe = Callable[[float], None]
"""Called with the part of the work that is done, from 0 to 1."""

ENSEMBLE = 8
"""Passes of the self-ensemble, see `dgunet.evaluation.restoration.eightfold`."""


def count_passes(height: int, width: int, *, self_ensemble: bool, tile: int | None) -> int:
    """Return the number of forward passes for an image of ``height`` x ``width`` pixels."""
    tiles = 1 if tile is None else -(-height // tile) * -(-width // tile)
    return tiles * (ENSEMBLE if self_ensemble else 1)


@contextmanager
def observed(network: Network, passes: int, observe: Observe | None) -> Iterator[None]:
    """Call ``observe`` after every stage of ``passes`` forward passes within the block.

    Networks without stages, such as plain functions, are not observed.
    """
    if observe is None or not isinstance(network, DGUNet):
        yield
        return
    total, done = passes * network.config.stages, 0

    def finished(*_: object) -> None:
        nonlocal done
        done += 1
        observe(min(1.0, done / total))

    stages: list[nn.Module] = [network.first, *network.middle, network.last]
    hooks = [stage.register_forward_hook(finished) for stage in stages]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
