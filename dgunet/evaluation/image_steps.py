"""The three steps of one image, reading, restoring and scoring, and how they overlap."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np
import torch
from PIL import Image

from dgunet.evaluation.dnd import write_box
from dgunet.evaluation.kept_images import kept_image_path
from dgunet.evaluation.metric_protocol import Protocol, Score
from dgunet.evaluation.networks import Network, device_of
from dgunet.evaluation.protocols import round_to_uint8
from dgunet.evaluation.restoration import in_blocks, restore_image, to_tensor
from dgunet.evaluation.rows import Entry, Row, Timing, array_sha256
from dgunet.evaluation.within_memory import restore_within
from dgunet.imaging.arrays import Array
from dgunet.imaging.colour import opencv_luma
from dgunet.network.kernels import KernelChoice
from dgunet.system.errors import DataError, EvaluationError
from dgunet.system.files import atomic_path
from dgunet.terms import EAGER, Weights

BOXES = "boxes"
_AHEAD = 2


class PreparedSet(Interface):
    """A prepared test set.

    Its manifest has ``dataset``, ``task``, ``profile``, ``digest``, ``published_count`` and
    ``complete``; its records have ``id``, ``input`` and ``target``, uint8 or unit-float arrays
    (H, W, C) or None.
    """

    @property
    def manifest(self) -> Any: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class Settings:
    """The settings that distinguish evaluations of the same prepared set.

    Attributes:
        row: the row of the paper's table: the variant, or an ablation's key.
        variant: "DGUNet" or "DGUNet+".
        ratio: compressive-sensing ratio in percent, or None.
        checkpoint_sha256: SHA-256 of the weights; rows of other weights are not resumed.
        keep_images: restored images kept as PNG from the start of the set; with one or more, the
            best, the median and the worst are kept too.
        kernels: CPU kernels of the network; rows of others are not resumed.
        backend: what computes the network, see `dgunet.backends`; rows of others are not resumed.
        faithful: whether the network is the paper's; a result of another one has no parity.
        selection: how the weights were selected; see `EvaluationSummary`.
        weights: origin of the weights; see `EvaluationSummary`.
        training_digest: of "trained" weights; see `EvaluationSummary`.
        budget: bytes that the restoration of one image may take; None for the memory that is free
            when the image is restored. An image that needs more is restored in strips.
        scratch: folder for temporary files of the strips; None for that of the system.
    """

    row: str
    variant: str = "DGUNet"
    ratio: int | None = None
    checkpoint_sha256: str = ""
    keep_images: int = 0
    kernels: KernelChoice = "fastest"
    backend: str = EAGER
    faithful: bool = True
    selection: str = "unknown"
    weights: Weights = "other"
    training_digest: str = ""
    budget: int | None = None
    scratch: Path | None = None


@dataclass(frozen=True)
class RestoredImage:
    """The raw output (H, W, C), and the degraded input in the form that the protocol scores."""

    image: Array
    baseline: Array | None
    strips: int | None
    seconds: float


@dataclass(frozen=True)
class ReadImage:
    """One decoded record: the network's input and the target, (H, W, C); None without a target."""

    index: int
    id: str
    degraded: Array
    target: Array | None
    seconds: float


