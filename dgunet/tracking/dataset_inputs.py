"""The location of a dataset that a run used, and its digest in DVC."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from dgunet.system import environment
from dgunet.tracking.provenance import git_state

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class DatasetRef:
    """Name and digest of a dataset, as MLflow's metrics refer to it."""

    name: str
    digest: str


@dataclass(frozen=True)
class DatasetLocation:
    """The location of a dataset.

    Attributes:
        path: in POSIX form; relative to the project if a DVC output contains it, else absolute.
        sha256: of the content.
        out: the DVC output that contains the dataset; "" if DVC does not track it.
        md5: DVC's digest of ``out``.
        rev: the commit of the code that read the dataset; "" if DVC does not track it.
    """

    path: str
    sha256: str
    out: str = ""
    md5: str = ""
    rev: str = ""

    @property
    def kind(self) -> Literal["dvc", "local"]:
        """MLflow's source type."""
        return "dvc" if self.out else "local"

    @property
    def whole(self) -> bool:
        """Whether ``md5`` is the digest of the dataset itself, not of a parent folder."""
        return bool(self.out) and self.out == self.path

    def to_dict(self) -> dict[str, Any]:
        """The fields that MLflow stores; for the kind ``local``, those of MLflow's own class."""
        return asdict(self) if self.out else {"uri": self.path}


def dataset_source(home: Path, folder: str, sha256: str) -> DatasetLocation:
    """The source of the dataset in ``folder``.

    ``data.dvc`` has the digest of pulled data. ``dvc.lock`` has the digests of stage outputs, but
    is used only while DVC runs a stage, because DVC has then checked the inputs of the stage. At
    other times, ``dvc.lock`` may be older than a folder that was created by hand.
    """
    path = Path(folder).resolve()
    if not path.is_relative_to(home):
        return DatasetLocation(path.as_posix(), sha256)
    inside = path.relative_to(home).as_posix()
    for out, md5 in _outputs(home).items():
        if inside == out or inside.startswith(f"{out}/"):
            return DatasetLocation(inside, sha256, out, md5, git_state(home)[0])
    return DatasetLocation(path.as_posix(), sha256)


def _outputs(home: Path) -> dict[str, str]:
    """The digest of each DVC output, by path."""
    known: dict[str, str] = {}
    if (pointer := home / "data.dvc").is_file():
        known |= {out["path"]: out.get("md5", "") for out in _read(pointer).get("outs", [])}
    if environment.DVC_STAGE.is_set():
        for lock in (home / "dvc.lock", *sorted(home.glob("pipelines/*/dvc.lock"))):
            for stage in _read(lock).get("stages", {}).values() if lock.is_file() else ():
                known |= {out["path"]: out.get("md5", "") for out in stage.get("outs", [])}
    return {path: md5 for path, md5 in known.items() if md5}


def _read(path: Path) -> dict[str, Any]:
    content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader, in C or Python
    return content if isinstance(content, dict) else {}
