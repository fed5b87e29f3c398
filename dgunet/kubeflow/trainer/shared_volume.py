"""Files of a multi-node training on the volume that all nodes mount.

SHARED/stores/                  prepared stores, see `dgunet.kubeflow.steps.prepared_stores`; kept
SHARED/trainings/JOB/           params.yaml, model/ and home/ of one training; removed at its end
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dgunet.kubeflow.cluster.settings import SHARED_STORES
from dgunet.kubeflow.steps.prepared_stores import StoresFolder
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

    def upload(self, params: str, store: Path, *, visible: bool = False) -> Path:
        """Write the parameters and give the nodes the store; returns its path for the nodes.

        Args:
            params: the text of ``params.yaml``.
            store: the prepared dataset.
            visible: the nodes have ``store`` already, at the same path; else it is copied here,
                unless an equal copy exists. Several steps may do so at the same time.

        Raises:
            DataError: if ``store`` is not a prepared dataset.
            DgunetError: if the volume is full, read-only or missing.
        """
        with files.writing(self.shared):
            self.folder.mkdir(parents=True, exist_ok=True)
        files.write_text(self.params, params)
        return store if visible else StoresFolder(self.shared / SHARED_STORES).copy(store)

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
