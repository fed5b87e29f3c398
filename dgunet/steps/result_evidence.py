"""What lies beside a result in its project: the prepared set, the weights, the run that made it.

All of it is compared where it is there, and nothing is said where it is not: results may have been
brought from another machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dgunet.data.store.manifest import StoreManifest
from dgunet.evaluation.results import SUMMARY
from dgunet.evaluation.summary import EvaluationSummary, selection
from dgunet.network.header import read_header
from dgunet.project import ProjectFolders, model_key
from dgunet.system.errors import CheckpointError, DgunetError, EvaluationError
from dgunet.system.files import sha256_file
from dgunet.system.reading import parse_json, shorten
from dgunet.terms import ABLATIONS, CHECKPOINT_TAG, SELECTION_TAG
from dgunet.tracking import RunInfo, TrackingFolders, delivered, pending

AGAIN = "Evaluate that set again, or bring back what it was evaluated with."


@dataclass
class Evidence:
    """What one project has, looked up once for any number of results.

    The weights' SHA-256 are computed each time, once a file: about a second for each 1.5 GB.
    """

    project: ProjectFolders

    def __post_init__(self) -> None:
        self._digests: dict[Path, str] = {}

    def check(self, told: EvaluationSummary, folder: Path) -> None:
        """Compare a result with its prepared set, and with its weights or the run that made it.

        Raises:
            EvaluationError: naming the summary, the field, and both values.
        """
        origin = folder / SUMMARY
        self._check_place(told, folder)
        self._check_data(told, origin)
        self._check_weights(told, origin)

    def _check_place(self, told: EvaluationSummary, folder: Path) -> None:
        """A result in a folder of the project is of the set and the row that the folder names."""
        here = self.project
        for base, wanted in (
            (here.evaluation("x", "x").parent, here.evaluation(told.dataset, told.row)),
            (here.ablation("x").parent, here.ablation(told.row)),
        ):
            if folder.is_relative_to(base):
                place = wanted if told.ratio is None else wanted / f"r{told.ratio}"
                if folder != place:
                    raise EvaluationError(
                        f"{folder / SUMMARY}: dataset, row and ratio are {told.dataset}, "
                        f"{told.row} and {told.ratio}; their place is {place}.",
                        AGAIN,
                    )

    def _check_data(self, told: EvaluationSummary, origin: Path) -> None:
        store = self.project.store(told.dataset)
        if not (store / "manifest.json").is_file():
            return
        manifest = StoreManifest.read(store)
        if manifest.profile != told.profile:  # the sets of another profile are prepared there now
            return
        _compare(
            origin,
            f"the prepared set {store} has",
            data_digest=(told.data_digest, manifest.digest),
            images=(told.images, manifest.count),
            complete=(told.complete, told.complete and manifest.complete),
        )

    def _check_weights(self, told: EvaluationSummary, origin: Path) -> None:
        weights = self._weights(told)
        there = weights.is_file()
        if there and self._digest(weights) == told.checkpoint_sha256:
            about = _metadata(weights)
            _compare(
                origin,
                f"{weights} says",
                selection=(told.selection, selection(about["extra"])),
                parity=(told.parity, told.parity and _is_papers(about["config"], told)),
            )
            return
        runs = self._runs.get(told.per_image_sha256, [])
        if any(_is_of(run, told) for run in runs):  # of weights that lie elsewhere
            return
        if there or runs:
            other = f"{weights} has" if there else "the run that made it has"
            digest = self._digest(weights) if there else runs[-1].tags.get(CHECKPOINT_TAG)
            _compare(origin, other, checkpoint_sha256=(told.checkpoint_sha256, digest))

    def _weights(self, told: EvaluationSummary) -> Path:
        name = "network.safetensors"
        if told.row in ABLATIONS:
            return self.project.ablation(told.row) / name
        return self.project.model(model_key(told.task, told.variant, told.ratio)) / name

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = sha256_file(path)
        return self._digests[path]

    @cached_property
    def _runs(self) -> dict[str, list[RunInfo]]:
        store = TrackingFolders.at(self.project.home)
        found: dict[str, list[RunInfo]] = {}
        for run in (*delivered(store), *pending(store)):
            if key := run.results.get("per_image"):
                found.setdefault(key, []).append(run)
        return found


def _metadata(weights: Path) -> dict[str, Any]:
    """What a network's file says of itself; reads no tensor, and needs no torch.

    Raises:
        CheckpointError: if the file is no network of ours.
    """
    try:
        header = parse_json(read_header(weights).metadata["dgunet"], str(weights))
        return {"config": dict(header["config"]), "extra": dict(header["extra"])}
    except (DgunetError, OSError, KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{weights} was not written by save_network.", "Train it again, or bring it back."
        ) from None


def _is_papers(config: dict[str, Any], told: EvaluationSummary) -> bool:
    """Whether the network is one that fills the row of the paper's table."""
    from dgunet.network import DGUNetConfig
    from dgunet.steps.evaluate import is_one_of, papers_networks

    changes = ABLATIONS[told.row].changes if told.row in ABLATIONS else {}
    papers = papers_networks(told.task, told.variant, told.ratio, **changes)
    return is_one_of(DGUNetConfig.from_dict(config), papers)


def _is_of(run: RunInfo, told: EvaluationSummary) -> bool:
    wanted = {CHECKPOINT_TAG: told.checkpoint_sha256, SELECTION_TAG: told.selection}
    return run.data_digest == told.data_digest and all(
        run.tags.get(key) == value for key, value in wanted.items()
    )


def _compare(origin: Path, other: str, **fields: tuple[Any, Any]) -> None:
    for name, (told, found) in fields.items():
        if told != found:
            raise EvaluationError(
                f"{origin}: {name} is {shorten(told)}, {other} {shorten(found)}.", AGAIN
            )
