"""Where a data set that went into a run lies, and the digest by which DVC knows it."""

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
    """A data set as MLflow's metrics name it."""

    name: str
    digest: str


@dataclass(frozen=True)
class Source:
    """Where a data set lies.

    Attributes:
        path: relative to the project where it lies inside, in POSIX form.
        sha256: of its content, as the stages compute it.
        out: the output of DVC that holds it, "" where DVC does not vouch for it.
        md5: DVC's digest of ``out``.
        rev: the commit of the code that read it.
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
        """Whether ``md5`` is the digest of the data set itself, and not of a folder above it."""
        return bool(self.out) and self.out == self.path

    def to_dict(self) -> dict[str, Any]:
        """What MLflow keeps of it; for the type ``local`` as MLflow's own class reads it."""
        return asdict(self) if self.out else {"uri": self.path}


def where_from(home: Path, folder: str, sha256: str) -> Source:
    """The source of a data set in ``folder``.

    ``data.dvc`` speaks for the data as pulled. ``dvc.lock`` speaks for what stages made, but only
    while DVC runs a stage: it has then just checked the stage's inputs, while the file may be
    older than folders that were made by hand.
    """
    path = Path(folder).resolve()
    if not path.is_relative_to(home):
        return Source(path.as_posix(), sha256)
    inside = path.relative_to(home).as_posix()
    for out, md5 in _outputs(home).items():
        if inside == out or inside.startswith(f"{out}/"):
            return Source(inside, sha256, out, md5, git_state(home)[0])
    return Source(path.as_posix(), sha256)


def _outputs(home: Path) -> dict[str, str]:
    """DVC's outputs and their digests."""
    known: dict[str, str] = {}
    if (pointer := home / "data.dvc").is_file():
        known |= {out["path"]: out.get("md5", "") for out in _read(pointer).get("outs", [])}
    if environment.DVC_STAGE.is_set() and (lock := home / "dvc.lock").is_file():
        for stage in _read(lock).get("stages", {}).values():
            known |= {out["path"]: out.get("md5", "") for out in stage.get("outs", [])}
    return {path: md5 for path, md5 in known.items() if md5}


def _read(path: Path) -> dict[str, Any]:
    content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader, in C or Python
    return content if isinstance(content, dict) else {}
