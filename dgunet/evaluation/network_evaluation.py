"""Evaluation of one network on one prepared test set, from the weights file to the summary.

It logs nothing: the caller reports what `run_evaluation` returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from dgunet.backends import on_backend, resolve_backend
from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.memory import bytes_left
from dgunet.evaluation.metric_protocol import Protocol
from dgunet.evaluation.parity import is_published, refuse_another_row
from dgunet.evaluation.processes import evaluate_in_processes
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.row_journal import Note
from dgunet.evaluation.rows import Timing
from dgunet.evaluation.runner import (
    count_done,
    evaluation_key,
    merge_rows,
    score_part,
    score_shard,
)
from dgunet.evaluation.summary import SELECTION, EvaluationSummary, selection, weights_origin
from dgunet.evaluation.unfinished import (
    LOCK_SECONDS,
    WORK,
    alone,
    beside_other_parts,
    forget,
    lock_of,
    place_of,
)
from dgunet.network import DGUNet, DGUNetConfig, load_network
from dgunet.network.devices import pick_device, thread_count
from dgunet.network.kernels import KernelChoice, kernels
from dgunet.system.errors import CheckpointError, ConfigError, DataError
from dgunet.system.files import sha256_file
from dgunet.system.parts import Part
from dgunet.system.reading import shorten
from dgunet.terms import EAGER


@dataclass(frozen=True)
class EvaluationOptions:
    """How an evaluation is carried out; nothing here changes its result by more than rounding.

    Attributes:
        memory: bytes that all processes may take together; None for the memory that is free. An
            image that needs more is restored in strips.
        scratch: folder for temporary files of the strips; None for that of the system.
        processes: number of processes that share the images.
        keep_images: number of restored images kept as PNG from the start of the set; with one or
            more, the best, the median and the worst are kept too.
        device: "auto", "cpu" or "cuda".
        threads: CPU threads; 0 leaves the number unchanged.
        kernels: CPU kernels; see `dgunet.network.kernels`.
        backend: what computes the network, one of `dgunet.terms.BACKENDS`, or "auto" for the one
            that a probe finds fastest; a result of another one than "eager" has no parity.
    """

    memory: int | None = None
    scratch: Path | None = None
    processes: int = 1
    keep_images: int = 0
    device: str = "auto"
    threads: int = 0
    kernels: KernelChoice = "fastest"
    backend: str = EAGER


DEFAULTS = EvaluationOptions()
"""The memory that is free, one process."""


@dataclass(frozen=True)
class EvaluationRequest:
    """One network, one prepared test set, and the row of the table that the result is for.

    Attributes:
        dataset: the test set's name.
        profile: "sample", "reduced" or "paper"; the prepared set must be of this profile.
        row: the row of the table: the variant, or an ablation's key.
        published: the networks that fill this row, see `parity.published_networks`; the result
            of another network, such as the sample's small ones, has no parity.
        weights: file of the weights.
        store: folder of the prepared set.
        out: folder of the results.
        unfinished: folder of all unfinished evaluations, outside ``out``.
        options: memory, processes, device.
    """

    dataset: str
    profile: str
    row: str
    published: Sequence[DGUNetConfig]
    weights: Path
    store: Path
    out: Path
    unfinished: Path
    options: EvaluationOptions = DEFAULTS

    @property
    def name(self) -> str:
        """What a person recognises it by, e.g. ``Rain100L-DGUNet``."""
        return f"{self.dataset}-{self.row}"


@dataclass(frozen=True)
class LoadedEvaluation:
    """A request whose weights and prepared set were loaded and match."""

    request: EvaluationRequest
    network: DGUNet
    pairs: PairStore
    protocol: Protocol
    settings: Settings
    device: str

    @property
    def place(self) -> Path:
        """Where it is made; an equal evaluation into another folder goes on there."""
        key = evaluation_key(self.pairs, self.protocol, self.settings)
        return place_of(self.request.unfinished, self.request.name, key)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder of the results, then the work, for which it waits.

        Raises:
            EvaluationError: as `dgunet.evaluation.unfinished.alone`.
        """
        out = self.request.out
        folder = lock_of(self.request.unfinished, self.request.name, out)
        with alone(folder, out), alone(self.place, out, seconds=LOCK_SECONDS):
            yield

    @contextmanager
    def beside_other_parts(self, part: Part) -> Iterator[None]:
        """Lock ``part``, and the work against everything but other parts.

        Raises:
            EvaluationError: as `dgunet.evaluation.unfinished.alone`.
        """
        out = self.request.out
        own = self.place.with_name(f"{self.place.name}-{part.number}-of-{part.count}")
        with alone(own, out), beside_other_parts(self.place, out, seconds=LOCK_SECONDS):
            yield


@dataclass(frozen=True)
class EvaluationResult:
    """The summary of an evaluation, and seconds by image in the order of the set."""

    summary: EvaluationSummary
    timings: Sequence[Timing]


