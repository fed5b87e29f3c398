"""Files of a multi-node training on the volume that all nodes mount.

SHARED/stores/DIGEST            prepared datasets; kept for the next network on the same data
SHARED/trainings/JOB/           params.yaml, model/ and home/ of one training; removed at its end
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
class SharedFolders:
    """Folders of the training ``job`` under ``shared``."""

    shared: Path
    job: str

    @property
    def folder(self) -> Path:
        """The folder of this training."""
        return self.shared / "trainings" / self.job

    @property
    def params(self) -> Path:
        """The parameter file."""
        return self.folder / "params.yaml"

    @property
    def model(self) -> Path:
        """Folder of the trained network; checkpoints are identified by this path."""
        return self.folder / "model"

    @property
    def home(self) -> Path:
        """Journals and checkpoints, if ``DGUNET_HOME`` of the pods is not on a volume."""
        return self.folder / "home"

    def upload(self, params: str, store: Path) -> Path:
        """Copy parameters and prepared dataset to the volume; returns the path of the dataset.

        An existing copy with the same digest is used. Several steps may upload the same dataset
        at the same time.

        Raises:
            DataError: if ``store`` is not a prepared dataset.
            DgunetError: if the volume is full, read-only or missing.
        """
        with files.writing(self.shared):
            self.folder.mkdir(parents=True, exist_ok=True)
        files.write_text(self.params, params)
        digest = PairStore.open(store).manifest.digest
        copy = self.shared / "stores" / digest.replace(":", "-")
        if _has_digest(copy, digest):
            return copy
        with files.writing(copy):
            copy.parent.mkdir(exist_ok=True)
            partial = copy.with_name(f".{copy.name[:16]}.{uuid.uuid4().hex[:8]}.partial")
            try:
                shutil.copytree(store, partial)
                if copy.exists() and not _has_digest(copy, digest):
                    shutil.rmtree(copy)  # damaged
                if not copy.exists():
                    partial.rename(copy)
            except OSError:
                if not _has_digest(copy, digest):  # else another step was first
                    raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return copy

    def collect(self, out: Path) -> Path:
        """Copy the trained network to ``out`` and remove this training; returns the weights' path.

        Raises:
            DataError: if the nodes wrote no network.
        """
        weights = self.model / "network.safetensors"
        if not weights.is_file():
            raise DataError(
                f"the nodes completed without writing {weights}.",
                "trainer.shared must be on a volume that the step and all nodes mount.",
            )
        with files.atomic_folder(out) as partial:
            shutil.copytree(self.model, partial, dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        return out / weights.name


def _has_digest(folder: Path, digest: str) -> bool:
    try:
        return PairStore.open(folder).manifest.digest == digest
    except DataError:
        return False
