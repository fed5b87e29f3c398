"""The curves of a project's trainings: from MLflow, else from the files beside the weights."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from dgunet.paper.training_charts import TrainingCurve, TrainingCurves
from dgunet.project import ProjectFolders
from dgunet.system.errors import DgunetError
from dgunet.system.files import sha256_file
from dgunet.system.reading import read_text
from dgunet.terms import ABLATIONS
from dgunet.tracking import TrackingFolders, delivered, pending
from dgunet.tracking.index import RunInfo
from dgunet.tracking.run_frames import history
from dgunet.tracking.server import mlflow_store

_NAME = "train "
"""How the name of a training's run begins; that of the network or the ablation follows."""

WEIGHTS = "network.safetensors"

_CURVE_BYTES = 1 << 28


def training_curves(
    profile: str,
    home: Path,
    project: ProjectFolders | None = None,
    checkpoints: Collection[str] = (),
) -> TrainingCurves:
    """The curves of the finished trainings of ``profile``.

    Of each network the trainings with the settings and data of its last one are taken, the last for
    each seed. A network without a run in MLflow has the curve beside its weights, if ``project``
    has these.

    Args:
        profile: of the trainings.
        home: the project whose index lists the runs.
        project: has the weights.
        checkpoints: SHA-256 of the weights that were evaluated; of no other weights the curve is
            taken, because the files do not state their profile.
    """
    folders = TrackingFolders.at(home)
    runs = comparable_runs(delivered(folders), profile)
    curves, reason = _tracked(folders, runs)
    known = {curve.network for curve in curves}
    if project is not None:
        curves += _beside_weights(project, known, checkpoints)
    waiting = len(comparable_runs(pending(folders), profile))
    remarks = [reason] if reason else []
    if waiting:
        remarks.append(f"{waiting} trainings are not in MLflow yet: `dgunet tracking sync`.")
    if not curves and not remarks:
        remarks.append(f"No finished training of the profile {profile} is known here.")
    return TrainingCurves(curves, " ".join(remarks))


def comparable_runs(runs: Iterable[RunInfo], profile: str) -> list[RunInfo]:
    """The finished trainings of ``profile`` that are comparable with the last one of their network.

    These have its settings, other than the seed, and its data; of each seed the last is taken.
    """
    found: dict[str, dict[object, dict[str, RunInfo]]] = {}
    for run in runs:
        if (run.stage, run.profile, run.status) != ("train", profile, "FINISHED"):
            continue
        settings = sorted((k, v) for k, v in run.params.items() if k != "seed")
        groups = found.setdefault(run.name, {})
        key = (*settings, run.data_digest)
        groups[key] = groups.pop(key, {}) | {run.params.get("seed", "unknown"): run}
    last = [list(groups.values())[-1] for groups in found.values()]
    return [run for group in last for _, run in sorted(group.items())]


def _tracked(folders: TrackingFolders, runs: Sequence[RunInfo]) -> tuple[list[TrainingCurve], str]:
    """The curves in MLflow, and the reason where it does not give them."""
    if not runs:
        return [], ""
    if reason := mlflow_store.BackOff(folders).reason():
        return [], f"MLflow was not asked: {reason}."
    try:
        if not mlflow_store.has_store(folders):
            return [], f"The MLflow store {folders.uri} does not exist."
        with mlflow_store.answering(folders):
            mlflow_store.ask(folders.uri)
            return [_curve(folders, run) for run in runs], ""
    except (DgunetError, OSError) as error:
        return [], f"The curves in MLflow cannot be read: {error}"


def _curve(folders: TrackingFolders, run: RunInfo) -> TrainingCurve:
    points = {
        key: _by_step(history(folders, [run], key)[["step", key]].itertuples(index=False))
        for key in ("loss", "validation_psnr")
    }
    name = run.name.removeprefix(_NAME)
    return TrainingCurve(
        f"ablation-{name}" if name in ABLATIONS else name,
        f"seed {run.params.get('seed', 'unknown')}",
        points["loss"],
        points["validation_psnr"],
        "MLflow",
    )


def _by_step(points: Iterable[Sequence[float]]) -> dict[int, float]:
    return {int(step): float(value) for step, value in points}


def _beside_weights(
    project: ProjectFolders, known: Collection[str], checkpoints: Collection[str]
) -> list[TrainingCurve]:
    """The curves beside the weights that were evaluated, without those that are known.

    Files that cannot be read are skipped.
    """
    curves = []
    for path in sorted(project.model("x").parent.glob("*/loss.csv")):
        name, validations = path.parent.name, path.with_name("validation.csv")
        try:
            if name in known or not _is_evaluated(path.with_name(WEIGHTS), checkpoints):
                continue
            loss = _column(path, "step", "loss")
            found = _column(validations, "steps", "psnr") if validations.is_file() else {}
        except (DgunetError, OSError, ValueError, KeyError):
            continue
        last = {steps - 1: psnr for steps, psnr in found.items()}
        curves.append(TrainingCurve(name, "that of the weights", loss, last, "files beside them"))
    return curves


def _is_evaluated(weights: Path, checkpoints: Collection[str]) -> bool:
    return bool(checkpoints) and weights.is_file() and sha256_file(weights) in checkpoints


def _column(path: Path, steps: str, name: str) -> dict[int, float]:
    """The column ``name`` of a CSV file by the column ``steps``."""
    rows = csv.DictReader(io.StringIO(read_text(path, limit=_CURVE_BYTES)))
    return _by_step((int(row[steps]), float(row[name])) for row in rows)
