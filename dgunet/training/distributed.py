"""Data-parallel training, in which each process computes its share of the samples of every step.

``torchrun`` starts and numbers the processes. The gradient of a step is that of the whole
batch for any number of processes, so the trajectory is the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.reading import shorten
from dgunet.training.stopping import LOST


class LostProcessError(DgunetError):
    """Another process of the training ended, so that this one cannot continue."""

    status = LOST

    def __init__(self, rank: int, size: int, when: str) -> None:
        super().__init__(
            f"process {rank} of {size} lost its connection to the others {when}, because one of "
            "them ended.",
            "Look for the reason in that process's last log lines, or in the kernel log if it was "
            "killed; the same command resumes from the newest checkpoint.",
        )


def is_loss(error: RuntimeError) -> bool:
    """Return whether another process ended; for gloo, only the text of ``error`` shows it."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


@dataclass(frozen=True)
class LaunchedProcess:
    """Rank of this process among those that ``torchrun`` started; a single one without it."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Rank among the processes of this machine, which selects the GPU."""

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> LaunchedProcess:
        """Return the process that ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK`` describe.

        Raises:
            ConfigError: if one of them is not a whole number.
        """
        return cls(
            rank=_number(variables, "RANK", "0"),
            size=_number(variables, "WORLD_SIZE", "1"),
            local_rank=_number(variables, "LOCAL_RANK", "0"),
        )

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports; the others only train."""
        return self.rank == 0


class World:
    """Number of processes of a training run and the rank of this one; one without ``torchrun``."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def positions(self, batch: int) -> range:
        """Return this process's positions in a batch; shares differ by at most one sample.

        Raises:
            ConfigError: if there are fewer samples than processes.
        """
        if batch < self.size:
            raise ConfigError(
                f"a batch of {batch} cannot be shared by {self.size} processes.",
                "Start no more processes than a batch has samples.",
            )
        return range(self.rank * batch // self.size, (self.rank + 1) * batch // self.size)

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return ``network`` with its gradients averaged over the processes.

        The unused parameters of the released networks are frozen, so every other parameter
        receives a gradient.
        """
        if self.size == 1:
            return network
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, forward_sync_buffers=False)

    def without_averaging(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Within the block, backward passes accumulate only the gradients of this process."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of ``values`` over the processes; ``values`` is changed in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def largest(self, number: int, device: torch.device) -> int:
        """Return the largest ``number`` of all processes, in every process."""
        if self.size == 1:
            return number
        value = torch.tensor(number, device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value)

    def gather(self, content: Any) -> list[Any]:
        """Return the ``content`` of all processes, ordered by rank, in every process."""
        if self.size == 1:
            return [content]
        contents: list[Any] = [None] * self.size
        dist.all_gather_object(contents, content)
        return contents

    def share(self, content: Any) -> Any:
        """Return the ``content`` of the leading process, in every process."""
        if self.size == 1:
            return content
        box = [content]
        dist.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def joined_processes(device: str, process: LaunchedProcess) -> Iterator[World]:
    """Join the processes that ``torchrun`` started: NCCL on GPUs, gloo on CPUs.

    Args:
        device: ``cuda`` or ``cpu``; each process uses the GPU of its local rank.
        process: this process.

    Raises:
        LostProcessError: if another process ends before or within the block.
    """
    if process.size == 1:
        yield World()
        return
    if device == "cuda":
        torch.cuda.set_device(process.local_rank)
    when = "before the training began"
    try:
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
        when = "outside of a step"
        yield World(dist.get_rank(), process.size)
    except RuntimeError as error:
        if is_loss(error):
            raise LostProcessError(process.rank, process.size, when) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _number(variables: Mapping[str, str], name: str, default: str) -> int:
    """Return the variable ``name`` as a whole number.

    Raises:
        ConfigError: if its value is not a whole number.
    """
    text = variables.get(name) or default
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise ConfigError(
            f"{name}={shorten(text)} is not a whole number.",
            "torchrun sets it; unset it to train in one process.",
        )
    return int(text)
