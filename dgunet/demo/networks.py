"""The networks that the page offers, of which one is in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgunet.network import DGUNet, load_network
from dgunet.project import ProjectFolders
from dgunet.steps.result_evidence import weights_metadata
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.files import sha256_file
from dgunet.tools.own_weights import all_weights, no_weights
from dgunet.tracking import TrackingFolders, delivered, pending

TASK_NAMES = {
    "derain": "Remove rain",
    "deblur": "Remove blur",
    "denoise": "Remove noise",
    "cs": "Compressive sensing",
}
"""What the page calls the tasks."""

ORIGIN_NAMES = {"trained": "trained here", "released": "the authors' weights"}
SAMPLE = "sample, seconds of training"
"""What the page says of weights that `make reproduce` trained on the sample images."""


@dataclass(frozen=True)
class Choice:
    """One entry of the page's list of tasks.

    Attributes:
        label: the text of the entry.
        task: the task of the network.
        weights: its weights file.
    """

    label: str
    task: str
    weights: Path


def choices_here(checkpoint: Path | None) -> list[Choice]:
    """The networks to choose from: those of the project, or ``checkpoint`` alone.

    Raises:
        ConfigError: if the project has no weights, or there is no project.
        CheckpointError: if ``checkpoint`` is not a checkpoint of dgunet.
    """
    if checkpoint is not None:
        config = load_network(checkpoint)[0].config
        label = _label(config.task, config.ratio, checkpoint.name, "", checkpoint)
        return [Choice(label, config.task, checkpoint)]
    here = ProjectFolders.here()
    found = all_weights(here)
    if not found:
        raise no_weights(here.build / "models")
    return [
        Choice(
            _label(one.task, one.ratio, one.variant, ORIGIN_NAMES[one.origin], one.path),
            one.task,
            one.path,
        )
        for one in found
    ]


def preselected(choices: Sequence[Choice], task: str | None) -> Choice:
    """The first of ``choices``, or the first for ``task``.

    Raises:
        ConfigError: if none is for ``task``.
    """
    for choice in choices:
        if task in (None, choice.task):
            return choice
    known = ", ".join(dict.fromkeys(choice.task for choice in choices))
    raise ConfigError(
        f"there are no weights for the task {task!r}.", f"There are weights for: {known}."
    )


def _label(task: str, ratio: int | None, name: str, origin: str, weights: Path) -> str:
    try:
        sample = weights_metadata(weights)["extra"].get("profile") == "sample"
    except DgunetError:  # the page reports it when this entry is used
        sample, origin = False, "unreadable"
    facts = [name, SAMPLE if sample else origin]
    task_name = TASK_NAMES.get(task, task) + ("" if ratio is None else f", {ratio} %")
    return f"{task_name} ({', '.join(filter(None, facts))})"


class LoadedNetwork:
    """The network that was used last, on ``device``."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._weights: Path | None = None
        self._network: DGUNet | None = None

    def of(self, weights: Path) -> DGUNet:
        """The network with these weights, in evaluation mode.

        Raises:
            CheckpointError: if the file is not a checkpoint of dgunet.
        """
        if self._network is None or self._weights != weights:
            self._network = None  # one network is in memory at a time
            network, _ = load_network(weights)
            self._network, self._weights = network.to(self.device).eval(), weights
        return self._network


def provenance(weights: Path) -> list[str]:
    """Lines that name the weights file, its SHA-256 and the commit that trained it."""
    digest = sha256_file(weights)
    folders = TrackingFolders.at()
    within = weights.resolve().is_relative_to(folders.home)
    name = weights.resolve().relative_to(folders.home) if within else weights.name
    runs = [*delivered(folders), *pending(folders)]
    made = [run for run in runs if run.results.get("checkpoint") == digest and run.stage == "train"]
    commit = "unknown"
    if made:
        commit = made[-1].commit + (" with uncommitted changes" if made[-1].dirty else "")
    return [f"weights: {name}", f"sha256: {digest}", f"commit of the training: {commit}"]
