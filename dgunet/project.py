"""Where the stages put their files, and how things are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.system.errors import ConfigError, DataError
from dgunet.terms import Ablation, Task
from dgunet.tracking import project_home

TRAINING_SETS: dict[Task, str] = {
    "derain": "Rain13K",
    "deblur": "GoPro-train",
    "denoise": "SIDD-train",
    "cs": "BSD400",
}
"""The training set of each task (Section 4.2 to 4.5)."""

EXPERIMENTS = {
    "data": "dgunet/data",
    "derain": "dgunet/table-1-deraining",
    "deblur": "dgunet/table-2-deblurring",
    "denoise": "dgunet/table-3-denoising",
    "cs": "dgunet/table-4-compressive-sensing",
    "stages-and-scales": "dgunet/table-5-stages-and-scales",
    "components": "dgunet/table-6-components",
    "tables": "dgunet/tables",
    "scores": "dgunet/scores",
    "inspect": "dgunet/inspect",
    "campaigns": "dgunet/campaigns",
}
"""One MLflow experiment a table, so that what is compared lies together, and some beside."""


def ablation_experiment(ablation: Ablation) -> str:
    """The MLflow experiment whose runs an ablation is compared with."""
    return EXPERIMENTS["stages-and-scales" if ablation.table == 5 else "components"]


def model_key(task: str, variant: str, ratio: int | None = None) -> str:
    """Name of one trained network, e.g. ``derain-DGUNet`` or ``cs-r10-DGUNet+``.

    Raises:
        ConfigError: if a ratio is missing for compressive sensing, or given for another task.
    """
    if (task == "cs") != (ratio is not None):
        raise ConfigError(
            f"task {task!r} with ratio {ratio}.", "Compressive sensing, and only it, has a --ratio."
        )
    return f"{task}-{variant}" if ratio is None else f"{task}-r{ratio}-{variant}"


def test_sets(names: str) -> list[str]:
    """The sets that ``--sets`` names, in the catalogue's order; ``all`` means the twelve.

    Raises:
        DataError: for a name that is not a test set; the message lists the twelve.
    """
    known = [name for name, entry in CATALOGUE.items() if entry.role == "test"]
    wanted = known if names == "all" else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise DataError(f"{name!r} is not a test set.", f"Test sets are: {', '.join(known)}.")
    return wanted


@dataclass(frozen=True)
class ProjectFolders:
    """The folders of one project, as ``dvc.yaml`` names them."""

    home: Path

    @classmethod
    def here(cls) -> ProjectFolders:
        """The layout of the project that the working directory lies in.

        Raises:
            ConfigError: if there is no ``params.yaml`` there or above.
        """
        home = project_home()
        if not (home / "params.yaml").is_file():
            raise ConfigError(
                f"no params.yaml in {home} or above it.", "Run inside a clone, or set DGUNET_HOME."
            )
        return cls(home)

    @property
    def params(self) -> Path:
        """The parameter file."""
        return self.home / "params.yaml"

    def data(self, profile: str) -> Path:
        """The official trees of a profile: ``data/sample`` or ``data/paper``."""
        return self.home / "data" / profile

    def store(self, dataset: str) -> Path:
        """The prepared store of a data set."""
        return self.home / "build" / "prepared" / dataset

    def model(self, key: str) -> Path:
        """The folder of a trained network; see `model_key`."""
        return self.home / "build" / "models" / key

    def evaluation(self, dataset: str, variant: str) -> Path:
        """The folder of one network's results on one test set."""
        return self.home / "build" / "evaluation" / f"{dataset}-{variant}"

    def ablation(self, name: str) -> Path:
        """The folder of one ablation variant."""
        return self.home / "build" / "ablations" / name

    @property
    def records(self) -> Path:
        """Scores that DND's server mailed."""
        return self.home / "records"

    @property
    def tables(self) -> Path:
        """The generated tables."""
        return self.home / "build" / "tables"
