"""Machine errors that end a training run, reported with the settings that avoid them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dgunet.config import TrainingSettings
from dgunet.system.errors import DgunetError
from dgunet.training.distributed import LostProcessError, World, is_loss
from dgunet.training.training_state import TrainingState


@contextmanager
def explained_failures(
    state: TrainingState, settings: TrainingSettings, batch: int, world: World
) -> Iterator[None]:
    """Replace torch's errors of memory, communication and compilation by errors with a hint.

    Raises:
        DgunetError: if the memory of the GPU or the machine is full (the hint names settings that
            reduce its use), or if the network cannot be compiled.
        LostProcessError: if another process ended.
    """
    try:
        yield
    except RuntimeError as error:
        if _out_of_memory(error):
            share = len(world.positions(batch))
            at_once = min(settings.micro_batch or share, share)
            raise DgunetError(
                f"the memory is full at step {state.step}, with {at_once} samples at a time.",
                _memory_hint(settings, at_once),
            ) from error
        if world.size > 1 and is_loss(error):
            raise LostProcessError(world.rank, world.size, f"at step {state.step}") from error
        if settings.compile and _compilation_failed(error):
            raise DgunetError(
                f"the network cannot be compiled: {str(error).partition(chr(10))[0]}",
                "Install the missing program (on a CPU, a C++ compiler such as g++), or set "
                "compile to false.",
            ) from error
        raise


def _memory_hint(settings: TrainingSettings, at_once: int) -> str:
    changes = [f"micro_batch to {at_once // 2}"] if at_once > 1 else []
    changes += ["recompute to true"] if not settings.recompute else []
    changes += ["bfloat16 to true"] if not settings.bfloat16 else []
    if not changes:
        return "Reduce patch, or use a machine with more memory."
    note = " (this does not change the batch of a step)" if at_once > 1 else ""
    return f"Set {', or '.join(changes)}{note}."


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; for CPU memory, only torch's message shows it."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _compilation_failed(error: RuntimeError) -> bool:
    """Whether the backend of torch.compile failed; imported here because the import is slow."""
    from torch._dynamo.exc import BackendCompilerFailed

    return isinstance(error, BackendCompilerFailed)
