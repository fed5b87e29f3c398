"""Several processes, one run: each takes its share of the samples of every step.

Started by ``torchrun``, whose environment says who is who. The gradient of a step is that of the
whole batch whatever the number of processes, so the trajectory is the same within rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten


class World:
    """The processes of this run, and this one's place among them; alone without ``torchrun``."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def leads(self) -> bool:
        """Whether this process is the one that logs and writes."""
        return self.rank == 0

    def places(self, batch: int) -> range:
        """This process's places in a batch, as even a share as can be.

        Raises:
            ConfigError: if there are fewer samples than processes.
        """
        if batch < self.size:
            raise ConfigError(
                f"a batch of {batch} cannot be shared by {self.size} processes.",
                "Start at most as many processes as a batch has samples.",
            )
        return range(self.rank * batch // self.size, (self.rank + 1) * batch // self.size)

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """``network`` with its gradients averaged over the processes.

        The parameters that the released networks hold and never use are frozen, so every
        parameter that is waited for gets a gradient.
        """
        if self.size == 1:
            return network
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, forward_sync_buffers=False)

    def quiet(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Backward passes within the block add to the gradients without averaging them."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """The sum of ``values`` over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def largest(self, number: int, device: torch.device) -> int:
        """The largest of the processes' numbers, the same answer in all of them."""
        if self.size == 1:
            return number
        told = torch.tensor(number, device=device)
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return int(told)

    def gather(self, content: Any) -> list[Any]:
        """Every process's ``content``, by rank, in all of them."""
        if self.size == 1:
            return [content]
        everyones: list[Any] = [None] * self.size
        dist.all_gather_object(everyones, content)
        return everyones

    def share(self, content: Any) -> Any:
        """The leading process's ``content``, in all of them."""
        if self.size == 1:
            return content
        box = [content]
        dist.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def world(device: str) -> Iterator[World]:
    """Join the processes that ``torchrun`` started: NCCL on GPUs, gloo on CPUs.

    Args:
        device: ``cuda`` or ``cpu``; each process takes the GPU of its local rank.
    """
    size = _number("WORLD_SIZE", "1")
    if size == 1:
        yield World()
        return
    if device == "cuda":
        torch.cuda.set_device(_number("LOCAL_RANK", "0"))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def _number(variable: str, otherwise: str) -> int:
    """A whole number that ``torchrun`` put in the environment.

    Raises:
        ConfigError: if somebody else put something else there.
    """
    text = os.environ.get(variable) or otherwise
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise ConfigError(
            f"{variable}={shorten(text)} is no whole number.",
            "torchrun sets it; unset it to train in one process.",
        )
    return int(text)