@dataclass(frozen=True)
class ImageSteps:
    """The three steps of one image, which `stream` overlaps."""

    network: Network
    store: PreparedSet
    protocol: Protocol
    work: Path
    settings: Settings

    def read(self, index: int) -> ReadImage:
        """Decode record ``index``; compressive sensing samples the luma of the target."""
        start = time.perf_counter()
        record = self.store[index]
        target = None if record.target is None else np.asarray(record.target)
        if self.protocol.channels == 1:
            if target is None:
                raise DataError(f"{record.id} has no target image.", "Prepare the set again.")
            degraded = opencv_luma(target)
        elif record.input is None:
            raise DataError(f"{record.id} has no input image.", "Prepare the set again.")
        else:
            degraded = np.asarray(record.input)
        if self.protocol.scores_locally and target is None:
            raise DataError(f"{record.id} has no target image.", "Prepare the set again.")
        return ReadImage(index, record.id, degraded, target, time.perf_counter() - start)

    def restore(self, read: ReadImage) -> RestoredImage:
        """Restore by the protocol; in strips if the image does not fit into memory whole."""
        start = time.perf_counter()
        try:
            restored, strips = self._restored(read)
        except EvaluationError as error:
            raise EvaluationError(f"{read.id}: {error.message}", error.hint) from error
        return RestoredImage(restored, self._baseline(read), strips, time.perf_counter() - start)

    def _restored(self, read: ReadImage) -> tuple[Array, int | None]:
        if self.protocol.tile is not None:
            return self._in_tiles(read, self.protocol.tile), None
        return restore_within(
            self.network,
            read.degraded,
            self_ensemble=self.protocol.self_ensemble,
            budget=self.settings.budget,
            scratch=self.settings.scratch,
        )

    def _in_tiles(self, read: ReadImage, side: int) -> Array:
        ensemble = self.protocol.self_ensemble
        return restore_image(self.network, read.degraded, self_ensemble=ensemble, blocks=side)

    def _baseline(self, read: ReadImage) -> Array | None:
        """The degraded input in the form that is scored; Phi^T y for compressive sensing."""
        if self.protocol.channels == 3:
            return read.degraded
        operator = getattr(self.network, "operator", None)
        if operator is None or self.protocol.tile is None:
            return None
        luma = to_tensor(read.degraded).to(device_of(self.network))
        with torch.inference_mode():
            x0 = in_blocks(lambda y: operator.adjoint(operator(y)), luma, self.protocol.tile)
        return np.ascontiguousarray(x0[0].permute(1, 2, 0).cpu().numpy())

    def score(self, read: ReadImage, result: RestoredImage) -> Entry:
        """Score output and degraded input, save the image if requested, and return the row."""
        start = time.perf_counter()
        restored, baseline = result.image, result.baseline
        scored = self.protocol.quantise(restored)
        quality, given = self._score(scored, read), None
        if baseline is not None:
            if baseline.dtype == np.uint8:
                baseline = np.asarray(baseline / np.float32(255), np.float32)
            given = self._score(self.protocol.quantise(baseline), read)
        self._keep(read, restored)
        if not self.protocol.scores_locally:
            write_box(self.work / BOXES, read.id, scored)
        row = Row(
            id=read.id,
            psnr=quality.psnr if quality else None,
            ssim=quality.ssim if quality else None,
            input_psnr=given.psnr if given else None,
            input_ssim=given.ssim if given else None,
            protocol=self.protocol.name,
            protocol_version=self.protocol.version,
            height=restored.shape[0],
            width=restored.shape[1],
            restored_sha256=array_sha256(scored),
            strips=result.strips,
        )
        took = time.perf_counter() - start
        return read.index, row, Timing(read.id, read.seconds, result.seconds, took)

    def _score(self, scored: Array, read: ReadImage) -> Score | None:
        if read.target is None or not self.protocol.scores_locally:
            return None
        try:
            return self.protocol.score(scored, read.target)
        except EvaluationError as error:
            raise EvaluationError(f"{read.id}: {error.message}", error.hint) from error

    def keeps(self, index: int) -> bool:
        """Whether the restored image stays in ``work`` until the merge.

        Which images are the best, the median and the worst is known when all are scored.
        """
        ranked = self.protocol.scores_locally and self.settings.keep_images > 0
        return ranked or index < self.settings.keep_images

    def _keep(self, read: ReadImage, restored: Array) -> None:
        if self.keeps(read.index):
            image = round_to_uint8(restored)
            image = image[..., 0] if image.shape[2] == 1 else image
            with atomic_path(kept_image_path(self.work, read.id)) as path:
                Image.fromarray(image).save(path)


def stream(steps: ImageSteps, indices: list[int]) -> Iterator[Entry]:
    """Yield entries in order; while one image is restored, others are read and scored."""
    reads: deque[Future[ReadImage]] = deque()
    scores: deque[Future[Entry]] = deque()
    waiting = deque(indices)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(2) as scorers:
        try:
            while waiting or reads:
                while waiting and len(reads) < _AHEAD:
                    reads.append(reader.submit(steps.read, waiting.popleft()))
                read = reads.popleft().result()
                scores.append(scorers.submit(steps.score, read, steps.restore(read)))
                while len(scores) > _AHEAD or (scores and scores[0].done()):
                    yield scores.popleft().result()
            while scores:
                yield scores.popleft().result()
        finally:
            for read_ahead in reads:
                read_ahead.cancel()
            for unscored in scores:
                unscored.cancel()
