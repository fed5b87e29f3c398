"""What a training over several nodes has on the volume that all of them see.

SHARED/stores/DIGEST           prepared sets, kept: the next network of this data finds its set
SHARED/trainings/JOB/params.yaml, model/, home/     of one training, removed when it is collected
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.store.pair_store import PairStore
from dgunet.system import files
from dgunet.system.errors import DataError


@dataclass(frozen=True)
class Place:
    """The folders of the training ``job`` under ``shared``."""

    shared: Path
    job: str

    @property
    def folder(self) -> Path:
        """Of this training."""
        return self.shared / "trainings" / self.job

    @property
    def params(self) -> Path:
        """The parameter file."""
        return self.folder / "params.yaml"

    @property
    def model(self) -> Path:
        """Where the trained network goes; checkpoints go by this path."""
        return self.folder / "model"

    @property
    def home(self) -> Path:
        """Journals and checkpoints, where the pods' own ``DGUNET_HOME`` is on no volume."""
        return self.folder / "home"

    def bring(self, params: str, store: Path) -> Path:
        """Put the parameters and the prepared set there; returns the path of the set.

        A set of the same digest that is there already is taken. Several steps may bring the same
        set at the same time.

        Raises:
            DataError: if ``store`` is no prepared set.
            DgunetError: if the volume is full, read-only or not there.
        """
        with files.writing(self.shared):
            self.folder.mkdir(parents=True, exist_ok=True)
        files.write_text(self.params, params)
        digest = PairStore.open(store).manifest.digest
        there = self.shared / "stores" / digest.replace(":", "-")
        if _is(there, digest):
            return there
        with files.writing(there):
            there.parent.mkdir(exist_ok=True)
            partial = there.with_name(f".{there.name[:16]}.{uuid.uuid4().hex[:8]}.partial")
            try:
                shutil.copytree(store, partial)
                if there.exists() and not _is(there, digest):
                    shutil.rmtree(there)  # a damaged one
                if not there.exists():
                    partial.rename(there)
            except OSError:
                if not _is(there, digest):  # another step was first
                    raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return there

    def collect(self, out: Path) -> Path:
        """Copy the trained network to ``out`` and remove this training; returns its weights.

        Raises:
            DataError: if the nodes said that they were done and left no network.
        """
        weights = self.model / "network.safetensors"
        if not weights.is_file():
            raise DataError(
                f"the nodes are done and {weights} is not there.",
                "trainer.shared must be a volume that the step and all nodes share.",
            )
        with files.atomic_folder(out) as partial:
            shutil.copytree(self.model, partial, dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        return out / weights.name


def _is(folder: Path, digest: str) -> bool:
    try:
        return PairStore.open(folder).manifest.digest == digest
    except DataError:
        return False
