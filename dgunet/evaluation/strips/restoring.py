"""Restoration of one image in strips: how high they are, what that takes, and the result."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from dgunet.evaluation.memory import bytes_per_pixel
from dgunet.evaluation.networks import TooLargeError
from dgunet.evaluation.strips import functions as _functions  # noqa: F401  # what torch calls
from dgunet.evaluation.strips.engine import Engine
from dgunet.evaluation.strips.image import StripImage, UnsupportedError
from dgunet.evaluation.strips.schedule import Node
from dgunet.evaluation.strips.sharing import Together
from dgunet.evaluation.strips.shelf import Shelf
from dgunet.network import DGUNet
from dgunet.system.errors import EvaluationError

Observe = Callable[[float], None]
"""Called with the part of the work that is done, from 0 to 1."""

MOST_ROWS = 256
"""Rows of the highest strips: higher ones save little work."""

_FEW_ROWS, _SWIFT = 16, 128_000_000
"""Strips are halved down to the former while they take more bytes than the latter: a C library
returns larger tensors to the system and takes them again, which took half of the time."""

_WHOLE = 1 << 30
"""Rows of a strip that no image exceeds, a multiple of every step."""


@dataclass(frozen=True)
class StripPlan:
    """How an image is restored in strips, and what that takes.

    Attributes:
        shape: (H, W, C) of the image.
        rows: rows of the padded image in a strip.
        reach: bound for the further rows that are computed on each side of a strip.
        strips: number of strips.
        budget: bytes of memory for the restoration.
        work: bytes that the work on one strip takes; the rest of ``budget`` keeps images.
        memory: least budget: ``work``, or the result if it is larger.
        disk: bytes of temporary files.
        operations: floating-point operations, with those that are done for two strips.
        folder: place of the temporary files.
    """

    shape: tuple[int, int, int]
    rows: int
    reach: int
    strips: int
    budget: int
    work: int
    memory: int
    disk: int
    operations: int
    folder: Path


def plan_strips(
    network: nn.Module, shape: tuple[int, int, int], budget: int, folder: Path | None = None
) -> StripPlan:
    """Choose the height of the strips of an image; nothing is computed.

    Args:
        network: restores the image.
        shape: (H, W, C) of the image.
        budget: bytes that the restoration may take, without the image itself.
        folder: place of temporary files; None for that of the system (``TMPDIR``).

    Raises:
        TooLargeError: if the smallest strips exceed the budget; it says how much is missing.
        EvaluationError: if the network uses an operation that is not defined for strips, or the
            folder has too little space.
    """
    place = Path(folder or tempfile.gettempdir())
    if _independent_blocks(network):
        return _plan_blocks(network, shape, budget, place)
    try:
        rows = unit = tried(network, shape, _WHOLE, budget, place)[0]
    except UnsupportedError as error:
        raise EvaluationError(
            f"the network cannot be run in strips: {error}.", "Use a machine with more memory."
        ) from error
    while 2 * rows <= max(unit, MOST_ROWS):
        rows *= 2
    plan = tried(network, shape, rows, budget, place)[1]
    while plan.rows > unit and (
        plan.work > budget // 2 or (plan.work > _SWIFT and plan.rows > _FEW_ROWS)
    ):
        plan = tried(network, shape, plan.rows // 2, budget, place)[1]
    return _checked(plan)


def tried(
    network: nn.Module,
    shape: tuple[int, int, int],
    rows: int,
    budget: int,
    place: Path,
    reach: int | None = None,
) -> tuple[int, StripPlan]:
    """Go through a restoration without pixels; return the rows of the smallest strip and the plan.

    Args:
        network, shape, budget, place: as for `plan_strips`.
        rows: rows of a strip.
        reach: bound for the further rows on each side; by default an eighth of ``rows``.
    """
    reach = rows // 8 if reach is None else reach
    h, w, c = shape
    shelf = Shelf(budget, dry=True)
    parameter = next(network.parameters())
    engine = Engine(rows, reach, shelf, parameter.device)
    source = Node((1, c, h, w), parameter.dtype, step=1)
    with torch.inference_mode():
        outcome = network(StripImage(engine, source))[-1]
        engine.keep(outcome.node)
    result = c * h * w * parameter.dtype.itemsize
    plan = StripPlan(
        shape=shape,
        rows=rows,
        reach=reach,
        strips=-(-engine.height // rows),
        budget=budget,
        work=engine.peak,
        memory=max(engine.peak, result),
        disk=shelf.most_on_disk,
        operations=engine.work,
        folder=place,
    )
    return engine.step, plan


def _checked(plan: StripPlan) -> StripPlan:
    height, width, _ = plan.shape
    if plan.memory > plan.budget:
        raise TooLargeError(
            f"an image of {width}x{height} needs {plan.memory / 1e6:,.1f} MB even in strips of"
            f" {plan.rows} rows; {max(0, plan.budget) / 1e6:,.1f} MB are left for it.",
            least=plan.memory - plan.budget,
        )
    free = shutil.disk_usage(plan.folder).free
    if plan.disk > free:
        raise EvaluationError(
            f"parts of an image of {width}x{height} need {plan.disk / 1e9:.2f} GB in"
            f" {plan.folder}; {free / 1e9:.2f} GB are free.",
            "Give a folder with more space (--scratch), or more --memory.",
        )
    return plan


def restore_exactly(
    network: nn.Module,
    y: Tensor,
    plan: StripPlan,
    observe: Observe | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    """Restore an image in strips; the result is that of the whole image up to rounding.

    Sums over the image are taken over all strips and in float64, and strips are computed from the
    rows of the image around them, so no part of the result depends on where strips end.

    Args:
        network: restores the image.
        y: one image (1, C, H, W) on the device of the network.
        plan: as `plan_strips` gives it for this network and this size.
        observe: called with the part of the work that is done, after every strip.
        group: processes that compute the image together, each with the same arguments; sums are
            taken over all of them. The budget of a process counts whole images, although it fills
            its own rows only.

    Returns:
        The output of the last stage, (1, C, H, W).

    Raises:
        EvaluationError: if the folder for temporary files is full.
    """
    tell = observe or (lambda part: None)
    with torch.inference_mode():
        if _independent_blocks(network):
            return _restore_blocks(network, y, plan, tell)
        shelf = Shelf(plan.budget, plan.folder)
        parts = 1 if group is None else group.size()
        engine = Engine(
            *(plan.rows, plan.reach, shelf, y.device),
            observe=lambda work: tell(min(1.0, parts * work / plan.operations)),
            sharing=None if group is None else Together(group),
        )
        b, c, h, w = y.shape
        source = Node((b, c, h, w), y.dtype, step=1, kept=shelf.given(y))
        outcome = network(StripImage(engine, source))[-1]
        return engine.whole(outcome.node)


def _independent_blocks(network: nn.Module) -> bool:
    """Whether the network restores every block of an image by itself."""
    return isinstance(network, DGUNet) and network.config.proximal_domain == "block"


def _plan_blocks(
    network: nn.Module, shape: tuple[int, int, int], budget: int, place: Path
) -> StripPlan:
    assert isinstance(network, DGUNet)
    unit = network.config.block
    row = bytes_per_pixel(network, shape[2]) * -(-shape[1] // unit) * unit
    result = shape[0] * shape[1] * shape[2] * next(network.parameters()).dtype.itemsize
    rows = max(1, int((budget - result) // (row * unit))) * unit
    return _checked(
        StripPlan(
            shape=shape,
            rows=rows,
            reach=0,
            strips=-(-shape[0] // rows),
            budget=budget,
            work=int(rows * row),
            memory=int(rows * row) + result,
            disk=0,
            operations=1,
            folder=place,
        )
    )


def _restore_blocks(network: nn.Module, y: Tensor, plan: StripPlan, tell: Observe) -> Tensor:
    """Restore rows of whole blocks one after the other."""
    result = torch.empty_like(y)
    for top in range(0, y.shape[2], plan.rows):
        strip = slice(top, top + plan.rows)
        result[:, :, strip] = network(y[:, :, strip])[-1]
        tell(min(1.0, (top + plan.rows) / y.shape[2]))
    return result
