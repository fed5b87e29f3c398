"""Losses of 50 steps of a tiny training for every task, with the loss of the released code.

Run ``python tests/training/training_trajectories.py`` to rewrite the committed file after an
intended change.
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network import DGUNet, preset
from dgunet.recipes.trainings import released
from dgunet.system.files import write_json
from dgunet.training import train

COMMITTED = Path(__file__).with_name("golden_trajectories.json")
STEPS = 50
ONE_THREAD = RuntimeSettings(device="cpu", threads=1)
TINY = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 4, "stages": 3}


class Stripes:
    """Smooth images, with and without noise, that depend on (step, position) only."""

    batch = 2

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def part(self, step, positions):
        pairs = [self._pair(step, position) for position in positions]
        degraded, target = (
            torch.from_numpy(np.stack(images)) for images in zip(*pairs, strict=True)
        )
        return (degraded if self.channels == 3 else target), target

    def _pair(self, step, position):
        rng = np.random.RandomState(1000 * step + position)
        frequency, phase = rng.random_sample((2, self.channels, 1, 1))
        line = np.arange(32) / 32
        wave = np.sin(6 * frequency * (line[:, None] + line) + 6 * phase)
        target = 0.5 + 0.4 * wave
        degraded = np.clip(target + 0.1 * rng.standard_normal(target.shape), 0, 1)
        return degraded.astype(np.float32), target.astype(np.float32)


def losses(task: str) -> list[float]:
    """Return the loss of every step."""
    config = preset(task, ratio=10 if task == "cs" else None, **TINY)
    torch.manual_seed(0)
    network = DGUNet(config)
    settings = TrainingSettings(
        iterations=STEPS,
        batch=Stripes.batch,
        patch=32,
        learning_rate=2e-3,
        warmup=3,
        loss=released(task, ratio=config.ratio).training.loss,
    )
    result = train(network, Stripes(config.channels), settings, ONE_THREAD)
    return [report.loss for report in result.reports]


def machine() -> str:
    """Return the properties of the machine on which the last bits depend."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
    capability = torch.backends.cpu.get_cpu_capability()
    version = torch.__version__.partition("+")[0]
    return f"{platform.machine()} {model} {capability} torch {version}"


def main() -> None:
    """Write the committed trajectories."""
    tasks = {task: losses(task) for task in ("derain", "deblur", "denoise", "cs")}
    write_json(COMMITTED, {"machine": machine(), "losses": tasks})


if __name__ == "__main__":
    main()
