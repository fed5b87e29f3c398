"""What a training costs as lines of text: one for each machine, with the assumption behind it."""

from __future__ import annotations

from collections.abc import Sequence

from dgunet.costs.formats import duration, operations, size
from dgunet.costs.machines import LOGGED_GPUS, LOGGED_SECONDS, Machine, logged_rate
from dgunet.costs.training_cost import ISSUE, TrainingCost
from dgunet.recipes.trainings import Recipe, released


def training_lines(cost: TrainingCost, machines: Sequence[Machine], count: int) -> list[str]:
    """Return operations, duration on ``count`` of each machine, and memory, one per line."""
    lines = [f"cost: {operations(cost.operations)}, forward and backward, validation not counted"]
    lines += [f"  {machine_line(cost, machine, count)}" for machine in machines]
    return [*lines, f"memory: {_memory(cost, count)}"]


def machine_line(cost: TrainingCost, machine: Machine, count: int) -> str:
    """Return ``8 x A100-80GB: 24 h (...)``, with a warning where its memory is not enough."""
    line = f"{count} x {machine.name}: {duration(cost.seconds(machine, count))}"
    if cost.bound_by_calls(machine, count):
        line += f" ({ISSUE * 1e6:.0f} us to issue each call, assumed; the GPU is mostly idle)"
    else:
        line += f" ({machine.assumption})"
    needed = cost.memory(count)
    if needed is None or machine.memory is None or needed <= machine.memory:
        return line
    return f"{line}; its {size(machine.memory)} of memory are too little"


def logged_line(recipe: Recipe) -> str:
    """Return what the authors' training log says, and about which training it says it."""
    known = released("derain", "DGUNet+")
    line = (
        f"the authors' log: {LOGGED_SECONDS:,.0f} s per epoch of deraining DGUNet+ on"
        f" {LOGGED_GPUS} GPUs, {logged_rate() / 1e12:.3g} TFLOP/s each"
    )
    if (recipe.network, recipe.training) != (known.network, known.training):
        return f"{line}; none of this training"
    return f"{line}; {duration(recipe.epochs * LOGGED_SECONDS)} in all"


def _memory(cost: TrainingCost, count: int) -> str:
    if (needed := cost.memory(count)) is None:
        return "not estimated for these settings"
    samples = cost.samples_together(count)
    return (
        f"about {size(needed)} on each GPU for {samples} sample{'s' if samples > 1 else ''} at a"
        " time, workspace of the convolutions not counted"
    )
