"""Errors of the machine that end a training, reported with the settings that avoid them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from dgunet.config import TrainingSettings
from dgunet.system.errors import DgunetError
from dgunet.training.distributed import World
from dgunet.training.training_state import TrainingState


@contextmanager
def explained_failures(
    state: TrainingState, settings: TrainingSettings, batch: int, world: World
) -> Iterator[None]:
    """Replace torch's errors of memory, communication and compilation by ones with a hint.

    Raises:
        DgunetError: if the memory of the GPU or the machine is full, naming the settings that
            lower it; if another process ended; or if the network cannot be compiled.
    """
    try:
        yield
    except RuntimeError as error:
        if _out_of_memory(error):
            share = len(world.positions(batch))
            at_once = min(settings.micro_batch or share, share)
            raise DgunetError(
                f"the memory is full at step {state.step}, with {at_once} samples at once.",
                _memory_hint(settings, at_once),
            ) from error
        if world.size > 1 and _lost_process(error):
            raise DgunetError(
                f"process {world.rank} of {world.size} lost the others at step {state.step}: one "
                "of them ended.",
                "Its last lines in the log give the reason, or the kernel's log if it was killed; "
                "the same command resumes from the newest checkpoint.",
            ) from error
        if settings.compile and _compilation_failed(error):
            raise DgunetError(
                f"the network cannot be compiled: {str(error).partition(chr(10))[0]}",
                "Install what it names (on a CPU a C++ compiler such as g++), or set compile to "
                "false.",
            ) from error
        raise


def _memory_hint(settings: TrainingSettings, at_once: int) -> str:
    changes = [f"micro_batch to {at_once // 2}"] if at_once > 1 else []
    changes += ["recompute to true"] if not settings.recompute else []
    changes += ["bfloat16 to true"] if not settings.bfloat16 else []
    if not changes:
        return "Lower the patch, or use a machine with more memory."
    note = " (the batch of a step does not change)" if at_once > 1 else ""
    return f"Set {', or '.join(changes)}{note}."


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; torch reports the CPU's memory by the message only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _lost_process(error: RuntimeError) -> bool:
    """Whether another process ended; gloo reports it by the message only."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _compilation_failed(error: RuntimeError) -> bool:
    """Whether the backend of torch.compile failed; its error class is slow to import."""
    from torch._dynamo.exc import BackendCompilerFailed

    return isinstance(error, BackendCompilerFailed)
