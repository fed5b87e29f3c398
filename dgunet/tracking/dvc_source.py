"""A dataset source of MLflow for DVC: ``mlflow.data.get_source(...).load()`` fetches the data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mlflow.data.dataset_source import DatasetSource

from dgunet.system.errors import DataError
from dgunet.tracking.dataset_inputs import DatasetLocation, dataset_source
from dgunet.tracking.home import project_home

SCHEME = "dvc:"


class DvcDatasetSource(DatasetSource):  # type: ignore[misc]  # mlflow is untyped
    """A folder in a DVC output, identified by the digest of the output.

    MLflow finds this class by the entry point ``mlflow.dataset_source`` of the package.
    """

    def __init__(self, source: DatasetLocation) -> None:
        self.source = source

    @staticmethod
    def _get_source_type() -> str:
        return "dvc"

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, str) and raw_source.startswith(SCHEME)

    @classmethod
    def _resolve(cls, raw_source: str) -> DvcDatasetSource:
        home = project_home()
        folder = home / raw_source.removeprefix(SCHEME)
        source = dataset_source(home, str(folder), "")
        if source.kind != "dvc":
            raise DataError(f"{folder} is not in a DVC output.", "Add it with: dvc add")
        return cls(source)

    def to_dict(self) -> dict[str, Any]:
        """The fields of `DatasetLocation`."""
        return self.source.to_dict()

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> DvcDatasetSource:
        """The inverse of `to_dict`."""
        return cls(DatasetLocation(**source_dict))

    def load(self, dst_path: str | None = None, repo: str | None = None) -> str:
        """Copy the dataset from DVC's cache or remote to a folder, and return the path of the copy.

        Args:
            dst_path: an existing target folder; default: a new temporary one.
            repo: path or address of the DVC repository; default: the current project.

        Raises:
            DataError: if the output has this digest neither in the current state of the repository
                nor at the commit of the run.
        """
        from dvc.api import DVCFileSystem

        repository = repo or str(project_home())
        # The current state of the repository, then the commit of the run.
        for state in ({}, {"rev": self.source.rev}):
            files = DVCFileSystem(repository, **state)
            if _digest(files, self.source.out) == self.source.md5:
                target = Path(dst_path or tempfile.mkdtemp()) / Path(self.source.path).name
                files.get(self.source.path, str(target), recursive=True)
                return str(target)
        raise DataError(
            f"{repository} has no {self.source.out} with the digest {self.source.md5}.",
            "Use the repository of the run, with its remote configured.",
        )


def _digest(files: Any, out: str) -> str | None:
    """DVC's digest of an output; None if the output or the commit does not exist."""
    from dvc.exceptions import DvcException

    try:
        found = files.info(out).get("dvc_info", {}).get("md5")
    except (FileNotFoundError, DvcException):
        return None
    return str(found) if found else None
