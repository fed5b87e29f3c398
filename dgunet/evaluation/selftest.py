"""Self-test on the user's machine: every protocol on computed images, compared with constants.

The constants come from slow references that share no code with the package; a test recomputes
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files as resources

import numpy as np
import torch
from numpy.typing import NDArray

from dgunet.evaluation.batched import score_batch
from dgunet.evaluation.metric_protocol import Protocol, Score
from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.imaging.arrays import Array
from dgunet.system.errors import EvaluationError

TOLERANCE = 1e-6
ALIGNED_TOLERANCE = 5e-3
"""For RealBlur, whose iterative alignment differs slightly between OpenCV versions."""


@dataclass(frozen=True)
class MetricCheck:
    """One metric of one protocol against its constant; ``ok`` when within ``tolerance``.

    ``where`` is ``array``, or the device on which tensors were scored.
    """

    protocol: str
    where: str
    metric: str
    value: float
    expected: float
    tolerance: float

    @property
    def deviation(self) -> float:
        """Distance from the constant, in dB for PSNR."""
        return abs(self.value - self.expected)

    @property
    def ok(self) -> bool:
        """Whether the deviation is within the tolerance (NaN is not)."""
        return self.deviation <= self.tolerance


def check_metrics(device: str = "cpu") -> Iterator[MetricCheck]:
    """Score the images of `formula_pair` under every protocol that scores locally.

    Args:
        device: where they are also scored as tensors, under the protocols that support it.

    Raises:
        EvaluationError: if a protocol is of another version than its constants.
    """
    text = (resources("dgunet.evaluation") / "selftest.json").read_text(encoding="utf-8")
    expected = json.loads(text)
    for protocol in PROTOCOLS.values():
        if not protocol.scores_locally:
            continue
        constants = expected[protocol.name]
        if constants["version"] != protocol.version:
            raise EvaluationError(
                f"protocol {protocol.name} is version {protocol.version}; its constants are for "
                f"version {constants['version']}.",
                "Recompute them with the slow references of tests/evaluation.",
            )
        restored, target = formula_pair(protocol)
        scores = {"array": protocol.score(restored, target)}
        if protocol.window is not None:
            scores[device] = _score_on(device, protocol, restored, target)
        close = ALIGNED_TOLERANCE if protocol.name == "realblur-aligned" else TOLERANCE
        for where, score in scores.items():
            for metric in ("psnr", "ssim"):
                value = getattr(score, metric)
                yield MetricCheck(protocol.name, where, metric, value, constants[metric], close)


def _score_on(device: str, protocol: Protocol, restored: Array, target: Array) -> Score:
    """The same score from tensors on ``device``."""
    output = restored if protocol.name == "sidd-blocks" else restored / 255.0
    x, y = (
        torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0)))[None].to(device)
        for image in (output, target)
    )
    psnr, ssim = score_batch(x, y, protocol)
    return Score(psnr.item(), ssim.item())


def formula_pair(protocol: Protocol) -> tuple[Array, Array]:
    """A scored image and its target for ``protocol``, the same on every machine.

    Computed in integers except for the last division. The size is 24 x 40 pixels, or 96 x 128
    where an alignment needs more texture.
    """
    size = (96, 128) if protocol.name == "realblur-aligned" else (24, 40)
    target = _scene(*size, protocol.channels)
    rows, columns, channels = np.indices(target.shape, dtype=np.uint64)
    seeds = (rows * 7919 + columns * 104729 + channels * 1299709 + 17) * 2654435761
    noise = ((seeds >> np.uint64(13)) % 25).astype(np.int64) - 12
    restored = np.clip(target + noise, 0, 255)
    if protocol.name == "realblur-aligned":
        restored = np.roll(restored, (1, 2), (0, 1))
    if protocol.name == "sidd-blocks":
        return (restored * 64 // 65 / 255.0).astype(np.float32), target
    if protocol.name == "cs-y":
        return restored * 64 / 65, target
    return restored.astype(np.uint8), target


def _scene(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Slanted waves and a grid of bright squares."""
    rows, columns, channel = np.indices((height, width, channels), dtype=np.int64)
    wave = np.abs((9 * rows + 5 * columns + 70 * channel + rows * columns // 6) % 320 - 160)
    squares = 60 * ((rows // 7 + columns // 9 + channel) % 2)
    return np.asarray(np.clip(20 + wave + squares, 0, 255), np.uint8)
