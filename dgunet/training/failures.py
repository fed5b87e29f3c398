"""What can end a run from outside its mathematics, said so that it can be mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from dgunet.system.errors import DgunetError
from dgunet.training.distributed import World
from dgunet.training.settings import TrainingConfig
from dgunet.training.training_state import TrainingState


@contextmanager
def explained(
    state: TrainingState, config: TrainingConfig, batch: int, world: World
) -> Iterator[None]:
    """Turn a full memory, lost processes and a failed compilation into errors that say what to do.

    Raises:
        DgunetError: instead of torch's error when memory, of a GPU or the machine, is full, naming
            the knobs to lower; instead of the error in communication that the death of another
            process causes; instead of pages of the compiler's when the network cannot be compiled.
    """
    try:
        yield
    except RuntimeError as error:
        if _full(error):
            share = len(world.places(batch))
            at_once = min(config.micro_batch or share, share)
            raise DgunetError(
                f"the memory is full at step {state.step}, with {at_once} samples at once.",
                _lower(config, at_once),
            ) from error
        if world.size > 1 and _lost(error):
            raise DgunetError(
                f"process {world.rank} of {world.size} lost the others at step {state.step}: one "
                "of them died.",
                "Its own last words say why, or the kernel's log if something killed it; the same "
                "command goes on from the newest checkpoint.",
            ) from error
        if config.compile and _not_compiled(error):
            raise DgunetError(
                f"the network cannot be compiled: {str(error).partition(chr(10))[0]}",
                "Install what it names (on a CPU a C++ compiler such as g++), or set compile to "
                "false.",
            ) from error
        raise


def _lower(config: TrainingConfig, at_once: int) -> str:
    knobs = [f"micro_batch to {at_once // 2}"] if at_once > 1 else []
    knobs += ["recompute to true"] if not config.recompute else []
    knobs += ["bfloat16 to true"] if not config.bfloat16 else []
    if not knobs:
        return "Lower the patch, or take a machine with more memory."
    last = " (the batch of a step stays what it is)" if at_once > 1 else ""
    return f"Set {', or '.join(knobs)}{last}."


def _full(error: RuntimeError) -> bool:
    """Whether memory ran out; for the machine's own torch says so in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _lost(error: RuntimeError) -> bool:
    """Whether another process is gone; gloo says so in words only."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _not_compiled(error: RuntimeError) -> bool:
    """Whether torch.compile's backend failed; its errors are imported only where it is used."""
    from torch._dynamo.exc import BackendCompilerFailed

    return isinstance(error, BackendCompilerFailed)
