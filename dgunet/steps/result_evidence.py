"""Comparison of a result with its prepared set, its weights and the run that made it.

Only what exists in the project is compared: results may have been copied from another machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dgunet.data.store.manifest import StoreManifest
from dgunet.evaluation.parity import is_published, published_networks
from dgunet.evaluation.results import SUMMARY
from dgunet.evaluation.summary import EvaluationSummary, selection, weights_origin
from dgunet.network import DGUNetConfig
from dgunet.network.header import read_header
from dgunet.project import ProjectFolders, model_key
from dgunet.system.errors import CheckpointError, DgunetError, EvaluationError
from dgunet.system.files import sha256_file
from dgunet.system.reading import parse_json, shorten
from dgunet.terms import ABLATIONS, CHECKPOINT_TAG, SELECTION_TAG, WEIGHTS_TAG
from dgunet.tracking import RunInfo, TrackingFolders, delivered, pending

AGAIN = "Evaluate that set again, or restore the files it was evaluated with."


@dataclass
class Evidence:
    """The prepared sets, weights and runs of one project, for any number of results.

    The SHA-256 of each weights file is computed once: about a second for 1.5 GB.
    """

    project: ProjectFolders

    def __post_init__(self) -> None:
        self._digests: dict[Path, str] = {}

    def check(self, summary: EvaluationSummary, folder: Path) -> None:
        """Compare a result with its prepared set, and with its weights or the run that made it.

        Raises:
            EvaluationError: naming the summary, the field, and both values.
        """
        origin = folder / SUMMARY
        self._check_folder(summary, folder)
        self._check_data(summary, origin)
        self._check_weights(summary, origin)

    def _check_folder(self, summary: EvaluationSummary, folder: Path) -> None:
        """Refuse a result in a folder of the project that is named for another set or row."""
        here = self.project
        for base, wanted in (
            (here.evaluation("x", "x").parent, here.evaluation(summary.dataset, summary.row)),
            (here.ablation("x").parent, here.ablation(summary.row)),
        ):
            if folder.is_relative_to(base):
                own = wanted if summary.ratio is None else wanted / f"r{summary.ratio}"
                if folder != own:
                    raise EvaluationError(
                        f"{folder / SUMMARY}: dataset, row and ratio are {summary.dataset}, "
                        f"{summary.row} and {summary.ratio}; these belong in {own}.",
                        AGAIN,
                    )

    def _check_data(self, summary: EvaluationSummary, origin: Path) -> None:
        store = self.project.store(summary.dataset)
        if not (store / "manifest.json").is_file():
            return
        manifest = StoreManifest.read(store)
        if manifest.profile != summary.profile:  # the prepared set is now that of another profile
            return
        _compare(
            origin,
            f"the prepared set {store} has",
            data_digest=(summary.data_digest, manifest.digest),
            images=(summary.images, manifest.count),
            complete=(summary.complete, summary.complete and manifest.complete),
        )

    def _check_weights(self, summary: EvaluationSummary, origin: Path) -> None:
        weights = self._weights(summary)
        present = weights.is_file()
        if present and self._digest(weights) == summary.checkpoint_sha256:
            metadata = weights_metadata(weights)
            parity = summary.parity and _is_published(metadata["config"], summary)
            kind, training_digest = weights_origin(metadata["extra"])
            _compare(
                origin,
                f"{weights} has",
                selection=(summary.selection, selection(metadata["extra"])),
                weights=(summary.weights, kind),
                training_digest=(summary.training_digest, training_digest),
                parity=(summary.parity, parity),
            )
            return
        runs = self._runs.get(summary.per_image_sha256, [])
        if any(_is_of(run, summary) for run in runs):  # made with weights in another place
            return
        if runs:
            tags = runs[-1].tags
            _compare(
                origin,
                "the run that made it has",
                checkpoint_sha256=(summary.checkpoint_sha256, tags.get(CHECKPOINT_TAG)),
                selection=(summary.selection, tags.get(SELECTION_TAG)),
                weights=(summary.weights, tags.get(WEIGHTS_TAG)),
            )
        if present:
            found = (summary.checkpoint_sha256, self._digest(weights))
            _compare(origin, f"{weights} has", checkpoint_sha256=found)

    def _weights(self, summary: EvaluationSummary) -> Path:
        if summary.row in ABLATIONS:
            folder = self.project.ablation_network(summary.row)
        else:
            folder = self.project.model(model_key(summary.task, summary.variant, summary.ratio))
        return folder / "network.safetensors"

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


def weights_metadata(weights: Path) -> dict[str, Any]:
    """Configuration and further metadata of a weights file; reads no tensor and needs no torch.

    Raises:
        CheckpointError: if the file was not written by ``save_network``.
    """
    try:
        header = parse_json(read_header(weights).metadata["dgunet"], str(weights))
        return {"config": dict(header["config"]), "extra": dict(header["extra"])}
    except (DgunetError, OSError, KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{weights} was not written by save_network.", "Train it again, or restore the file."
        ) from None


def _is_published(config: dict[str, Any], summary: EvaluationSummary) -> bool:
    """Whether the network of ``config`` fills the row of the paper's table."""
    changes = ABLATIONS[summary.row].changes if summary.row in ABLATIONS else {}
    published = published_networks(summary.task, summary.variant, summary.ratio, **changes)
    return is_published(DGUNetConfig.from_dict(config), published)


def _is_of(run: RunInfo, summary: EvaluationSummary) -> bool:
    wanted = {
        CHECKPOINT_TAG: summary.checkpoint_sha256,
        SELECTION_TAG: summary.selection,
        WEIGHTS_TAG: summary.weights,
    }
    return run.data_digest == summary.data_digest and all(
        run.tags.get(key) == value for key, value in wanted.items()
    )


def _compare(origin: Path, other: str, **fields: tuple[Any, Any]) -> None:
    for name, (stated, found) in fields.items():
        if stated != found:
            raise EvaluationError(
                f"{origin}: {name} is {shorten(stated)}, {other} {shorten(found)}.", AGAIN
            )
