"""Helpers: a two-stage network, batches of noise, settings, and a small project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dgunet.config import RuntimeSettings, TrainingSettings, load_params
from dgunet.network import preset
from dgunet.training import LaunchedProcess
from dgunet.training.preparation import PreparedTraining, TrainingInputs, prepare_training

ROOT = Path(__file__).parents[2]


class PowerCutError(Exception):
    """Ends a training without any cleanup."""


CPU = RuntimeSettings(device="cpu", threads=0)


def settings(**values: Any) -> TrainingSettings:
    """Return settings of a training on `Noise`."""
    return TrainingSettings(**{"batch": 2, "patch": 16, "learning_rate": 1e-2} | values)


def changed(of: TrainingSettings, **values: Any) -> TrainingSettings:
    """Return the settings with some values replaced, validated."""
    return TrainingSettings(**of.model_dump() | values)


class Recorder:
    """A reporter that passes steps and validations to functions."""

    def __init__(self, step=lambda report: None, validation=lambda report: None) -> None:
        self.on_step, self.on_validation = step, validation


class TwoStages(nn.Module):
    """A network with two outputs and a known optimum: the identity."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, y):
        first = self.first(y)
        return [first, self.second(first)]


class Noise:
    """Batches whose samples depend on step and position only; the target is the input."""

    def __init__(self, batch: int = 2, poisoned: int = -1) -> None:
        self.batch = batch
        self.poisoned = poisoned

    def part(self, step, positions):
        images = [
            torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1000 * step + position))
            for position in positions
        ]
        image = torch.stack(images)
        return (image * float("nan") if step == self.poisoned else image), image


@dataclass(frozen=True)
class SmallProject:
    """A project folder with the deraining store of the sample data and a short training."""

    home: Path

    def write_params(self, *, steps: int = 12, batch: int = 2, **runtime: Any) -> Path:
        """Write parameters of a derain training of ``steps`` with a checkpoint at every step."""
        text = (ROOT / "params.yaml").read_text()
        training = f"{{iterations: {steps}, batch: {batch}, patch: 32, learning_rate: 3.0e-3, "
        text = re.sub(
            r"derain:\n      iterations: \d+\n      batch: 2\n(      .*\n)+",
            f"derain: {training}warmup: 3}}\n",
            text,
        )
        lines = [f"    {k}: {v}\n" for k, v in ({"checkpoint_seconds": 0} | runtime).items()]
        path = self.home / "params.yaml"
        path.write_text(text.replace("    device: cpu\n", f"    device: cpu\n{''.join(lines)}", 1))
        return path

    @property
    def env(self) -> dict[str, str]:
        """The environment: no tracking server, one thread, the code of the checkout."""
        dropped = ("MLFLOW_", "DGUNET_", "DVC_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        return kept | {
            "DGUNET_HOME": str(self.home),
            "DGUNET_TRACKING": "later",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }

    def command(self, out: Path, *before: str) -> list[str]:
        """Return the command ``dgunet train derain`` that writes to ``out``."""
        main = ["-c", "from dgunet.cli import main; main()", "train", "derain"]
        store = ["--store", str(self.home / "store"), "--out", str(out)]
        return [sys.executable, *before, *main, *store]

    def start(self, out: Path, **env: str) -> subprocess.Popen[str]:
        """Start the training in a process."""
        return subprocess.Popen(
            self.command(out),
            cwd=self.home,
            env=self.env | env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, out: Path, **env: str) -> str:
        """Train to the end in a process; return its standard error."""
        process = self.start(out, **env)
        output = process.communicate(timeout=300)[1]
        assert process.returncode == 0, output
        return output

    def train(self, out: Path, stop: int = -1) -> Path:
        """Train in this process to the end or to step ``stop``; return the path of the weights.

        Raises:
            PowerCutError: in step ``stop``, after its checkpoint is written.
        """
        from dgunet.config import load_params
        from dgunet.data.batches.training_batches import TrainingBatches
        from dgunet.steps.train import train_network

        part = TrainingBatches.part

        def dying(batches: TrainingBatches, step: int, positions: Any) -> Any:
            if step == stop:
                while not any(path.stem == f"step-{stop:09d}" for path in self.checkpoints()):
                    time.sleep(0.005)  # it is written in the background
                raise PowerCutError
            return part(batches, step, positions)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainingBatches, "part", dying)
            for name, value in self.env.items():
                patch.setenv(name, value)
            params = load_params(self.home / "params.yaml")
            return train_network(params, "derain", store=self.home / "store", out=out)

    def checkpoints(self) -> list[Path]:
        """Return the existing checkpoints, oldest first."""
        return sorted((self.home / ".dgunet" / "checkpoints").glob("*/step-*.ckpt"))


def prepared(small, rank: int = 0, mirror: str | None = None) -> PreparedTraining:
    """Prepare the deraining of a small project, as the process of this rank does."""
    params = load_params(small.home / "params.yaml")
    return prepare_training(
        TrainingInputs(
            profile="sample",
            key="derain-DGUNet",
            settings=params.training("derain"),
            runtime=params.active.runtime,
            seed=params.seed,
            network=preset("derain", **params.active.network),
            store=small.home / "store",
            out=small.home / "out",
            start=None,
            checkpoint_root=small.home / "checkpoints",
            mirror=mirror,
            process=LaunchedProcess(rank, rank + 1),
            commit="unknown",
        )
    )
