"""The fastest training step of equal loss and gradients on this CPU, found by a short probe."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network import DGUNet, DGUNetConfig
from dgunet.network.devices import thread_count
from dgunet.network.probe import DiffersError, Tell, fastest, times_faster
from dgunet.training.distributed import World
from dgunet.training.speed import recomputing
from dgunet.training.step import TrainingSteps

PLAIN = "plain"

EQUAL_RESULTS = ("channels_last", "fused_adam")
"""The switches that change a float32 step by rounding only."""

TOLERANCE = 1e-4
"""Largest difference of the losses of all steps and of the gradients of the first one, relative to
the loss and to the largest gradient."""

_SIDE = 128
# Numbers of a training that decide how long a step takes.
_STATE = ("loss", "bfloat16", "channels_last", "fused_adam", "recompute", "average", "micro_batch")


def fastest_step(
    settings: TrainingSettings, runtime: RuntimeSettings, config: DGUNetConfig, tell: Tell
) -> tuple[str, ...]:
    """Return the switches of `EQUAL_RESULTS` with which a step is fastest; none if none is faster.

    Real steps of the network, on noise of the patch's size, at most 128x128 pixels: a plain step
    and one with a switch (or both) are compared, then timed in turn. The state of the random
    generator is left as it is.

    Args:
        settings: the training; switches that are written stay as they are.
        runtime: the number of threads.
        config: the network.
        tell: called with one line about each candidate and the choice.
    """
    if not (free := [name for name in EQUAL_RESULTS if name in settings.left_to_fast]):
        return ()
    sets = [names for count in (1, 2) for names in itertools.combinations(free, count)]
    candidates = {" with ".join(names): names for names in sets}
    batch = _Noise(settings, config.channels)
    state = {
        "network": config.to_dict(),
        "samples": list(batch.pair[0].shape),
        "settings": {name: getattr(settings, name) for name in _STATE},
    }

    def gain(name: str) -> float:
        return _gain(settings, runtime, config, batch, candidates[name])

    with thread_count(runtime.threads):
        chosen = fastest("training step", PLAIN, list(candidates), gain, state=state, tell=tell)
    return candidates.get(chosen, ())


class _Noise:
    """The same samples for every step: as many as the training's, within `_SIDE` squared pixels."""

    def __init__(self, settings: TrainingSettings, channels: int) -> None:
        side = min(settings.patch, _SIDE)
        self.batch = min(settings.batch, max(1, (_SIDE // side) ** 2))
        generator = torch.Generator().manual_seed(0)
        shape = (2, self.batch, channels, side, side)
        self.pair: tuple[Tensor, Tensor] = tuple(torch.rand(shape, generator=generator))

    def part(self, step: int, positions: Sequence[int], /) -> tuple[Tensor, Tensor]:
        """The samples at ``positions``."""
        degraded, target = self.pair
        return degraded[list(positions)], target[list(positions)]


class _Timed:
    """Steps from the same initial weights; keeps their losses."""

    def __init__(
        self,
        settings: TrainingSettings,
        runtime: RuntimeSettings,
        config: DGUNetConfig,
        batch: _Noise,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = DGUNet(config)
        self._steps = TrainingSteps(self.network, batch, settings, runtime, world=World())
        self.losses: list[float] = []

    def seconds(self) -> float:
        """Make a step; its duration."""
        report = self._steps()
        self.losses.append(report.loss)
        return report.seconds

    def gradients(self) -> Tensor:
        """All gradients of the last step."""
        found = [p.grad for p in self.network.parameters() if p.grad is not None]
        return torch.cat([gradient.flatten() for gradient in found])


def _gain(
    settings: TrainingSettings,
    runtime: RuntimeSettings,
    config: DGUNetConfig,
    batch: _Noise,
    on: Sequence[str],
) -> float:
    """How many times faster a step with the switches ``on`` is than a plain one.

    Raises:
        DiffersError: if losses or gradients differ.
    """
    plain, other = (_Timed(settings.decided(names), runtime, config, batch) for names in ((), on))
    again = settings.recompute
    with recomputing(plain.network, again), recomputing(other.network, again):
        plain.seconds(), other.seconds()
        expected = plain.gradients()
        difference = float((other.gradients() - expected).abs().max() / expected.abs().max())
        _check("gradient", difference)
        found = times_faster(plain.seconds, other.seconds)
    pairs = zip(plain.losses, other.losses, strict=True)
    _check("loss", max(abs(b - a) / abs(a) for a, b in pairs))
    return found


def _check(what: str, difference: float) -> None:
    if not difference <= TOLERANCE:
        raise DiffersError(f"its {what} is off by {difference:.1e}")
