"""Example images of a training: strips of degraded, restored and true pixels in MLflow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dgunet.config import TrainingSettings
from dgunet.imaging.strips import side_by_side
from dgunet.tracking import Run

IMAGE_REPORTS = 8
"""How many times, at most, a training logs its example images after the untrained network's."""

STEPS_BETWEEN_IMAGES = 50
"""Training steps, at least, between two reports of example images, each of which costs some steps.

The first and the last weights are shown in every training.
"""

EXAMPLE_SIDE = 128
"""Largest side in pixels of the part of an example image that is logged; at most two patches."""


class ExampleImages:
    """Restores the same images several times during a training, and logs them.

    Args:
        run: the run in MLflow.
        network: the network in training.
        images: pairs (input, target), each (C, H, W) in [0, 1]; their middle is shown.
        settings: of the training.
    """

    def __init__(
        self,
        run: Run,
        network: nn.Module,
        images: Sequence[tuple[Tensor, Tensor]],
        settings: TrainingSettings,
    ) -> None:
        self._run, self._network, self._iterations = run, network, settings.iterations
        side = min(EXAMPLE_SIDE, 2 * settings.patch)
        self._images = [(_middle(degraded, side), _middle(true, side)) for degraded, true in images]
        self._shown = -1

    def show(self, done: int) -> None:
        """Log the images if ``done`` steps complete another part of the training."""
        reports = max(1, min(IMAGE_REPORTS, self._iterations // STEPS_BETWEEN_IMAGES))
        part = done * reports // self._iterations
        if part > self._shown:
            self._shown = part
            self.log(done)

    def log(self, done: int) -> None:
        """Log each image as a strip of degraded, restored and true pixels."""
        if not self._run.journal_id:
            return
        device = next(self._network.parameters()).device
        for number, (degraded, target) in enumerate(self._images, start=1):
            with torch.no_grad():
                restored = self._network(degraded[None].to(device))[-1][0].clamp(0, 1)
            images = (degraded, restored.cpu(), target)
            strip = side_by_side([image.permute(1, 2, 0).float().numpy() for image in images])
            self._run.log_image(strip, f"examples/{number}", step=done)


def _middle(image: Tensor, side: int) -> Tensor:
    """The middle of an image (C, H, W), at most ``side`` pixels large."""
    top, left = (max(0, length - side) // 2 for length in image.shape[-2:])
    return image[:, top : top + side, left : left + side]