def load_evaluation(request: EvaluationRequest) -> LoadedEvaluation:
    """Open the prepared set, load the network, and check that both match ``request``.

    Raises:
        DataError: if the prepared set is missing, of another dataset or of another profile.
        CheckpointError: if the weights are missing, unreadable, of another task, variant or
            ratio, or state an unknown model selection.
        DgunetError: if the device is unknown or not available.
    """
    pairs = PairStore.open(request.store)
    manifest = pairs.manifest
    if manifest.dataset != request.dataset:
        raise DataError(
            f"{request.store} holds {manifest.dataset}, not {request.dataset}.",
            "Prepare the dataset again.",
        )
    if manifest.profile != request.profile:
        raise DataError(
            f"{request.store} has the profile {manifest.profile!r}, the parameters have "
            f"{request.profile!r}.",
            "Prepare the dataset under this profile, or change `profile` in params.yaml.",
        )
    with kernels(request.options.kernels):  # reading weights computes, after which no cap works
        network, metadata = load_network(request.weights)
    wanted = request.published[0]
    weights, training_digest = weights_origin(metadata)
    refuse_another_row(network.config, wanted, request.weights)
    device = pick_device(request.options.device)
    backend = _backend(network.to(device), request.options)
    settings = Settings(
        row=request.row,
        variant=wanted.variant,
        ratio=wanted.ratio,
        checkpoint_sha256=sha256_file(request.weights),
        keep_images=request.options.keep_images,
        kernels=request.options.kernels,
        backend=backend,
        budget=_budget(request.options, device),
        scratch=request.options.scratch,
        faithful=is_published(network.config, request.published),
        selection=_known_selection(metadata, request.weights),
        weights=weights,
        training_digest=training_digest,
    )
    rules = protocol(manifest.protocol)
    return LoadedEvaluation(request, network, pairs, rules, settings, device)


def _backend(network: DGUNet, options: EvaluationOptions) -> str:
    """The backend of an evaluation, probed if the options leave it open."""
    if options.backend != EAGER and options.kernels == "portable":
        raise ConfigError(
            f"backend {shorten(options.backend)} with `runtime.kernels: portable`.",
            "Portable kernels are those of eager torch; set `runtime.kernels: fastest` in"
            " params.yaml, or use --backend eager.",
        )
    with thread_count(options.threads):
        return resolve_backend(network, options.backend)


def _budget(options: EvaluationOptions, device: str) -> int | None:
    """Bytes that one process may take for the restoration of an image."""
    if options.memory is None:
        return None
    return bytes_left(options.memory // options.processes, torch.device(device))


def run_evaluation(
    loaded: LoadedEvaluation,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    note: Note = lambda line: None,
) -> EvaluationResult:
    """Score every image and write per-image table and summary into ``loaded.request.out``.

    The caller is within `LoadedEvaluation.alone`. A killed evaluation resumes where it stopped when
    it, or an equal one into another folder, is run again.

    Args:
        loaded: what `load_evaluation` returned.
        on_progress: called as ``on_progress(done, total)`` with numbers of images.
        note: called with one line for each damaged row of a killed run; its image is scored again.

    Raises:
        DataError: for an empty set or a record without the image that the protocol needs.
        EvaluationError: when a result cannot be scored or an image does not fit into memory.
    """
    request, options = loaded.request, loaded.request.options
    work = loaded.place / WORK
    with thread_count(options.threads):
        if options.processes > 1:
            evaluate_in_processes(
                request.weights,
                loaded.pairs,
                work,
                loaded.settings,
                processes=options.processes,
                device=loaded.device,
                on_progress=on_progress,
                note=note,
            )
        else:
            score_shard(
                on_backend(loaded.network.to(loaded.device), loaded.settings.backend),
                loaded.pairs,
                loaded.protocol,
                work,
                loaded.settings,
                on_row=lambda _, done, total: on_progress(done, total),
                note=note,
            )
        made = merge_rows(loaded.pairs, loaded.protocol, work, request.out, loaded.settings)
        forget(loaded.place)
    return EvaluationResult(*made)


@dataclass(frozen=True)
class PartResult:
    """What a part leaves for the evaluation that merges the parts.

    Attributes:
        images: of the part.
        done: images of the whole set that are scored, by this part and others.
        total: images of the set.
    """

    images: int
    done: int
    total: int


def run_part(
    loaded: LoadedEvaluation,
    part: Part,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    note: Note = lambda line: None,
) -> PartResult:
    """Score the images of one part; `run_evaluation` of the same request merges all of them.

    The caller is within `LoadedEvaluation.beside_other_parts`. A killed part goes on when it is run
    again. Parts of other processes and machines may run at the same time if they have the folder
    ``loaded.request.unfinished`` in common. `run_evaluation` scores what no part has scored.

    Args:
        loaded: what `load_evaluation` returned.
        part: which part.
        on_progress: called as ``on_progress(done, total)`` with numbers of images of the part.
        note: called with one line for each damaged row; its image is scored again.

    Raises:
        DgunetError: as `run_evaluation`.
    """
    work, pairs = loaded.place / WORK, loaded.pairs
    with thread_count(loaded.request.options.threads):
        score_part(
            on_backend(loaded.network.to(loaded.device), loaded.settings.backend),
            pairs,
            loaded.protocol,
            work,
            loaded.settings,
            part,
            on_row=lambda _, done, total: on_progress(done, total),
            note=note,
        )
    done = count_done(pairs, loaded.protocol, work, loaded.settings)
    return PartResult(len(part.of(len(pairs))), done, len(pairs))


def _known_selection(metadata: Mapping[str, str], weights: Path) -> str:
    """How the weights were selected, from the metadata of their file."""
    chosen = selection(metadata)
    if not re.fullmatch(SELECTION, chosen):
        raise CheckpointError(
            f"{weights} states the model selection {shorten(chosen)}.",
            "Allowed are last, held-out, test-set NAME and unknown; train it again.",
        )
    return chosen
