"""How far the restoration of a whole image is, counted in stages of the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from dgunet.evaluation.networks import Network
from dgunet.evaluation.restoration import Observe
from dgunet.network import DGUNet


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
