"""The folders of a project, and the names of networks and MLflow experiments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.system.errors import ConfigError, DataError
from dgunet.terms import (
    ABLATION_TASK,
    ABLATION_VARIANT,
    RELEASED_ABLATIONS,
    WeightsOrigin,
    ablation,
)
from dgunet.terms import TRAINING_SETS as TRAINING_SETS
from dgunet.tracking import project_home

EXPERIMENTS = {
    "data": "dgunet/data",
    "derain": "dgunet/table-1-deraining",
    "deblur": "dgunet/table-2-deblurring",
    "denoise": "dgunet/table-3-denoising",
    "cs": "dgunet/table-4-compressive-sensing",
    "ablations": "dgunet/ablations",
    "tables": "dgunet/tables",
    "scores": "dgunet/scores",
    "inspect": "dgunet/inspect",
    "campaigns": "dgunet/campaigns",
}
"""MLflow experiments of runs that are compared with each other, and some others.

Tables 5 and 6 share one, because ``stages-7`` is in both."""


def model_key(task: str, variant: str, ratio: int | None = None) -> str:
    """The name of a trained network, e.g. ``derain-DGUNet`` or ``cs-r10-DGUNet+``.

    Raises:
        ConfigError: if a ratio is missing for compressive sensing, or given for another task.
    """
    if (task == "cs") != (ratio is not None):
        raise ConfigError(
            f"task {task!r} with ratio {ratio}.",
            "Use --ratio for compressive sensing, and only for it.",
        )
    return f"{task}-{variant}" if ratio is None else f"{task}-r{ratio}-{variant}"


def test_sets(names: str) -> list[str]:
    """The test sets of ``--sets``, separated by commas; ``all`` means all in the catalogue's order.

    Raises:
        DataError: for a name that is not a test set; the message lists the test sets.
    """
    known = [name for name, entry in CATALOGUE.items() if entry.role == "test"]
    wanted = known if names == "all" else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise DataError(f"{name!r} is not a test set.", f"Test sets are: {', '.join(known)}.")
    return wanted


@dataclass(frozen=True)
class ProjectFolders:
    """The folders of one project, the same as in ``dvc.yaml``.

    Attributes:
        home: folder of ``params.yaml``.
        weights: origin of the networks that are evaluated; each has its own folder of networks.
        work: folder of everything that is made, relative to ``home``.
    """

    home: Path
    weights: WeightsOrigin = "trained"
    work: str = "build"

    @classmethod
    def here(cls) -> ProjectFolders:
        """The folders of ``DGUNET_HOME``, or of the project of the working directory.

        Raises:
            ConfigError: if no ``params.yaml`` is found.
        """
        home = project_home()
        if not (home / "params.yaml").is_file():
            raise ConfigError(
                f"no params.yaml in {home} or above it.", "Run inside a clone, or set DGUNET_HOME."
            )
        return cls(home)

    def using(self, weights: WeightsOrigin) -> ProjectFolders:
        """The same folders, but with the networks of this origin."""
        return replace(self, weights=weights)

    @property
    def build(self) -> Path:
        """The folder of everything that is made."""
        return self.home / self.work

    @property
    def params(self) -> Path:
        """The parameter file."""
        return self.home / "params.yaml"

    def shown(self, path: Path) -> str:
        """``path`` for a reader: relative to ``home`` where it is inside."""
        return (path.relative_to(self.home) if path.is_relative_to(self.home) else path).as_posix()

    def data(self, profile: str) -> Path:
        """The datasets of a profile: ``data/sample`` or ``data/paper``."""
        return self.home / "data" / profile

    def store(self, dataset: str) -> Path:
        """The prepared store of a dataset."""
        return self.build / "prepared" / dataset

    def model(self, key: str) -> Path:
        """The folder of a network of the origin ``weights``; see `model_key`."""
        return self.build / "models" / self.weights / key

    def evaluation(self, dataset: str, variant: str) -> Path:
        """The folder of one network's results on one test set."""
        return self.build / "evaluation" / f"{dataset}-{variant}"

    def ablation(self, name: str) -> Path:
        """The folder of an ablation's results, of the origin ``weights``."""
        return self.build / "ablations" / self.weights / name

    def ablation_network(self, name: str) -> Path:
        """The folder of an ablation's network, of the origin ``weights``.

        Raises:
            ConfigError: for an unknown name, or if the authors published no weights of it.
        """
        ablation(name)
        if self.weights == "trained":
            return self.model(f"ablation-{name}")
        if name not in RELEASED_ABLATIONS:
            raise ConfigError(
                f"the authors published no weights of {name}.",
                "Set `weights: trained` in params.yaml to train it.",
            )
        return self.model(model_key(ABLATION_TASK, ABLATION_VARIANT))

    def committed_scores(self, profile: str) -> Path:
        """The folder of the scores that git tracks, of the origin ``weights``."""
        return self.home / "results" / profile / self.weights

    def committed_curves(self, profile: str) -> Path:
        """The folder of the loss curves that git tracks, and of their drawings."""
        return self.home / "results" / profile

    @property
    def records(self) -> Path:
        """The folder of the scores received from DND's server."""
        return self.home / "records"

    @property
    def overlaps(self) -> Path:
        """The file of the overlaps of training and test sets that `dgunet data check` found."""
        return (self.records if self.work == "build" else self.build) / "overlaps.json"

    @property
    def tables(self) -> Path:
        """The folder of the generated tables."""
        return self.build / "tables"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.build / "report.html"
