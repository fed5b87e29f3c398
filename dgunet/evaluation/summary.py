"""The summary of one evaluation, ``summary.json``, from which a cell of a table is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from dgunet.data.catalogue.entries import counted
from dgunet.network.official_names import REPOSITORY
from dgunet.terms import EAGER, EvaluationState, Weights

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 in the files of results."""

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9+.-]{1,64}$")]
"""A name in these files, without characters that LaTeX, HTML or file systems interpret."""

SELECTION = r"^(unknown|last|held-out|test-set [A-Za-z0-9+.-]{1,64})$"
"""The ways of model selection; `EvaluationSummary.selection` is one of them."""


@dataclass(frozen=True)
class EvaluationSummary:
    """The means of one evaluation, and what they were computed from.

    Attributes:
        profile: "sample", "reduced" or "paper".
        dataset: test set.
        task: "derain", "deblur", "denoise" or "cs".
        variant: "DGUNet" or "DGUNet+".
        row: the row of the table: the variant, or an ablation's key.
        ratio: compressive-sensing ratio in percent, or None.
        images: images scored.
        published_images: images in the published release of the set.
        complete: True only when these agree and the prepared set is the published release.
        state: "measured", "partial" (fills no cell) or "waiting for the server" (DND).
        data_digest: SHA-256 of the prepared set.
        checkpoint_sha256: SHA-256 of the weights file.
        protocol: name of the protocol.
        protocol_version: its version.
        selection: how the weights were selected: "last" step of the training, best on a "held-out"
            part of the training set, best on a "test-set <name>", or "unknown".
        weights: "released" when they were imported from a file in the authors' format, "trained"
            by this project, or "other".
        training_digest: SHA-256 of the only training set of "trained" weights; "" for others,
            and where the training started from other weights.
        parity: False when the restoration was not the published one: by a network that is not
            the paper's, or, in old results, in tiles with statistics of their own.
        psnr: mean in dB; None when not measured or infinite.
        ssim: mean, or None.
        input_psnr: mean of the degraded inputs, or None.
        input_ssim: mean of the degraded inputs, or None.
        per_image_sha256: SHA-256 of ``per_image.parquet``.
        backend: what computed the network: "eager", or another backend of `dgunet.backends` with
            its version. Only results of "eager" have parity.
        identical: number of images of infinite PSNR: the protocol defines it so for an image that
            equals the ground truth. With one or more, the mean is infinite and ``psnr`` is None.
        identical_inputs: the same of the degraded inputs and ``input_psnr``.
    """

    profile: str
    dataset: str
    task: str
    variant: str
    row: str
    ratio: int | None
    images: int
    published_images: int
    complete: bool
    state: EvaluationState
    data_digest: str
    checkpoint_sha256: str
    protocol: str
    protocol_version: int
    selection: str
    weights: Weights
    training_digest: str
    parity: bool
    psnr: float | None
    ssim: float | None
    input_psnr: float | None
    input_ssim: float | None
    per_image_sha256: str
    backend: str = EAGER
    identical: int = 0
    identical_inputs: int = 0

    @property
    def name(self) -> str:
        """Test set, row and ratio, such as ``Set11, DGUNet, 10 %``."""
        return f"{self.dataset}, {self.row}" + ("" if self.ratio is None else f", {self.ratio} %")

    def to_dict(self) -> dict[str, Any]:
        """The content of ``summary.json``, keys in the order of the attributes.

        The backend is left out for "eager" and numbers of identical images for none, so that
        results keep the bytes from before there were these fields.
        """
        content = asdict(self)
        usual = {"backend": EAGER, "identical": 0, "identical_inputs": 0}
        return {k: v for k, v in content.items() if k not in usual or v != usual[k]}

    def line(self) -> str:
        """One line for the terminal."""
        name = self.row if self.ratio is None else f"{self.row} {self.ratio}%"
        score = f"{_decibel(self.psnr, self.identical)} dB / {_shown(self.ssim, '.4f')}"
        given = _decibel(self.input_psnr, self.identical_inputs)
        given = f"{given} / {_shown(self.input_ssim, '.4f')}"
        same = f", {self.identical} identical" if self.identical else ""
        images = counted(self.dataset, self.images, self.published_images, "images")
        return (
            f"{self.dataset} {name}: {score} (input {given}), {images}{same}, {self.profile}, "
            f"{self.protocol}/{self.protocol_version}, {self.state}"
            f"{'' if self.backend == EAGER else f', by {self.backend}'}"
            f"{'' if self.parity else ', no parity'}"
        )


def selection(metadata: Mapping[str, str]) -> str:
    """How a network's weights were selected, from the metadata of its file."""
    return f"{metadata.get('selection', 'unknown')} {metadata.get('selection.set', '')}".strip()


def weights_origin(metadata: Mapping[str, str]) -> tuple[Weights, str]:
    """Origin of a network's weights, and the digest of its training set ("" if not "trained").

    A training writes its own metadata. Weights that were trained further from others are
    "trained" without a digest: which images the others have seen is not known. Nobody states
    digests of the authors' files, so that "released" means a file in their format whose weights
    were not changed since its import.

    Args:
        metadata: of the weights file, as `dgunet.network.load_network` returns it.
    """
    if any(name.startswith("train.") for name in metadata):
        further = "train.start" in metadata
        return "trained", "" if further else metadata.get("train.data_digest", "")
    if metadata.get("origin_format", "").startswith(REPOSITORY):
        return "released", ""
    return "other", ""


def finite(value: float | None) -> float | None:
    """``value``, or None for an infinite mean, which JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None


def _decibel(psnr: float | None, identical: int) -> str:
    return "inf" if identical else _shown(psnr, ".2f")


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
